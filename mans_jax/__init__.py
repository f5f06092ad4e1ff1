"""Multi-modal knowledge graph embedding in JAX, with negative sampling as composable pure functions."""

from mans_jax import fusion, losses, ranking, sampling, scoring
from mans_jax.errors import InputError
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph, KnownTriples, Triple

__version__ = '0.1.0'

__all__ = [
    'HEAD',
    'TAIL',
    'InputError',
    'KnowledgeGraph',
    'KnownTriples',
    'Triple',
    'fusion',
    'losses',
    'ranking',
    'sampling',
    'scoring',
]
