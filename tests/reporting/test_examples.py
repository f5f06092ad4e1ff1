"""Examples of predictions."""

import numpy as np
import pytest

from mans_jax.graph import HEAD, TAIL
from mans_jax.models import FROZEN, PARAMS
from mans_jax.prediction.predictor import Predictor
from mans_jax.ranking import ranks
from mans_jax.reporting.examples import NUMBER, find_examples, unlike
from mans_jax.tasks.link_prediction import embed_candidates, predict_links


@pytest.fixture(scope='module')
def predictor(shown, shown_workdir):
    run, state = shown
    candidates = embed_candidates(run.model, {PARAMS: state.params, FROZEN: run.data.frozen})
    return Predictor(run, state.params, candidates, shown_workdir, int(state.step))


@pytest.fixture(scope='module')
def ranked(predictor):
    run = predictor.run
    counts = predict_links(run.model, predictor.params, run.data.frozen, run.graph, run.graph.test, run.known)
    return ranks(counts.better, counts.tied, 'realistic')


def test_answers_are_those_of_the_filtered_ranking(predictor, ranked):
    found = find_examples(predictor, ranked, 0)
    graph = predictor.run.graph
    assert list(found) == ['best', 'worst', 'drawn'] and all(len(examples) == NUMBER for examples in found.values())
    known = {tuple(row) for split in ('train', 'valid', 'test') for row in graph.split(split).tolist()}
    for example in (example for examples in found.values() for example in examples):
        row = graph.test.tolist().index(list(example.triple))
        assert example.rank == ranked[example.side, row]
        true = example.triple[0 if example.side == HEAD else 2]
        answers = [answer.entity for answer in example.answers]
        assert [a.entity for a in example.answers if a.is_true] == [true] and len(set(answers)) == 5
        place = [answer.rank for answer in example.answers]
        assert place == sorted(place) and place[answers.index(true)] == example.rank
        probability = [answer.probability for answer in example.answers]
        assert probability == sorted(probability, reverse=True)
        for answer in answers:
            triple = list(example.triple)
            triple[0 if example.side == HEAD else 2] = answer
            assert (tuple(triple) in known) == (answer == true)
        # Without a tie the others fill the first places.
        want = [1, 2, 3, 4, 5] if example.rank <= 4 else [1, 2, 3, 4, example.rank]
        assert place == want


def test_the_best_and_the_worst_are_at_the_ends(predictor, ranked):
    found = find_examples(predictor, ranked, 0)
    best, worst = ([example.rank for example in found[kind]] for kind in ('best', 'worst'))
    assert best[0] == ranked.min() and best == sorted(best) and worst[0] == ranked.max()
    assert worst == sorted(worst, reverse=True) and best[-1] < worst[-1]
    assert {example.side for examples in found.values() for example in examples} == {HEAD, TAIL}
    again, other = find_examples(predictor, ranked, 0), find_examples(predictor, ranked, 1)
    assert again == found and other['best'] == found['best'] and other['drawn'] != found['drawn']


def test_unlike_queries_come_first_and_then_what_is_there():
    triples = np.array([[0, 0, 1], [0, 0, 2], [3, 1, 4], [5, 0, 6], [3, 0, 4]])
    order = np.arange(10)
    # Neither an entity nor relation and side of those before; then other entities; then other triples; then any.
    assert unlike(order, triples, 2) == [0, 2]
    assert unlike(order, triples, 3) == [0, 2, 8]
    assert unlike(order, triples, 4) == [0, 1, 2, 8]
    assert unlike(order, triples, 7) == [0, 1, 2, 3, 4, 5, 8]
    assert unlike(order[::-1], triples, 2) == [9, 3] and unlike(order, triples, 50) == list(range(10))
    assert unlike(order[:0], triples, 3) == []


def test_a_query_with_few_answers_left_shows_those(predictor, ranked):
    """Where all but two entities are known to be right."""
    import dataclasses

    from mans_jax.graph import KnownTriples

    run = predictor.run
    head, relation, tail = run.graph.test[0].tolist()
    rows = [[head, relation, entity] for entity in range(run.graph.num_entities) if entity not in (tail, 0)]
    sizes = {'num_entities': run.graph.num_entities, 'num_relations': run.graph.num_relations}
    known = KnownTriples.build(np.concatenate([run.graph.train, run.graph.valid, run.graph.test, rows]), **sizes)
    narrow = dataclasses.replace(predictor, run=dataclasses.replace(run, known=known))
    order = ranked.copy()
    order[TAIL, 0] = 0.5
    example = find_examples(narrow, order, 0)['best'][0]
    assert example.triple == (head, relation, tail) and len(example.answers) == 2
