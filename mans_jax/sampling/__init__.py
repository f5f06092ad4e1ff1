"""Negative samplers as composable pure functions; each stands alone, without config, flags, files or model."""

from mans_jax.sampling.corruption import Corruption, Sampler, View, stateless
from mans_jax.sampling.mans import mans_a, mans_h, mans_t, mans_v
from mans_jax.sampling.uniform import bernoulli, uniform

SAMPLERS = {'uniform': uniform, 'bernoulli': bernoulli}
"""The names that `config.sampler` may hold: (known, num_negatives) -> Sampler."""

STRATEGIES = {
    'normal': lambda base, replace, present, **_: base,
    'mans_v': lambda base, replace, present, **_: mans_v(base, replace, present),
    'mans_t': lambda base, replace, present, *, share, **_: mans_t(base, replace, present, share=share),
    'mans_h': lambda base, replace, present, *, share, **_: mans_h(base, replace, present, share=share),
    'mans_a': lambda base, replace, present, *, marks, where_cross_is_closer, **_: mans_a(
        base, replace, present, marks=marks, where_cross_is_closer=where_cross_is_closer
    ),
}
"""The names that `config.strategy` may hold: how the negatives of a sampler are made virtual.

(base, replace, present, *, share, marks, where_cross_is_closer) -> Sampler; each takes what it needs.
"""

__all__ = [
    'SAMPLERS',
    'STRATEGIES',
    'Corruption',
    'Sampler',
    'View',
    'bernoulli',
    'mans_a',
    'mans_h',
    'mans_t',
    'mans_v',
    'stateless',
    'uniform',
]
