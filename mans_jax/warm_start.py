"""A training state for a graph that has grown: what was learned is kept, and rows that are new are estimated.

Two things tell where the structural row of an entity should be that no train triple named before: its features, through
a ridge regression from the features of trained entities to their rows; and its triples, since a score function says
what the missing entity beside another one and a relation should look like (`MultiModalEmbedding.query`).
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import Ridge

from mans_jax.graph import HEAD, TAIL, KnowledgeGraph
from mans_jax.models import FROZEN, PARAMS, MultiModalEmbedding
from mans_jax.optim import ENTITY
from mans_jax.runs import Run
from mans_jax.scoring import unit
from mans_jax.training_step import TrainState, init_state

PENALTIES = tuple(10.0**power for power in range(-6, 1))
"""What the penalty of the regression is chosen from, in units of the features' mean square norm."""

WEIGHTS = tuple(2.0**power for power in range(-4, 7))
"""What the weight of a regression is chosen from: as many neighbours."""

_ROUNDS = 3
"""Neighbours may be new themselves: so often are estimates made from the estimates of before."""

_HELD_OUT, _MOST_HELD_OUT, _FEWEST_TRAINED = 0.1, 1000, 20
_TRIPLES_PER_CALL = 1 << 14


@dataclasses.dataclass(frozen=True)
class Estimates:
    """Structural rows of entities that have no trained one.

    Attributes:
        rows: float32[E, D]; all but the estimated ones are those that were given.
        estimated: bool[E], which rows are estimates.
        weight: the one of WEIGHTS that a regression has beside neighbours; None where there is no regression, for want
            of features or of trained entities.
        agreement: the mean cosine between the estimates and the rows of trained entities that were held out of the
            regression; None where there are too few.
    """

    rows: Float[np.ndarray, 'E D']
    estimated: Bool[np.ndarray, 'E']
    weight: float | None
    agreement: float | None


def extend_state(old: Run, state: TrainState, new: Run) -> tuple[TrainState, Estimates]:
    """The state from which training goes on when a graph has got more entities and triples.

    Everything that was learned stays. The optimiser's slots of an estimated row become the mean of the trained rows'.
    The step is that of as many epochs of the new graph as the state has seen of the old one.

    Args:
        old: the run that was trained.
        state: its state.
        new: a run of the same recipe, on a graph that begins with the entities, and has the relations, of the old one.

    Returns:
        (state, estimates).
    """
    start = init_state(new.model, new.config, new.data)
    trained = named_in(old.graph.train, new.graph.num_entities)
    params = dict(state.params)
    params['entity'] = jnp.concatenate([params['entity'], start.params['entity'][old.graph.num_entities :]])
    estimates = estimate_rows(new, params, trained)
    params['entity'] = jnp.asarray(estimates.rows)
    anew = estimates.estimated | (np.arange(new.graph.num_entities) >= old.graph.num_entities)

    def grow(path, slot):
        if all(getattr(part, 'key', None) != ENTITY for part in path):
            return slot
        rows = jnp.pad(slot, ((0, new.graph.num_entities - len(slot)),) + ((0, 0),) * (slot.ndim - 1))
        is_new, counts = (mask.reshape(-1, *[1] * (slot.ndim - 1)) for mask in (anew, trained))
        return jnp.where(is_new, jnp.mean(rows, axis=0, where=counts).astype(slot.dtype), rows)

    epochs = int(state.step) // old.steps_per_epoch
    extended = start.replace(
        step=jnp.asarray(epochs * new.steps_per_epoch, jnp.int32),
        params=params,
        opt_state=jax.tree_util.tree_map_with_path(grow, state.opt_state),
    )
    return extended, estimates


def named_in(triples: np.ndarray, num_entities: int) -> np.ndarray:
    """Which entities the triples int[N, 3] name, bool[E]."""
    named = np.zeros(num_entities, dtype=bool)
    named[triples[:, [0, 2]]] = True
    return named


