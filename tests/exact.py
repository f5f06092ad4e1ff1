"""Small random models whose scores are exact, so that ties are ties and brute force must agree to the last bit."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax.graph import KnowledgeGraph, KnownTriples
from mans_jax.models import FROZEN, PARAMS, MultiModalEmbedding, frozen_variables, init_params, model_for
from mans_jax.scoring import SCORES

E, R, M, D = 13, 4, 3, 3
TRAIN, VALID, TEST = 40, 12, 24


class World(NamedTuple):
    """A graph, a model of it and what the model must say.

    Attributes:
        graph: E entities, some without structure, image or text.
        model: TransE with the L1 norm over M modalities.
        variables: small multiples of a half.
        known: the triples of all splits, in arrays of one size.
        facts: bool[E, R, E], the same.
        scores: float64[E, R, E], of every triple.
        compared: float64[M, M, E, R, E], by modality of the head and of the tail, not weighted.
    """

    graph: KnowledgeGraph
    model: MultiModalEmbedding
    variables: dict
    known: KnownTriples
    facts: np.ndarray
    scores: np.ndarray
    compared: np.ndarray


def exact_world(seed: int) -> World:
    """A random world; worlds differ in numbers alone, so that one program serves all."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, [E, R, E], (TRAIN + VALID + TEST, 3)).astype(np.int32)
    present = rng.random((E, M)) < 0.7
    present[:, 0] |= ~present.any(axis=1)
    widths = {'image': 2, 'text': 2}
    features = {
        name: np.where(present[:, [m]], rng.integers(-1, 2, (E, width)), 0).astype(np.float32)
        for m, (name, width) in enumerate(widths.items(), start=1)
    }
    train, valid, test = np.split(rows, [TRAIN, TRAIN + VALID])
    names = tuple(f'entity {i}' for i in range(E)), tuple(f'relation {i}' for i in range(R))
    graph = KnowledgeGraph('exact', *names, train, valid, test, features, present)
    model = model_for(graph, SCORES['transe_l1'], dim=D, normalize=False)
    params = jax.tree.map(
        lambda x: jnp.asarray(rng.integers(-2, 3, x.shape) / 2, jnp.float32), init_params(model, jax.random.key(0))
    )
    facts = np.zeros((E, R, E), bool)
    facts[tuple(rows.T)] = True
    compared = _compared(graph, jax.device_get(params))
    weights = present * (M / present.sum(axis=1, keepdims=True))
    scores = np.einsum('mnhrt,hm,tn->hrt', compared, weights, weights)
    variables = {PARAMS: params, FROZEN: frozen_variables(graph)}
    return World(graph, model, variables, fixed_size(rows, E, R), facts, scores, compared)


def _compared(graph, params):
    views = [params['entity'].astype(np.float64)]
    for name, rows in graph.features.items():
        views.append(rows @ params[f'{name}_kernel'].T.astype(np.float64) + params[f'{name}_bias'])
    moved = np.stack(views)[:, :, None] + params['relation']
    return -np.abs(moved[:, None, :, :, None] - np.stack(views)[None, :, None, None]).sum(axis=-1)


def fixed_size(rows: np.ndarray, num_entities: int, num_relations: int) -> KnownTriples:
    """An index of rows whose arrays and bounds depend on their number alone."""
    known = KnownTriples.build(rows, num_entities=num_entities, num_relations=num_relations)
    most = 2 * len(rows) + 2

    def padded(values):
        return jnp.pad(values, (0, most - len(values)), mode='edge')

    return dataclasses.replace(
        known,
        query_relation=padded(known.query_relation),
        answer_start=padded(known.answer_start),
        answers=padded(known.answers),
        unknown_below=padded(known.unknown_below),
        max_queries=num_relations,
        max_answers=num_entities,
    )
