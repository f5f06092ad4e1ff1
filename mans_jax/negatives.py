"""False triples to set against true ones: filtered corruptions, drawn on a seed."""

import numpy as np

from mans_jax.graph import HEAD, TAIL, KnownTriples

_ROWS_AT_ONCE = 4096


def corrupt(triples: np.ndarray, sides: np.ndarray, known: KnownTriples, seed) -> tuple[np.ndarray, np.ndarray]:
    """Replaces one end of each triple by an entity that makes no known triple, every such entity being equally likely.

    Drawn on the host, as it is done once for a run and compiling would take longer than the drawing.

    Args:
        triples: int[N, 3] rows of (head, relation, tail).
        sides: int[N], HEAD or TAIL: which end is replaced.
        known: the triples to filter by.
        seed: decides the draw; an int, or a sequence of them.

    Returns:
        (corruptions int32[N, 3], exists bool[N]); where every entity makes a known triple, `exists` is false and the
        row is the triple itself.
    """
    triples = np.array(triples, dtype=np.int32)
    kept = np.where(sides == TAIL, triples[:, 0], triples[:, 2])
    query, count = _find(known, sides.astype(np.int64) * known.num_entities + kept, triples[:, 1])
    choices = known.num_entities - count
    exists = choices > 0
    index = np.random.default_rng(seed).integers(0, np.maximum(choices, 1))
    entity = index + _known_before(known, query, index)
    for side, column in ((HEAD, 0), (TAIL, 2)):
        triples[:, column] = np.where((sides == side) & exists, entity, triples[:, column])
    return triples, exists


def corrupt_relation(triples: np.ndarray, known: KnownTriples, seed) -> tuple[np.ndarray, np.ndarray]:
    """Replaces the relation of each triple by one that makes no known triple, every such relation being equally likely.

    Args:
        triples: int[N, 3] rows of (head, relation, tail).
        known: the triples to filter by.
        seed: decides the draw; an int, or a sequence of them.

    Returns:
        (corruptions int32[N, 3], exists bool[N]); where every relation makes a known triple, `exists` is false and the
        row is the triple itself.
    """
    triples = np.array(triples, dtype=np.int32)
    order, exists = np.random.default_rng(seed), np.zeros(len(triples), bool)
    relations = np.arange(known.num_relations)
    for start in range(0, len(triples), _ROWS_AT_ONCE):
        rows = triples[start : start + _ROWS_AT_ONCE]
        is_known = _contains(known, rows[:, None, 0], relations, rows[:, None, 2])
        # The relation with the highest of so many random numbers is any of them.
        drawn = np.where(is_known, -1.0, order.random(is_known.shape))
        found = ~is_known.all(axis=1)
        rows[:, 1] = np.where(found, drawn.argmax(axis=1), rows[:, 1])
        exists[start : start + _ROWS_AT_ONCE] = found
    return triples, exists


def _contains(known, heads, relations, tails):
    """Whether triples are known, bool of the shape that the three make together."""
    heads, relations, tails = np.broadcast_arrays(heads, relations, tails)
    query, count = _find(known, TAIL * known.num_entities + heads.astype(np.int64), relations)
    start = np.asarray(known.answer_start)
    of_answer = np.repeat(np.arange(len(start) - 1), np.diff(start))
    keys = of_answer * known.num_entities + np.asarray(known.answers)[:-1]
    wanted = query * known.num_entities + tails
    return (np.append(keys, -1)[np.searchsorted(keys, wanted)] == wanted) & (count > 0)


def _find(known, anchor, relations):
    """The number of each query, the last one where it has no known answer, and how many answers it has."""
    of_query = np.repeat(np.arange(2 * known.num_entities), np.diff(known.query_start))
    keys = of_query * known.num_relations + np.asarray(known.query_relation)[:-1]
    wanted = anchor * known.num_relations + relations
    query = np.searchsorted(keys, wanted)
    found = np.append(keys, -1)[query] == wanted
    query = np.where(found, query, len(keys))
    return query, np.append(np.diff(known.answer_start), 0)[query]


def _known_before(known, query, index):
    """How many answers of each query stand before the entity that is at `index` among those that do not answer it."""
    start = np.asarray(known.answer_start)
    of_answer = np.repeat(np.arange(len(start) - 1), np.diff(start))
    # Ascending as a whole, since the values of a query are: one search serves all.
    width = known.num_entities + 1
    keys = of_answer * width + np.asarray(known.unknown_below)[:-1]
    return np.searchsorted(keys, query * width + index, side='right') - start[query]
