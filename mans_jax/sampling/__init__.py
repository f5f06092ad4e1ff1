"""Negative samplers as composable pure functions; each stands alone, without config, flags, files or model."""

from mans_jax.sampling.corruption import Corruption, Sampler, View, stateless
from mans_jax.sampling.degree_weighted import degree_weighted, degree_weights
from mans_jax.sampling.mans import mans_a, mans_h, mans_t, mans_v
from mans_jax.sampling.relation_typed import relation_pools, relation_typed
from mans_jax.sampling.uniform import bernoulli, uniform

__all__ = [
    'Corruption',
    'Sampler',
    'View',
    'bernoulli',
    'degree_weighted',
    'degree_weights',
    'mans_a',
    'mans_h',
    'mans_t',
    'mans_v',
    'relation_pools',
    'relation_typed',
    'stateless',
    'uniform',
]
