"""A run whose vectors are of no use is refused."""

import jax.numpy as jnp
import pytest

from mans_jax.errors import NonFiniteScore
from mans_jax.exporting.trained import embed


@pytest.mark.parametrize(
    ('name', 'row', 'kind', 'label'),
    [('entity', 9, 'entity', 'entity 9'), ('relation', 1, 'relation', 'r 1')],
)
def test_a_vector_that_is_not_finite_is_an_error_that_names_it(make_trained, name, row, kind, label):
    trained, params = make_trained('missing')
    params = {**params, name: params[name].at[row].set(jnp.nan)}
    with pytest.raises(NonFiniteScore) as error:
        embed('runs/x', trained.run, params, 7)
    assert str(error.value).startswith(f'runs/x: the vector of {kind} {label} is not finite: the training has diverged')
