"""Link prediction taken apart: by side, relation, cardinality, modalities and degree of the answer."""

from collections.abc import Mapping

import numpy as np

from mans_jax.data.audit import CARDINALITY_THRESHOLD
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph
from mans_jax.rank_statistics import estimate, rank_columns
from mans_jax.ranking import TIES
from mans_jax.tasks.protocols import Tally

CARDINALITIES = ('1-1', '1-N', 'N-1', 'N-N')
"""Heads a tail - tails a head: N from a mean of `data.audit.CARDINALITY_THRESHOLD` on, as the audit has it."""


def link_prediction_breakdowns(
    tallies: Mapping[str, Tally], graph: KnowledgeGraph, triples: np.ndarray, ties: str = 'realistic', seed: int = 0
) -> dict:
    """The results of link prediction, whole and in parts.

    Args:
        tallies: protocol to Tally of int64[2, N], from `protocols.rank_links`.
        graph: the graph; its train split tells degrees, all splits together tell cardinalities.
        triples: int[N, 3], those that were ranked.
        ties: one of `mans_jax.ranking.TIES`, for everything but 'ties'.
        seed: of the bootstrap intervals.

    Returns:
        Protocol to {'micro', 'head', 'tail', 'macro', 'ties', 'relation', 'cardinality', 'coverage', 'degree'}. Micro
        counts every triple alike, its two ranks drawn together for the intervals; macro every relation alike, and draws
        relations. 'ties' holds micro by policy. The last four hold groups by name: of triples for 'relation' and
        'cardinality' (which has the sides apart as well), of answers for 'coverage' (the modalities that an answer has)
        and 'degree' (the distinct train triples that it is in). Each is as in `Estimate.describe`.
    """
    by_triple, by_answer = triple_groups(graph, triples), answer_groups(graph, triples)
    # [N, side, protocol, column] and [answer, protocol, column]: what a draw takes along belongs together.
    columns = np.stack([rank_columns(*tally, ties) for tally in tallies.values()], axis=2).swapaxes(0, 1)
    answers = columns.swapaxes(0, 1).reshape(-1, *columns.shape[2:])
    everything = estimate(columns, seed)
    by_relation = {label: estimate(columns[rows], seed) for label, rows in by_triple['relation'].items()}
    by_cardinality = {label: estimate(columns[rows], seed) for label, rows in by_triple['cardinality'].items()}
    macro = estimate(np.stack([found.means for found in by_relation.values()]), seed)
    parts = {
        name: {label: estimate(answers[rows], seed) for label, rows in groups.items()}
        for name, groups in by_answer.items()
    }
    return {
        protocol: {
            'micro': _both(everything, i),
            'head': _side(everything, HEAD, i),
            'tail': _side(everything, TAIL, i),
            'macro': _both(macro, i),
            'ties': {policy: estimate(_of_triples(tally, policy)).describe() for policy in TIES},
            'relation': {label: _both(found, i) for label, found in by_relation.items()},
            'cardinality': {
                label: _both(found, i) | {'head': _side(found, HEAD, i), 'tail': _side(found, TAIL, i)}
                for label, found in by_cardinality.items()
            },
            **{
                name: {label: found.map(lambda x, i=i: x[..., i, :]).describe() for label, found in groups.items()}
                for name, groups in parts.items()
            },
        }
        for i, (protocol, tally) in enumerate(tallies.items())
    }


def _side(found, side, protocol):
    return found.map(lambda x: x[..., side, protocol, :]).describe()


def _both(found, protocol):
    return found.map(lambda x: x[..., protocol, :].mean(axis=-2)).describe()


def _of_triples(tally, policy):
    return rank_columns(*tally, policy).mean(axis=0)


def triple_groups(graph: KnowledgeGraph, triples: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """The positions in [0, N) of the triples of each relation, and of each cardinality of their relation."""
    relation = triples[:, 1]
    every = np.concatenate([graph.train, graph.valid, graph.test])
    classes = cardinality(every, graph.num_relations)[relation]
    return {
        'relation': _positions(relation, graph.relations),
        'cardinality': _positions(classes, CARDINALITIES),
    }


def answer_groups(graph: KnowledgeGraph, triples: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """The positions in the flattened [2, N] array of answers, heads first, by what the answer has and is in."""
    answers = np.concatenate([triples[:, 0], triples[:, 2]])
    patterns, pattern = np.unique(graph.present, axis=0, return_inverse=True)
    coverage = ['+'.join(np.array(graph.modalities)[has]) or 'nothing' for has in patterns]
    head, _, tail = np.unique(graph.train, axis=0).T
    # As in the audit, a loop is one triple of its entity.
    degree = np.bincount(np.concatenate([head, tail[tail != head]]), minlength=graph.num_entities)
    return {
        'coverage': _positions(pattern.ravel()[answers], coverage),
        # 0, 1, 2 to 3, 4 to 7, ...: the number of binary digits.
        'degree': _positions(np.frexp(degree[answers])[1], [_degree_name(digits) for digits in range(33)]),
    }


def _degree_name(digits):
    low, high = (1 << digits) >> 1, (1 << digits) - 1
    return str(low) if low == high else f'{low}-{high}'


def cardinality(triples: np.ndarray, num_relations: int) -> np.ndarray:
    """The class of each relation, int64[R]: a position in CARDINALITIES, 0 for a relation without a triple.

    See "Translating Embeddings for Modeling Multi-relational Data", Bordes et al., 2013.

    Args:
        triples: int[N, 3], those of all splits; duplicates count once.
        num_relations: R.
    """
    distinct = np.unique(triples, axis=0)
    count = np.bincount(distinct[:, 1], minlength=num_relations)
    ends = {
        column: np.bincount(np.unique(distinct[:, [column, 1]], axis=0)[:, 1], minlength=num_relations)
        for column in (0, 2)
    }
    many_tails, many_heads = ((count >= CARDINALITY_THRESHOLD * ends[column]) & (count > 0) for column in (0, 2))
    return 2 * many_heads + many_tails


def _positions(group, names):
    """The positions of each group that has any, by name, in the order of the names."""
    order = np.argsort(group, kind='stable')
    bounds = np.searchsorted(group[order], np.arange(len(names) + 1))
    return {name: order[bounds[i] : bounds[i + 1]] for i, name in enumerate(names) if bounds[i] < bounds[i + 1]}
