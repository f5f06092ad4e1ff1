"""Link prediction taken apart: by protocol, tie policy, side, relation, and by what is known of the answer."""

import numpy as np

from mans_jax.data.audit import CARDINALITY_THRESHOLD
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph
from mans_jax.protocols import PROTOCOLS, SeenWithRelation, Standing
from mans_jax.rank_statistics import groups_of, macro, terms
from mans_jax.ranking import TIES, ranks

DEGREES = (0, 1, 2, 5, 10, 20, 50, 100)
"""The least degree of each bin."""


def breakdowns(
    standing: Standing,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    *,
    ties: str = 'realistic',
    resamples: int = 1000,
    seed: int = 0,
) -> dict:
    """Every metric of link prediction on N triples, over all of them and by group.

    Args:
        standing: from `stand_by_protocol`, Standing of int64[3, 2, N].
        graph: the graph.
        triples: int[N, 3], as they were ranked.
        ties: the policy by which groups are told, and which has intervals; one of TIES.
        resamples: of the bootstrap; 0 for no intervals.
        seed: of the bootstrap.

    Returns:
        {'triples': N, 'ties', 'answers_seen': share of answers that train has on that side of the relation,
        'protocols': {protocol: {policy: {metrics of all ranks, 'head', 'tail': of each side, 'macro': the mean over
        relations}}}, 'by': {grouping: {group: {'triples', 'ranks', protocol: metrics}}}}; metrics as
        `mans_jax.rank_statistics.describe` has them.
    """
    # [2, N, protocol, policy, TERMS]
    by_policy = np.stack([ranks(standing.better, standing.tied, policy) for policy in TIES], axis=-1)
    others = np.broadcast_to(standing.others[..., None], by_policy.shape)
    all_terms = np.moveaxis(terms(by_policy, others), 0, 2)
    everything = np.ones((2, len(triples)), dtype=bool)
    named = {'side': {'both': everything, 'head': _side(everything, HEAD), 'tail': _side(everything, TAIL)}}
    named |= groupings(graph, triples)
    told = _nested(all_terms[:, :, :, TIES.index(ties)], named, resamples, np.random.default_rng(seed))
    # Without intervals, which would cost as much for each policy.
    every = _nested(all_terms, {name: named[name] for name in ('side', 'relation')}, 0)

    def of_policy(p, q):
        groups, index = (told, (p,)) if TIES[q] == ties else (every, (p, q))
        both, head, tail = (group.describe(*index) for group in groups['side'].values())
        return {**both, 'head': head, 'tail': tail, 'macro': macro(groups['relation'].values(), *index)}

    def of_group(group):
        by_protocol = {protocol: group.describe(p) for p, protocol in enumerate(PROTOCOLS)}
        return {'triples': group.triples, 'ranks': group.ranks, **by_protocol}

    return {
        'triples': len(triples),
        'ties': ties,
        'answers_seen': float(np.mean(_answers_seen(graph, triples))),
        'protocols': {
            protocol: {policy: of_policy(p, q) for q, policy in enumerate(TIES)} for p, protocol in enumerate(PROTOCOLS)
        },
        'by': {
            grouping: {name: of_group(group) for name, group in groups.items()}
            for grouping, groups in told.items()
            if grouping != 'side'
        },
    }


def _nested(terms, named, resamples, rng=None):
    """`groups_of` for groups within groupings."""
    flat = {(grouping, name): member for grouping, of in named.items() for name, member in of.items()}
    nested = {}
    for (grouping, name), group in groups_of(terms, flat, resamples, rng).items():
        nested.setdefault(grouping, {})[name] = group
    return nested


def groupings(graph: KnowledgeGraph, triples: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """The groups that ranks are told by, without empty ones.

    Args:
        graph: the graph.
        triples: int[N, 3].

    Returns:
        {'relation', 'cardinality', 'cardinality_and_side', 'coverage', 'degree': {group: bool[2, N], by side}}.
        Cardinality is that of the relation, heads to tails; coverage and degree are those of the answer: the modalities
        that it has, and how many distinct train triples name it.
    """
    everything = np.ones((2, len(triples)), dtype=bool)
    relation, answer = triples[:, 1], triples[:, [0, 2]].T
    kinds = cardinalities(graph)
    cardinality = {kind: everything & (kinds[relation] == kind) for kind in ('1-1', '1-N', 'N-1', 'N-N')}
    degree = degrees(graph)[answer]
    bins = {
        f'{low}' if high == low + 1 else f'{low}-{high - 1}' if high else f'{low}+': (degree >= low)
        & ((degree < high) if high else True)
        for low, high in zip(DEGREES, (*DEGREES[1:], None), strict=True)
    }
    groups = {
        'relation': {graph.relations[r]: everything & (relation == r) for r in np.unique(relation)},
        'cardinality': cardinality,
        'cardinality_and_side': {
            f'{kind} {name}': _side(member, side)
            for kind, member in cardinality.items()
            for name, side in (('head', HEAD), ('tail', TAIL))
        },
        'coverage': _coverage(graph, answer),
        'degree': bins,
    }
    return {name: {key: member for key, member in of.items() if member.any()} for name, of in groups.items()}


def cardinalities(graph: KnowledgeGraph) -> np.ndarray:
    """'1-1', '1-N', 'N-1' or 'N-N' (heads - tails) for each relation, '' for one without a triple; str[R].

    A side counts as N from a mean of CARDINALITY_THRESHOLD on, over the distinct triples of all splits: see
    "Translating Embeddings for Modeling Multi-relational Data", Bordes et al., 2013.
    """
    distinct = np.unique(np.concatenate([graph.train, graph.valid, graph.test]), axis=0)
    number = np.bincount(distinct[:, 1], minlength=graph.num_relations)
    many = []
    for column in (2, 0):
        # The heads of a tail of a relation are, in the mean, its triples by its distinct tails.
        relation = np.unique(distinct[:, [1, column]], axis=0)[:, 0]
        many.append(number >= CARDINALITY_THRESHOLD * np.bincount(relation, minlength=graph.num_relations))
    heads, tails = (np.where(side, 'N', '1') for side in many)
    return np.where(number > 0, np.char.add(np.char.add(heads, '-'), tails), '')


def degrees(graph: KnowledgeGraph) -> np.ndarray:
    """How many distinct train triples name each entity, int64[E]; a loop names its entity once."""
    head, _, tail = np.unique(graph.train, axis=0).T
    return np.bincount(np.concatenate([head, tail[tail != head]]), minlength=graph.num_entities)


def _side(member, side):
    """The ranks of a group that are about one side."""
    return member & (np.arange(2)[:, None] == side)


def _coverage(graph, answer):
    """Groups by the set of modalities that the answer has, the largest sets first."""
    code = graph.present @ (1 << np.arange(graph.present.shape[1]))
    codes = sorted(np.unique(code).tolist(), key=lambda c: (-c.bit_count(), c))
    names = {c: ' + '.join(name for m, name in enumerate(graph.modalities) if c >> m & 1) or 'none' for c in codes}
    return {names[c]: code[answer] == c for c in codes}


def _answers_seen(graph, triples):
    """Whether train has the answer on that side of the relation, bool[2, N]."""
    seen = SeenWithRelation.build(graph.train, num_entities=graph.num_entities, num_relations=graph.num_relations)
    return np.stack([seen.contains(side, triples[:, 1], triples[:, 2 * side]) for side in (HEAD, TAIL)])
