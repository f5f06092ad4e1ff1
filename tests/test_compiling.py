"""What training is compiled with, and that it does without where a version of XLA has no such option."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import compiling


@pytest.fixture(autouse=True)
def _asked_anew():
    compiling._compiler_options.cache_clear()
    yield
    compiling._compiler_options.cache_clear()


def sums(x, y):
    return jnp.sum(x * y, axis=1)


def test_the_option_leaves_sums_to_xla_itself():
    if jax.default_backend() != 'cpu':
        pytest.skip('the option is for CPUs')
    x = jnp.ones((1024, 128))
    plain = jax.jit(sums).lower(x, x).compile().as_text()
    if 'ynn' not in plain:
        pytest.skip('this version of XLA has no such library')
    with_option = compiling.compiled(sums)
    assert 'ynn' not in with_option.lower(x, x).compile().as_text()
    np.testing.assert_array_equal(with_option(x, x), 128)


def test_an_option_that_there_is_not_is_done_without(monkeypatch):
    monkeypatch.setattr(compiling, '_ON_CPU', {'xla_cpu_no_such_option': '1'})
    assert compiling._compiler_options() is None
    np.testing.assert_array_equal(compiling.compiled(sums)(jnp.ones((3, 4)), jnp.ones((3, 4))), 4)


def test_the_options_of_jit_are_passed_on():
    doubled = compiling.compiled(lambda x: 2 * x, donate_argnums=0)
    x = jnp.ones(3)
    doubled(x)
    assert x.is_deleted()
