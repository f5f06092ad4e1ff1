"""Triple classification: is a fact true? True triples against as many filtered corruptions of them."""

from collections.abc import Callable

import numpy as np

from mans_jax.errors import NotServable
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph, KnownTriples
from mans_jax.negatives import corrupt

HONEST, REFERENCE = 'honest', 'reference'


def classify_triples(
    score: Callable[[np.ndarray], np.ndarray],
    graph: KnowledgeGraph,
    split: str,
    known: KnownTriples,
    seed: int = 0,
    protocol: str = HONEST,
) -> dict:
    """How well a threshold on the score tells the triples of a split from corruptions of them.

    'honest': in each triple, head or tail by the toss of a coin is replaced by an entity that makes no triple of any
    split, and a triple counts as true where its score is above the threshold of its relation, the one that is most
    accurate on valid triples and corruptions of theirs. A relation without a valid triple has the threshold of all.

    'reference': the habits of OpenKE, which the published code of MANS is built on. Corruptions are filtered by train
    alone, so that some are true, and there is one threshold, the most accurate one on the very triples that are judged.

    Args:
        score: triples int[N, 3] -> float[N], higher is better.
        graph: the graph.
        split: the split whose triples are judged.
        known: the triples of all splits.
        seed: decides the corruptions.
        protocol: 'honest' or 'reference'.

    Returns:
        {'accuracy', 'precision', 'recall', 'f1', 'roc_auc', 'average_precision', 'positives', 'negatives',
        'without_corruption'}; the last counts triples left out because every entity makes a known triple. The areas are
        of the raw scores, whatever the threshold.

    Raises:
        NotServable: the split is valid, on which thresholds are chosen.
    """
    if split == 'valid' and protocol == HONEST:
        raise NotServable('thresholds are chosen on valid, so that it cannot be judged by them; take --split=test')
    if protocol == REFERENCE:
        sizes = {'num_entities': graph.num_entities, 'num_relations': graph.num_relations}
        known = KnownTriples.build(graph.train, **sizes)
    positive, negative = _pairs(graph.split(split), known, (seed, 0))
    scores = score(positive), score(negative)
    if protocol == REFERENCE:
        limits = [np.full(len(x), best_threshold(*scores)) for x in scores]
    else:
        valid = _pairs(graph.valid, known, (seed, 1))
        thresholds = relation_thresholds(valid, [score(x) for x in valid], graph.num_relations)
        limits = [thresholds[x[:, 1]] for x in (positive, negative)]
    found = binary_metrics(scores, [x > limit for x, limit in zip(scores, limits, strict=True)])
    sizes = {'positives': len(positive), 'negatives': len(negative)}
    return {**found, **sizes, 'without_corruption': len(graph.split(split)) - len(positive)}


def _pairs(triples, known, seed):
    """Triples that have a corruption, and it."""
    sides = np.random.default_rng(seed).integers(HEAD, TAIL + 1, len(triples))
    negative, exists = corrupt(triples, sides, known, (*seed, 1))
    if not exists.any():
        raise NotServable('every entity makes a known triple in every place, so that nothing is false')
    return triples[exists], negative[exists]


def relation_thresholds(triples, scores, num_relations: int) -> np.ndarray:
    """The most accurate threshold of each relation, float64[R].

    Args:
        triples: (positive int[P, 3], negative int[N, 3]).
        scores: their scores, (float[P], float[N]).
        num_relations: R; a relation without a triple has the threshold of all.
    """
    thresholds = np.full(num_relations, best_threshold(*scores))
    for relation in np.unique(np.concatenate([x[:, 1] for x in triples])):
        own = [x[rows[:, 1] == relation] for x, rows in zip(scores, triples, strict=True)]
        thresholds[relation] = best_threshold(*own)
    return thresholds


def best_threshold(positive: np.ndarray, negative: np.ndarray) -> float:
    """The threshold above which a score counts as positive with the fewest errors, the lowest one of equals.

    It lies halfway between two scores, or is infinite where all are better taken for one class.
    """
    scores = np.concatenate([positive, negative]).astype(np.float64)
    order = np.argsort(scores, kind='stable')
    gain = np.repeat([-1, 1], [len(positive), len(negative)])[order]
    scores = scores[order]
    # Right answers when the first i scores count as negative, less those when none does.
    right = np.concatenate([[0], np.cumsum(gain)])
    is_cut = np.concatenate([[True], scores[1:] > scores[:-1], [True]])
    cut = int(np.argmax(np.where(is_cut, right, -len(scores) - 1)))
    below, above = np.append(-np.inf, scores)[cut], np.append(scores, np.inf)[cut]
    return float((below + above) / 2)


def binary_metrics(scores, judged) -> dict[str, float]:
    """Metrics of a binary decision.

    Args:
        scores: of true and of false triples, (float[P], float[N]).
        judged: which of them are taken for true, (bool[P], bool[N]).

    Returns:
        {'accuracy', 'precision', 'recall', 'f1', 'roc_auc', 'average_precision'}; precision and F1 are 0 where nothing
        is taken for true.
    """
    # Imported late: it takes a second.
    from sklearn.metrics import average_precision_score, roc_auc_score

    hits, alarms = int(judged[0].sum()), int(judged[1].sum())
    labels = np.repeat([1, 0], [len(x) for x in scores])
    joined = np.concatenate(scores)
    return {
        'accuracy': (hits + len(judged[1]) - alarms) / len(labels),
        'precision': hits / max(hits + alarms, 1),
        'recall': hits / len(judged[0]),
        'f1': 2 * hits / (hits + alarms + len(judged[0])),
        'roc_auc': float(roc_auc_score(labels, joined)),
        'average_precision': float(average_precision_score(labels, joined)),
    }
