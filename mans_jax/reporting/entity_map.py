"""A map of entities: a seeded sample of them in the plane, once for each modality, and what may colour them."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mans_jax.graph import KnowledgeGraph
from mans_jax.models import FROZEN, PARAMS
from mans_jax.runs import Run

MOST_ENTITIES = 800
_PERPLEXITY, _ITERATIONS = 30, 750
_FEWEST = 8
"""Fewer points than this are no map."""

MOST_CLASSES, _MOST_COLOURINGS = 10, 4
OTHER, NONE = -1, -2
"""The class of an entity whose answer is not among the frequent ones, and of one without an answer."""

_DEGREES = (0, 1, 2, 4, 8, 16, 32)
"""The least degrees of the classes of degree."""


class Colouring(NamedTuple):
    """Classes of entities.

    Attributes:
        relation: the relation whose tail is the class, or None for classes of degree.
        labels: of the classes: entity ids of tails, or the least degrees.
        classes: int64[N], the class of each entity; OTHER or NONE where it has none of them.
    """

    relation: int | None
    labels: Sequence[int]
    classes: np.ndarray


class EntityMap(NamedTuple):
    """Where N entities lie.

    Attributes:
        entities: int64[N], ids.
        degree: int64[N], the distinct train triples that each is in.
        places: modality to float64[N, 2] in [0, 1], NaN where an entity lacks it; None for one that too few have.
        colourings: what they can be coloured by, the most telling one first.
    """

    entities: np.ndarray
    degree: np.ndarray
    places: dict[str, np.ndarray | None]
    colourings: list[Colouring]


def map_entities(run: Run, params: dict, seed: int) -> EntityMap:
    """Draws entities and lays them out by t-SNE, in each modality by their vectors as the model has them.

    See "Visualizing Data using t-SNE", van der Maaten, Hinton, 2008.

    Args:
        run: the run.
        params: its trained parameters.
        seed: of the sample and the layout.
    """
    graph = run.graph
    entities = np.sort(np.random.default_rng(seed).permutation(graph.num_entities)[:MOST_ENTITIES])
    views = run.model.apply(
        {PARAMS: params, FROZEN: run.data.frozen}, jnp.asarray(entities), method=lambda module, ids: module.embed(ids)
    )
    vectors, places = np.asarray(views.vectors), {}
    for m, modality in enumerate(graph.modalities):
        has = graph.present[entities, m]
        places[modality] = np.full((len(entities), 2), np.nan) if has.sum() >= _FEWEST else None
        if places[modality] is not None:
            places[modality][has] = lay_out(vectors[has, m], seed)
    degree = _degrees(graph)[entities]
    return EntityMap(entities, degree, places, colourings(graph, entities, degree))


def lay_out(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Places of vectors float32[N, D] in the plane, float64[N, 2] in [0, 1]; N is at least 2."""
    # Imported late: they take a second.
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # Vectors that are all one point have no principal axes to start from.
    start = 'pca' if np.ptp(vectors, axis=0).max() > 0 else 'random'
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    # Of so few points each step is short: threads would spend it waiting for one another.
    with threadpool_limits(1):
        layout = TSNE(2, init=start, perplexity=perplexity, max_iter=_ITERATIONS, random_state=seed)
        places = layout.fit_transform(vectors).astype(np.float64)
    places -= places.min(axis=0)
    return places / (places.max() or 1.0)


def colourings(graph: KnowledgeGraph, entities: np.ndarray, degree: np.ndarray) -> list[Colouring]:
    """What entities can be coloured by: the tails of the relations that class most of them, and their degree."""
    found = []
    triples = np.unique(np.concatenate([graph.train, graph.valid, graph.test]), axis=0)
    triples = triples[np.isin(triples[:, 0], entities)]
    for relation in np.unique(triples[:, 1]):
        head, tail = triples[triples[:, 1] == relation][:, [0, 2]].T
        frequent = np.bincount(tail)
        # Ascending by how frequent it is, so that of several tails the most frequent is what is kept.
        order = np.argsort(frequent[tail], kind='stable')
        tail_of = np.full(graph.num_entities, -1)
        tail_of[head[order]] = tail[order]
        tails, count = np.unique(tail_of[entities][tail_of[entities] >= 0], return_counts=True)
        by_count = np.argsort(-count, kind='stable')[:MOST_CLASSES]
        if len(by_count) > 1 and count[by_count[1]] > 1:
            classes = np.full(graph.num_entities + 1, OTHER)
            classes[tails[by_count]], classes[-1] = np.arange(len(by_count)), NONE
            found.append(Colouring(int(relation), tails[by_count].tolist(), classes[tail_of[entities]]))
    found.sort(key=lambda colouring: -np.count_nonzero(colouring.classes >= 0))
    by_degree = Colouring(None, _DEGREES, np.searchsorted(_DEGREES, degree, side='right') - 1)
    return [*found[:_MOST_COLOURINGS], by_degree]


def _degrees(graph) -> np.ndarray:
    """The distinct train triples of each entity, int64[E]; a loop is one triple of its entity."""
    head, _, tail = np.unique(graph.train, axis=0).T
    return np.bincount(np.concatenate([head, tail[tail != head]]), minlength=graph.num_entities)
