"""What a graph holds that decides how far results on it can be trusted: leaks, trivial triples, gaps and copies."""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np

from mans_jax.data import overlaps, splits
from mans_jax.data.overlaps import Overlap
from mans_jax.data.splits import SplitReport
from mans_jax.graph import STRUCTURE, KnowledgeGraph

OVERLAP_THRESHOLD = 0.8
"""The share of a relation's pairs from which on it gives another one away, as in Akrami et al., 2020."""

MIN_SHARED = 10
"""The least number of shared pairs: most relations of a real graph are small, and a share of them says nothing."""

CARDINALITY_THRESHOLD = 1.5
"""The mean number of tails per head, or heads per tail, from which on a side counts as N (Bordes et al., 2013)."""

QUANTILES = (0, 10, 25, 50, 75, 90, 99, 100)
"""The percentiles of the degrees."""

_NUM_HUBS = 5
_NUM_EXAMPLES = 3


@dataclasses.dataclass(frozen=True)
class Unseen:
    """Entities or relations that no train triple names.

    Attributes:
        count: how many.
        never_named: how many of them no triple of any split names.
        valid: how many distinct valid triples name one.
        test: how many distinct test triples name one.
        examples: labels of a few that test or valid names.
    """

    count: int
    never_named: int
    valid: int
    test: int
    examples: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Cardinality:
    """The relations of one class, '1-1', '1-N', 'N-1' or 'N-N' (heads - tails), and their distinct triples."""

    name: str
    relations: int
    train: int
    valid: int
    test: int


@dataclasses.dataclass(frozen=True)
class Degrees:
    """How many distinct train triples name an entity.

    Attributes:
        mean: over all entities.
        quantiles: by percentile.
        hubs: (label, degree) of the entities with the largest degrees.
    """

    mean: float
    quantiles: Mapping[int, int]
    hubs: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True)
class Modality:
    """What one modality covers.

    Attributes:
        name: its name.
        width: the number of its features; None for structure, which covers an entity that a train triple names.
        entities: how many entities have it.
        train: how many train lines have it at both ends.
        valid: the same of valid.
        test: the same of test.
        zero_rows: how many entities that have it have nothing but zeros.
        shared_rows: how many entities have exactly the row of another one; rows of zeros aside.
        shared_values: how many different rows these entities have.
        examples: labels of a few entities that share one row, the most shared.
    """

    name: str
    width: int | None
    entities: int
    train: int
    valid: int
    test: int
    zero_rows: int = 0
    shared_rows: int = 0
    shared_values: int = 0
    examples: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Audit:
    """Everything that `audit` found; numbers, labels and nothing that is printed.

    Attributes:
        name: the graph's.
        entities: E.
        relations: R.
        splits: lines, duplicates and leaks, before anything is left out.
        loops: how many distinct triples, all splits together, have one entity at both ends.
        unseen_entities: entities that train does not name.
        unseen_relations: relations that train does not name.
        overlap_threshold: the share of its pairs from which on a relation gives another one away.
        min_shared: the least number of them.
        overlaps: the relations that give others away, as `overlaps.find` has them.
        trivial_valid: how many distinct valid triples, leaks aside, follow from a train triple by an overlap.
        trivial_test: the same of test.
        cardinality_threshold: the mean that separates 1 from N.
        cardinalities: the four classes; a relation without a triple is in none.
        degrees: of the entities, in train.
        modalities: structure first.
        unknown: how many entities have neither a train triple nor a feature.
    """

    name: str
    entities: int
    relations: int
    splits: SplitReport
    loops: int
    unseen_entities: Unseen
    unseen_relations: Unseen
    overlap_threshold: float
    min_shared: int
    overlaps: tuple[Overlap, ...]
    trivial_valid: int
    trivial_test: int
    cardinality_threshold: float
    cardinalities: tuple[Cardinality, ...]
    degrees: Degrees
    modalities: tuple[Modality, ...]
    unknown: int


def audit(graph: KnowledgeGraph) -> Audit:
    """Looks for what makes results on a graph look better or worse than they should.

    See "Observed versus latent features for knowledge base and text inference", Toutanova and Chen, 2015, and
    "Realistic Re-evaluation of Knowledge Graph Completion Methods", Akrami et al., 2020 (arXiv 2003.08001), on triples
    that others give away; "Translating Embeddings for Modeling Multi-relational Data", Bordes et al., 2013, on the
    classes of cardinality.

    Args:
        graph: the graph as `load_graph(..., splits='published')` reads it; cleaned, it has no faults left to count.

    Returns:
        The audit.
    """
    published = {split: graph.split(split) for split in ('train', 'valid', 'test')}
    distinct, new = _distinct(published)
    every = np.concatenate(list(new.values()))
    named = _named(distinct['train'], (0, 2), graph.num_entities)
    found, trivial = overlaps.find(new, graph.relations, threshold=OVERLAP_THRESHOLD, min_shared=MIN_SHARED)
    return Audit(
        name=graph.name,
        entities=graph.num_entities,
        relations=graph.num_relations,
        splits=splits.as_published(published)[1],
        loops=int((every[:, 0] == every[:, 2]).sum()),
        unseen_entities=_unseen(distinct, (0, 2), graph.entities),
        unseen_relations=_unseen(distinct, (1,), graph.relations),
        overlap_threshold=OVERLAP_THRESHOLD,
        min_shared=MIN_SHARED,
        overlaps=found,
        trivial_valid=int(trivial['valid'].sum()),
        trivial_test=int(trivial['test'].sum()),
        cardinality_threshold=CARDINALITY_THRESHOLD,
        cardinalities=_cardinalities(every, distinct, graph.num_relations),
        degrees=_degrees(distinct['train'], graph.entities),
        modalities=(
            Modality(STRUCTURE, None, int(named.sum()), **_covered(named, published)),
            *(
                _modality(name, matrix, graph.present[:, m], published, graph.entities)
                for m, (name, matrix) in enumerate(graph.features.items(), start=1)
            ),
        ),
        unknown=int((~named & ~graph.present[:, 1:].any(axis=1)).sum()),
    )


