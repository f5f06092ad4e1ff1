"""How the programs of a training are compiled."""

import functools
from collections.abc import Callable

import jax

from mans_jax import devices

# On CPUs XLA leaves sums along rows to a library that takes several times as long for them as XLA's own loops (JAX
# 0.10 to 0.12), and products to the same one, where it is as good. By name, it is asked for the products alone.
_ON_CPU = {'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_DOT'}


def compiled(function: Callable, **options) -> Callable:
    """`jax.jit`, for programs in which the time is spent; like any jit with options for XLA, none inside another jit.

    Args:
        function: what to compile.
        **options: of `jax.jit`.
    """
    return jax.jit(function, compiler_options=_compiler_options(), **options)


@functools.cache
def _compiler_options() -> dict[str, str] | None:
    if not devices.on_cpu():
        return None
    try:
        jax.jit(lambda: 0, compiler_options=_ON_CPU).lower().compile()
    except jax.errors.JaxRuntimeError:  # The option is an experiment of XLA's; what it is about may have ended.
        return None
    return _ON_CPU
