"""Negative samplers as composable pure functions; each stands alone, without config, flags, files or model."""

from mans_jax.sampling.adversarial import kbgan
from mans_jax.sampling.caching import nscaching
from mans_jax.sampling.corruption import Corruption, Sampler, View, stateless
from mans_jax.sampling.mans import mans_a, mans_h, mans_t, mans_v
from mans_jax.sampling.similarity import mmrns
from mans_jax.sampling.uniform import bernoulli, uniform

__all__ = [
    'Corruption',
    'Sampler',
    'View',
    'bernoulli',
    'kbgan',
    'mans_a',
    'mans_h',
    'mans_t',
    'mans_v',
    'mmrns',
    'nscaching',
    'stateless',
    'uniform',
]