def _distinct(published: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The distinct triples of each split; and of these, so that none is there twice, those that leaked nowhere."""
    distinct, new = {}, {}
    for split, (first, seen) in splits.mark(published).items():
        distinct[split] = published[split][first]
        new[split] = published[split][first & ~np.any([~first, *seen.values()], axis=0)]
    return distinct, new


def _named(rows: np.ndarray, columns: tuple[int, ...], number: int) -> np.ndarray:
    """Which of a number of entities or relations these columns name, bool[number]."""
    named = np.zeros(number, dtype=bool)
    named[rows[:, columns]] = True
    return named


def _unseen(distinct: Mapping[str, np.ndarray], columns: tuple[int, ...], labels: tuple[str, ...]) -> Unseen:
    """Who these columns name in valid or test, but not in train."""
    named = {split: _named(rows, columns, len(labels)) for split, rows in distinct.items()}
    unseen = ~named['train']
    asked = unseen & (named['valid'] | named['test'])
    return Unseen(
        count=int(unseen.sum()),
        never_named=int(unseen.sum() - asked.sum()),
        examples=tuple(labels[i] for i in np.flatnonzero(asked)[:_NUM_EXAMPLES]),
        **{split: int(unseen[distinct[split][:, columns]].any(axis=1).sum()) for split in ('valid', 'test')},
    )


def _cardinalities(every: np.ndarray, distinct: Mapping[str, np.ndarray], num_relations: int) -> tuple:
    """The classes of relations, by the distinct triples of all splits together."""
    triples = np.bincount(every[:, 1], minlength=num_relations)
    many = {}
    for side, column in (('heads', 2), ('tails', 0)):
        # The heads per tail of a relation are its triples by its distinct tails.
        relation = np.unique(every[:, 1].astype(np.int64) + every[:, column].astype(np.int64) * num_relations)
        others = np.bincount(relation % num_relations, minlength=num_relations)
        many[side] = triples >= CARDINALITY_THRESHOLD * others
    classes = []
    for heads, tails in ((False, False), (False, True), (True, False), (True, True)):
        members = (many['heads'] == heads) & (many['tails'] == tails) & (triples > 0)
        numbers = {split: int(members[rows[:, 1]].sum()) for split, rows in distinct.items()}
        classes.append(Cardinality(f'{"1N"[heads]}-{"1N"[tails]}', int(members.sum()), **numbers))
    return tuple(classes)


def _degrees(train: np.ndarray, labels: tuple[str, ...]) -> Degrees:
    ends = np.concatenate([train[:, 0], train[train[:, 0] != train[:, 2], 2]])
    degree = np.bincount(ends, minlength=len(labels))
    hubs = np.argsort(-degree, kind='stable')[:_NUM_HUBS]
    # The least degree that so many percent of the entities do not exceed: a degree that one has, never in between.
    values = np.percentile(degree, QUANTILES, method='inverted_cdf')
    return Degrees(
        mean=float(degree.mean()),
        quantiles={percent: int(value) for percent, value in zip(QUANTILES, values, strict=True)},
        hubs=tuple((labels[i], int(degree[i])) for i in hubs),
    )


def _covered(present: np.ndarray, published: Mapping[str, np.ndarray]) -> dict[str, int]:
    """By split, how many lines name entities of a modality alone."""
    return {split: int(present[rows[:, [0, 2]]].all(axis=1).sum()) for split, rows in published.items()}


def _modality(name: str, matrix: np.ndarray, present: np.ndarray, published, labels: tuple[str, ...]) -> Modality:
    """The coverage of one feature matrix float32[E, F], and the rows in it that tell nothing."""
    zero = present & ~matrix.any(axis=1)
    groups = {}
    for entity in np.flatnonzero(present & ~zero).tolist():
        # Adding 0 makes -0 a 0. A digest in place of the row, so that a wide matrix is not held twice.
        row = hashlib.blake2b((matrix[entity] + 0.0).tobytes(), digest_size=16).digest()
        groups.setdefault(row, []).append(entity)
    shared = sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)
    return Modality(
        name=name,
        width=matrix.shape[1],
        entities=int(present.sum()),
        **_covered(present, published),
        zero_rows=int(zero.sum()),
        shared_rows=sum(map(len, shared)),
        shared_values=len(shared),
        examples=tuple(labels[i] for i in shared[0][:_NUM_EXAMPLES]) if shared else (),
    )