def estimate_rows(run: Run, params: dict, trained: np.ndarray) -> Estimates:
    """Estimates the structural rows of entities that are not trained and have features or train triples.

    With the regression f of an entity and the queries q_1 ... q_n that its train triples make of the entities on their
    other side, its row is (w f + s (q_1 + ... + q_n)) / (w + n), without w f where it has no feature. A regression's
    penalty, then w and s, are those that fit best the rows of a tenth of the trained entities, which the regression has
    not seen. Where the model normalises vectors, directions alone are estimated, and an estimate is as long as the
    median of the trained rows.

    Args:
        run: the run whose model, features and train triples are used.
        params: its parameters; what stands in rows that are not trained is not read.
        trained: bool[E], which rows are trained.
    """
    rows = np.asarray(params['entity'])
    target = _unit(rows) if run.model.normalize else rows
    has_features = run.graph.present[:, 1:].any(axis=1)
    held_out = _hold_out(trained & has_features if has_features.any() else trained)
    regression = _regress(run.graph, target, trained, held_out)
    told = _sum_queries(run, params, held_out, trained)
    weights = _weigh(target, regression, told, held_out) if held_out.any() else _Weights(1.0, 1.0)
    length = np.median(np.linalg.norm(rows[trained], axis=1))

    def estimate(queries):
        estimates = _combine(regression, queries, weights)
        if run.model.normalize:
            estimates = _unit(estimates) * length
        estimated = ~trained & (regression.known | (queries.number > 0))
        return np.where(estimated[:, None], estimates, rows).astype(np.float32), estimated

    table, estimated = estimate(_Queries(np.zeros_like(rows), np.zeros(len(rows))))
    for _ in range(_ROUNDS):
        queries = _sum_queries(run, {**params, 'entity': jnp.asarray(table)}, ~trained, trained | estimated)
        table, estimated = estimate(queries)
    agreement = None
    if held_out.any():
        fitted = _combine(regression, told, weights)[held_out]
        agreement = float(np.mean(np.sum(_unit(fitted) * _unit(target[held_out]), axis=1)))
    return Estimates(table, estimated, weights.regression if regression.known.any() else None, agreement)


class _Regression(NamedTuple):
    """What features say of rows: float[E, D], and of which entities they say anything, bool[E]."""

    rows: np.ndarray
    known: np.ndarray


class _Queries(NamedTuple):
    """What triples say of rows: the sum of their queries, float[E, D], and their number, float[E]."""

    total: np.ndarray
    number: np.ndarray


class _Weights(NamedTuple):
    """How much a regression weighs beside one neighbour, and the scale of queries."""

    regression: float
    query: float


def _combine(regression: _Regression, queries: _Queries, weights: _Weights) -> np.ndarray:
    """The estimates float[E, D]; zeros for entities of which nothing is known."""
    weight = weights.regression * regression.known
    total = weight[:, None] * regression.rows + weights.query * queries.total
    return total / np.maximum(weight + queries.number, 1e-12)[:, None]


def _weigh(target, regression, queries, held_out) -> _Weights:
    """The weights with the least square error on some entities: of each of WEIGHTS with its best scale, the best."""
    target, regression, queries = (jax.tree.map(lambda x: x[held_out], x) for x in (target, regression, queries))

    def fit(weight):
        from_features, from_queries = (_combine(regression, queries, _Weights(*w)) for w in ((weight, 0), (0, 1)))
        share = queries.number / np.maximum(queries.number + weight * regression.known, 1e-12)
        from_queries = from_queries * share[:, None]
        scale = np.sum(from_queries * (target - from_features)) / max(np.sum(from_queries**2), 1e-12)
        return np.sum((target - from_features - scale * from_queries) ** 2), _Weights(weight, scale)

    return min(map(fit, WEIGHTS))[1]


