"""Which negatives MANS-A would make virtual, relation by relation, under a model's trained parameters."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax.blocks import TRIPLES_PER_BLOCK, padded
from mans_jax.errors import NotServable
from mans_jax.graph import Triple
from mans_jax.runs import Run
from mans_jax.samplers import build_tables
from mans_jax.sampling.mans import PER_SAMPLE
from mans_jax.training_step import sampler_of, view_of

TRIPLES_PER_RELATION, NEGATIVES = 100, 8


class AdaptiveChoice(NamedTuple):
    """What was chosen, by relation that has a train triple.

    Attributes:
        relation: int64[N], ids, those with the most train triples first.
        share: float64[N], the share of negatives that is virtual.
        judged: int64[N], negatives that were judged.
        train: int64[N], train triples.
        overall: the share over all train triples.
    """

    relation: np.ndarray
    share: np.ndarray
    judged: np.ndarray
    train: np.ndarray
    overall: float


def adaptive_choice(run: Run, params: dict, seed: int) -> AdaptiveChoice:
    """Lets MANS-A choose once more: up to TRIPLES_PER_RELATION train triples a relation, NEGATIVES intruders each.

    The selection is the sampler's own, marked on the negatives that are selected; intruders are drawn by `bernoulli`,
    whatever the run drew them by, so that runs can be compared.

    Args:
        run: the run, of any sampler.
        params: its trained parameters.
        seed: of the sample and the intruders.

    Raises:
        NotServable: the graph has no modality but structure.
    """
    if not run.graph.features:
        raise NotServable(f'{run.graph.name} is read without any modality beside structure, which could be exchanged')
    config = dataclasses.replace(
        run.config, sampler='bernoulli', strategy='mans_a', marks=PER_SAMPLE, num_negatives=NEGATIVES
    )
    data = run.data.replace(tables=build_tables(config.sampler_text(), run.graph))
    train, order = run.graph.train, np.random.default_rng(seed)
    shuffled = order.permutation(len(train))
    by_relation = shuffled[np.argsort(train[shuffled, 1], kind='stable')]
    count = np.bincount(train[:, 1], minlength=run.graph.num_relations)
    place = np.arange(len(train)) - np.repeat(np.cumsum(count) - count, count)
    sample = train[by_relation[place < TRIPLES_PER_RELATION]]
    virtual = _choose(run.model, config, data, params, sample, jax.random.key(seed)).sum(axis=1)
    relation = np.argsort(-count, kind='stable')[: np.count_nonzero(count)]
    judged = np.minimum(count, TRIPLES_PER_RELATION)[relation] * NEGATIVES
    share = np.bincount(sample[:, 1], weights=virtual, minlength=len(count))[relation] / judged
    overall = float(np.average(share, weights=count[relation]))
    return AdaptiveChoice(relation, share, judged, count[relation], overall)


def _choose(model, config, data, params, triples, key) -> np.ndarray:
    """Which negatives of triples int[N, 3] are virtual, bool[N, K]."""

    @jax.jit
    def choose(data, params, key, positives):
        sampler, (init_key, sample_key) = sampler_of(config, data), jax.random.split(key)
        view = view_of(model, params, data.frozen, jnp.zeros(()))
        corruption, _ = sampler.sample(sampler.init(init_key), sample_key, positives, view)
        return corruption.virtual()

    chosen = []
    for i, (block, real) in enumerate(padded(triples, TRIPLES_PER_BLOCK)):
        found = choose(data, params, jax.random.fold_in(key, i), Triple.from_rows(jnp.asarray(block)))
        chosen.append(np.asarray(found)[:real])
    return np.concatenate(chosen)
