"""Answers from a trained run: the best tails, heads and relations, by label."""

import dataclasses
import functools
import numbers
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from mans_jax.blocks import padded, relation_scores
from mans_jax.candidates import Candidates
from mans_jax.errors import InputError, not_finite
from mans_jax.graph import HEAD, TAIL, Triple
from mans_jax.models import FROZEN, PARAMS
from mans_jax.prediction.embedded import Embedded, embed_relations
from mans_jax.prediction.kept_calibration import Calibrations, calibrations
from mans_jax.prediction.nearest import unknown_label
from mans_jax.prediction.top_k import top_answers
from mans_jax.prediction.top_k_on_mesh import top_answers_on_mesh
from mans_jax.ranking import Queries
from mans_jax.runs import Run, load_run
from mans_jax.tasks.link_prediction import embed_candidates
from mans_jax.tasks.link_prediction_on_mesh import embed_candidates_on_mesh

QUERIES_PER_BLOCK = 128
_DEFAULT_K, _SMALLEST_K = 10, 16


@dataclasses.dataclass(frozen=True)
class Answers:
    """The k best answers of Q queries, best first; of equal scores the one with the lower id comes first.

    Where fewer than k answers are left, which only happens with `novel`, the rest of a row has label '', id -1, score
    minus infinity, rank 0 and probability 0.

    Attributes:
        labels: str objects [Q, k].
        ids: int32[Q, k].
        scores: float32[Q, k], plausibility.
        ranks: int32[Q, k], the place among all answers that are not left out, from 1.
        probabilities: float64[Q, k], see `Predictor.calibrations`.
        known: bool[Q, k], whether the fact stands in train, valid or test.
    """

    labels: np.ndarray
    ids: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray
    probabilities: np.ndarray
    known: np.ndarray


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A trained run that answers queries; made by `load`.

    Attributes:
        run: its graph and model.
        params: its trained parameters.
        candidates: all entities, embedded; on a mesh by shard.
        workdir: where its calibration is kept.
        step: of its checkpoint.
    """

    run: Run
    params: dict
    candidates: Candidates
    workdir: Path
    step: int

    @classmethod
    def load(cls, workdir, mesh: str = '') -> 'Predictor':
        """Reads a trained run: its best state on valid, or the last one where nothing was validated.

        The program that answers for heads and tails is compiled here, so that the first query need not wait.

        Args:
            workdir: the folder of the run.
            mesh: where its tables lie from now on, as `Config.mesh`; by default on one device.

        Raises:
            InputError: there is no run or no whole checkpoint, it is not of this version and graph, or the devices do
                not fill the mesh.
        """
        run, state = load_run(workdir, mesh)
        embed = embed_candidates_on_mesh if run.model.mesh else embed_candidates
        candidates = embed(run.model, {PARAMS: state.params, FROZEN: run.data.frozen})
        predictor = cls(run, state.params, candidates, Path(workdir), int(state.step))
        nothing = jnp.zeros(QUERIES_PER_BLOCK, jnp.int32)
        predictor._top(Queries(nothing, nothing, nothing), predictor._compiled_k(1), novel=False)
        return predictor

    def tails(self, heads, relations, k: int | None = None, *, novel: bool = False) -> Answers:
        """The k entities that most plausibly complete (head, relation, ?).

        Args:
            heads: Q labels or ids, or one for all queries.
            relations: likewise.
            k: answers a query, 10 by default; more than there are entities means all of them.
            novel: whether known facts are left out.

        Raises:
            InputError: a label or an id does not exist, k is below 1, or a score is not finite.
        """
        return self._complete(TAIL, heads, relations, k, novel)

    def heads(self, relations, tails, k: int | None = None, *, novel: bool = False) -> Answers:
        """The k entities that most plausibly complete (?, relation, tail); otherwise as `tails`."""
        return self._complete(HEAD, tails, relations, k, novel)

    def relations(self, heads, tails, k: int | None = None, *, novel: bool = False) -> Answers:
        """The k relations that most plausibly lead from head to tail; otherwise as `tails`."""
        head, tail = self._all_ids(heads, tails)
        k = self._at_most(k, self.run.graph.num_relations, 'relations')
        scores = np.zeros((len(head), self.run.graph.num_relations), dtype=np.float32)
        through = jnp.ones(self.run.graph.present.shape[1], bool)
        for i, (block, real) in enumerate(padded(np.stack([head, tail], axis=1), QUERIES_PER_BLOCK)):
            found = relation_scores(self.run.model, self._variables, block[:, 0], block[:, 1], through)
            scores[i * QUERIES_PER_BLOCK :][:real] = np.asarray(found)[:real]
        for query, relation in np.argwhere(~np.isfinite(scores))[:1]:
            raise not_finite(self.run.graph.describe(np.array([head[query], relation, tail[query]])))
        if novel:
            every = np.arange(self.run.graph.num_relations)
            scores[self._is_known(head[:, None], every, tail[:, None])] = -np.inf
        ids = np.argsort(-scores, axis=1, kind='stable')[:, :k].astype(np.int32)
        scores = np.take_along_axis(scores, ids, axis=1)
        ids = np.where(np.isfinite(scores), ids, -1)
        curve = self.calibrations.relation
        return self._answers(self.run.graph.relations, curve, ids, scores, (head[:, None], ids, tail[:, None]))

    @functools.cached_property
    def calibrations(self) -> Calibrations:
        """What makes a probability of a score, see `kept_calibration.fit_calibrations`; fitted when first asked for."""
        return calibrations(self.run, self.params, self.workdir, self.step)

    def entity_id(self, label: str) -> int:
        """The id of an entity.

        Raises:
            InputError: there is none of this label; the nearest ones are named.
        """
        return _find(self._entity_ids, label, self.run.graph.entities, 'entity')

    def relation_id(self, label: str) -> int:
        """The id of a relation; otherwise as `entity_id`."""
        return _find(self._relation_ids, label, self.run.graph.relations, 'relation')

    @functools.cached_property
    def _entity_ids(self):
        return {label: i for i, label in enumerate(self.run.graph.entities)}

    @functools.cached_property
    def _relation_ids(self):
        return {label: i for i, label in enumerate(self.run.graph.relations)}

    @property
    def _variables(self):
        return {PARAMS: self.params, FROZEN: self.run.data.frozen}

    @functools.cached_property
    def _embedded(self):
        return Embedded(self.candidates, embed_relations(self.run.model, self._variables))

    def _complete(self, side, kept, relations, k, novel) -> Answers:
        graph = self.run.graph
        kept, relation = self._all_ids(kept, relations, second='relation')
        k = self._at_most(k, graph.num_entities, 'entities')
        compiled_k = self._compiled_k(k)
        ids, scores = np.zeros((len(kept), k), np.int32), np.zeros((len(kept), k), np.float32)
        for i, (block, real) in enumerate(padded(np.stack([kept, relation], axis=1), QUERIES_PER_BLOCK)):
            queries = Queries(np.full(len(block), side, np.int32), block[:, 0], block[:, 1])
            top = jax.device_get(self._top(queries, compiled_k, novel))
            if top.bad_query >= 0:
                ends = (top.bad_entity, block[top.bad_query, 0])
                head, tail = ends if side == HEAD else ends[::-1]
                raise not_finite(graph.describe(np.array([head, block[top.bad_query, 1], tail])))
            rows = slice(i * QUERIES_PER_BLOCK, i * QUERIES_PER_BLOCK + real)
            ids[rows], scores[rows] = top.entity[:real, :k], top.score[:real, :k]
        ids[ids == graph.num_entities] = -1
        kept, relation = kept[:, None], relation[:, None]
        triples = (ids, relation, kept) if side == HEAD else (kept, relation, ids)
        return self._answers(graph.entities, self.calibrations.entity, ids, scores, triples)

    def _top(self, queries, k, novel):
        if self.run.model.mesh:
            return top_answers_on_mesh(
                self.run.model, self._variables, self.candidates, queries, k, self.run.known, novel
            )
        return top_answers(self.run.model.score, self._embedded, queries, k, self.run.known, novel)

    def _answers(self, names, curve, ids, scores, triples) -> Answers:
        is_answer = ids >= 0
        labels = np.array([*names, ''], dtype=object)[ids]
        return Answers(
            labels=labels,
            ids=ids,
            scores=scores,
            ranks=np.where(is_answer, np.arange(1, ids.shape[1] + 1, dtype=np.int32), 0),
            probabilities=np.where(is_answer, curve.probability(np.where(is_answer, scores, 0)), 0.0),
            known=is_answer & self._is_known(*triples),
        )

    def _is_known(self, head, relation, tail) -> np.ndarray:
        ids = np.broadcast_arrays(head, relation, tail)
        rows, shape = np.stack([x.ravel() for x in ids], axis=1).astype(np.int32), ids[0].shape
        blocks = [
            np.asarray(_contains(self.run.known, Triple.from_rows(np.maximum(block, 0))))[:real]
            for block, real in padded(rows, 1 << 14)
        ]
        return np.concatenate([np.zeros(0, bool), *blocks]).reshape(shape)

    def _all_ids(self, first, second_values, second='entity'):
        """Ids int32[Q] of what was given for two of a triple's three places."""
        find = {'entity': (self.entity_id, self.run.graph.entities)}
        find['relation'] = (self.relation_id, self.run.graph.relations)
        found = [_ids(first, 'entity', *find['entity']), _ids(second_values, second, *find[second])]
        try:
            return np.broadcast_arrays(*found)
        except ValueError:
            raise InputError(f'{len(found[0])} and {len(found[1])} values for the same queries; give as many') from None

    @staticmethod
    def _at_most(k, size, what):
        if k is None:
            return min(_DEFAULT_K, size)
        if not isinstance(k, numbers.Integral) or k < 1:
            raise InputError(f'k is {k!r}, but must be a whole number, at least 1')
        k = int(k)
        if k > size:
            logging.warning('k is %d, but there are only %d %s: all of them are returned', k, size, what)
        return min(k, size)

    def _compiled_k(self, k):
        """The next power of two, so that few programs serve every k."""
        return min(max(_SMALLEST_K, 1 << (k - 1).bit_length()), self.run.graph.num_entities)


_contains = jax.jit(lambda known, triples: known.contains(triples))


def _ids(values, kind, find, labels):
    values = [values] if np.ndim(values) == 0 else list(values)
    return np.array([_checked_id(value, kind, find, labels) for value in values], dtype=np.int32)


def _checked_id(value, kind, find, labels):
    if isinstance(value, str):
        return find(value)
    if not isinstance(value, numbers.Integral):
        raise InputError(f'{value!r} cannot be the label or the id of any {kind}')
    if not 0 <= value < len(labels):
        raise InputError(f'{kind} id {value} is not in [0, {len(labels)})')
    return int(value)


def _find(ids, label, labels, kind):
    if label not in ids:
        raise unknown_label(label, labels, kind)
    return ids[label]