def _hold_out(candidates: np.ndarray) -> np.ndarray:
    """A tenth of the candidates at random, bool[E], none where there are too few."""
    number = int(_HELD_OUT * candidates.sum()) if candidates.sum() >= _FEWEST_TRAINED else 0
    held_out = np.zeros_like(candidates)
    held_out[np.random.default_rng(0).permutation(np.flatnonzero(candidates))[: min(number, _MOST_HELD_OUT)]] = True
    return held_out


def _regress(graph: KnowledgeGraph, target, trained, held_out) -> _Regression:
    """What features say of rows, of `held_out` without having seen theirs.

    One regression for every set of modalities that some entity has, from the trained entities that have them all.
    """
    regression = _Regression(np.zeros_like(target), np.zeros(len(target), dtype=bool))
    has = graph.present[:, 1:]
    for pattern in np.unique(has, axis=0):
        seen = trained & has[:, pattern].all(axis=1)
        asked, tested = (has == pattern).all(axis=1), seen & held_out
        if pattern.any() and (seen & ~held_out).sum() >= _FEWEST_TRAINED:
            features = _side_by_side([x for x, p in zip(graph.features.values(), pattern, strict=True) if p], seen)
            regression.rows[asked] = _ridge(features, target, seen & ~held_out, tested, asked)
            regression.known[asked] = True
    return regression


def _ridge(features, target, fitted, tested, asked) -> np.ndarray:
    """The rows of `asked` by a regression on `fitted`, with the penalty that predicts the rows of `tested` best."""

    def predict(penalty, wanted):
        model = Ridge(alpha=penalty * fitted.sum(), solver='cholesky').fit(features[fitted], target[fitted])
        return model.predict(features[wanted])

    def error(penalty):
        return np.sum((predict(penalty, tested) - target[tested]) ** 2)

    return predict(min(PENALTIES, key=error) if tested.any() else PENALTIES[-1], asked)


def _side_by_side(matrices: list[np.ndarray], seen: np.ndarray) -> np.ndarray:
    """Features float32[E, sum of F], each modality centred and scaled to a mean square norm of 1 over `seen`."""
    centred = [rows - rows[seen].mean(axis=0) for rows in matrices]
    sizes = [np.sqrt(np.mean(np.sum(rows[seen] ** 2, axis=1))) for rows in centred]
    return np.concatenate([rows / max(size, 1e-12) for rows, size in zip(centred, sizes, strict=True)], axis=1)


def _sum_queries(run: Run, params: dict, asked: np.ndarray, usable: np.ndarray) -> _Queries:
    """What train triples say of the entities `asked`, bool[E], judging by the entities `usable`, bool[E]."""
    head, relation, tail = run.graph.train.T
    side = np.repeat([HEAD, TAIL], len(head))
    answer, kept, relation = np.concatenate([head, tail]), np.concatenate([tail, head]), np.tile(relation, 2)
    told = np.flatnonzero(asked[answer] & usable[kept] & (answer != kept))
    total, variables = np.zeros(params['entity'].shape, np.float32), {PARAMS: params, FROZEN: run.frozen(params)}
    for start in range(0, len(told), _TRIPLES_PER_CALL):
        part = told[start : start + _TRIPLES_PER_CALL]
        # One shape for all calls: what is beyond the end repeats the first.
        padded = np.resize(part, _TRIPLES_PER_CALL)
        vectors = _query(run.model, variables, side[padded], kept[padded], relation[padded])
        np.add.at(total, answer[part], np.asarray(vectors)[: len(part)])
    return _Queries(total, np.bincount(answer[told], minlength=len(total)).astype(np.float32))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(unit(jnp.asarray(vectors)))


@partial(jax.jit, static_argnames='model')
def _query(model: MultiModalEmbedding, variables, side, kept, relation):
    """The mean over the kept entity's modalities of what it asks for, float32[N, D]."""
    views = model.apply(variables, side, kept, relation, method=model.query)
    vectors = unit(views.vectors) if model.normalize else views.vectors
    number = jnp.maximum(jnp.sum(views.present, axis=-1, keepdims=True), 1)
    return jnp.sum(vectors * views.present[..., None], axis=-2) / number
