"""Negative samplers as composable pure functions; each stands alone, without config, flags, files or model."""

from mans_jax.sampling.adversarial import kbgan
from mans_jax.sampling.batch import chunk_pool, in_batch, shared_pool
from mans_jax.sampling.caching import nscaching
from mans_jax.sampling.clusters import eans
from mans_jax.sampling.combine import concatenate, fallback, mixture
from mans_jax.sampling.concepts import cans, concept_pools
from mans_jax.sampling.corruption import Corruption, Sampler, View, stateless
from mans_jax.sampling.degrees import degree_weighted, degree_weights
from mans_jax.sampling.diffusion import dhns
from mans_jax.sampling.mans import mans_a, mans_h, mans_t, mans_v
from mans_jax.sampling.partial import own_margin, random_modalities
from mans_jax.sampling.similarity import mmrns
from mans_jax.sampling.structure import neighbourhoods, sans, walk_ends
from mans_jax.sampling.supplied import Supplied, supplied
from mans_jax.sampling.types import relation_pools, relation_typed
from mans_jax.sampling.uniform import bernoulli, uniform

__all__ = [
    'Corruption',
    'Sampler',
    'Supplied',
    'View',
    'bernoulli',
    'cans',
    'chunk_pool',
    'concatenate',
    'concept_pools',
    'degree_weighted',
    'degree_weights',
    'dhns',
    'eans',
    'fallback',
    'in_batch',
    'kbgan',
    'mans_a',
    'mans_h',
    'mans_t',
    'mans_v',
    'mixture',
    'mmrns',
    'neighbourhoods',
    'nscaching',
    'own_margin',
    'random_modalities',
    'relation_pools',
    'relation_typed',
    'sans',
    'shared_pool',
    'stateless',
    'supplied',
    'uniform',
    'walk_ends',
]
