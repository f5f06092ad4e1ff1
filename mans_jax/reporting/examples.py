"""Examples of what a run predicts: its best and worst queries, and some that are drawn."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mans_jax.blocks import score_rows
from mans_jax.graph import HEAD, TAIL
from mans_jax.models import FROZEN, PARAMS
from mans_jax.prediction.predictor import Predictor

NUMBER, _OTHERS = 6, 4


class Answer(NamedTuple):
    """An entity in the place that is asked for; a tied true answer may have half a rank."""

    entity: int
    rank: float
    probability: float
    is_true: bool


class Example(NamedTuple):
    """A query of the test split.

    Attributes:
        triple: ids of head, relation and tail.
        side: HEAD or TAIL, what is asked for.
        rank: of the true answer, among those that are no known facts.
        answers: the best of these, and the true one, best first.
    """

    triple: tuple[int, int, int]
    side: int
    rank: float
    answers: Sequence[Answer]


def find_examples(predictor: Predictor, ranks: np.ndarray, seed: int) -> dict[str, list[Example]]:
    """The NUMBER best and worst queries, and as many that are drawn, each with what the model answers.

    Of equally good queries, those whose triple scores highest are the best, and of equally bad ones those whose triple
    scores lowest the worst. Of each kind, the first that differ in relation, side and entities are taken.

    Args:
        predictor: the run.
        ranks: float64[2, N], filtered, of the heads and the tails of its test triples.
        seed: of the draw.

    Returns:
        {'best', 'worst', 'drawn'}.

    Raises:
        NonFiniteScore: naming the first triple with a score that is not finite.
    """
    run, triples = predictor.run, predictor.run.graph.test
    scores = score_rows(run.model, {PARAMS: predictor.params, FROZEN: run.data.frozen}, run.graph, triples)
    both = np.tile(scores, 2)
    orders = {
        'best': np.lexsort([-both, ranks.ravel()]),
        'worst': np.lexsort([both, -ranks.ravel()]),
        'drawn': np.random.default_rng(seed).permutation(ranks.size),
    }
    chosen = {name: unlike(order, triples, NUMBER) for name, order in orders.items()}
    every = list(dict.fromkeys(query for queries in chosen.values() for query in queries))
    answered = _answer(predictor, every, ranks.ravel(), both)
    return {name: [answered[query] for query in queries] for name, queries in chosen.items()}


def unlike(order: np.ndarray, triples: np.ndarray, number: int) -> list[int]:
    """The first queries that have neither an entity nor relation and side in common.

    Where they are too few, also those that only differ in entities, then those of other triples, then any; in order.

    Args:
        order: int64[2 N], queries as positions in the flattened [2, N] array of heads and tails.
        triples: int[N, 3].
        number: how many are wanted.
    """

    def parts(query):
        head, relation, tail = triples[query % len(triples)].tolist()
        return {('entity', head), ('entity', tail)}, {('kind', relation, query // len(triples))}, {query % len(triples)}

    chosen = []
    for strictness in ((0, 1, 2), (0, 2), (2,), ()):
        taken = {part for query in chosen for i in strictness for part in parts(query)[i]}
        for query in order.tolist():
            if len(chosen) == min(number, len(order)):
                break
            own = {part for i in strictness for part in parts(query)[i]}
            if query not in chosen and not own & taken:
                chosen.append(query)
                taken |= own
    place = {query: i for i, query in enumerate(order.tolist())}
    return sorted(chosen, key=place.get)


def _answer(predictor, queries, ranks, scores) -> dict[int, Example]:
    """Every query with its answers."""
    triples = predictor.run.graph.test
    curve, answered = predictor.calibrations.entity, {}
    sides = np.array(queries) // len(triples)
    for side in (HEAD, TAIL):
        own = [query for query, of in zip(queries, sides, strict=True) if of == side]
        if not own:
            continue
        rows = np.array(own) % len(triples)
        head, relation, tail = triples[rows].T
        k = min(_OTHERS, predictor.run.graph.num_entities)
        ask = predictor.heads if side == HEAD else predictor.tails
        found = ask(*((relation, tail) if side == HEAD else (head, relation)), k, novel=True)
        for i, (query, row) in enumerate(zip(own, rows, strict=True)):
            true = int(triples[row, 0 if side == HEAD else 2])
            rank = float(ranks[query])
            others = [
                Answer(int(entity), j + (j >= rank), float(probability), False)
                for j, (entity, probability) in enumerate(
                    zip(found.ids[i], found.probabilities[i], strict=True), start=1
                )
                if entity >= 0
            ]
            answer = Answer(true, rank, float(curve.probability(scores[query])), True)
            place = sum(other.rank < rank for other in others)
            answers = [*others[:place], answer, *others[place:]]
            answered[query] = Example(tuple(triples[row].tolist()), side, rank, answers)
    return answered
