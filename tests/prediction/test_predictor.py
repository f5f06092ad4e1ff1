"""Answers of a trained run, against the score of every triple by itself."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.blocks import score_rows
from mans_jax.errors import InputError, NonFiniteScore
from mans_jax.models import FROZEN, PARAMS
from mans_jax.negatives import corrupt_relation
from mans_jax.prediction.calibration import fit
from mans_jax.prediction.predictor import Predictor
from tests.graphs import quick_programs, train_short_run

E, R = 40, 8


@pytest.fixture(scope='module', autouse=True)
def programs(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / 'programs'
    with quick_programs(folder):
        yield folder


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, programs):
    return train_short_run(tmp_path_factory.mktemp('trained'), programs)


@pytest.fixture(scope='module')
def predictor(workdir):
    return Predictor.load(workdir)


@pytest.fixture(scope='module')
def scores(predictor):
    """float32[E, R, E], a triple at a time."""
    triples = np.stack(np.meshgrid(range(E), range(R), range(E), indexing='ij'), axis=-1).reshape(-1, 3)
    variables = {PARAMS: predictor.params, FROZEN: predictor.run.data.frozen}
    return score_rows(predictor.run.model, variables, predictor.run.graph, triples).reshape(E, R, E)


@pytest.fixture(scope='module')
def facts(predictor):
    """bool[E, R, E]."""
    graph, facts = predictor.run.graph, np.zeros((E, R, E), bool)
    for split in ('train', 'valid', 'test'):
        facts[tuple(graph.split(split).T)] = True
    return facts


def check(answers, labels, scores, facts, novel):
    """Answers to one query against all scores: the right ones, in order, and with what goes with them."""
    scores = np.where(novel & facts, -np.inf, scores)
    count, k = int(np.isfinite(scores).sum()), len(answers.ids)
    assert count < len(scores) or not novel
    ids, filled = answers.ids[:count], min(count, k)
    best = np.sort(scores)[::-1][:filled]
    np.testing.assert_allclose(answers.scores[:filled], best, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores[ids], best, rtol=1e-5, atol=1e-5)
    assert len(set(ids.tolist())) == filled
    assert answers.labels[:filled].tolist() == [labels[i] for i in ids]
    assert answers.known[:filled].tolist() == facts[ids].tolist()
    assert answers.ranks.tolist() == [*range(1, filled + 1), *[0] * (k - filled)]
    assert answers.ids[filled:].tolist() == [-1] * (k - filled)
    assert answers.labels[filled:].tolist() == [''] * (k - filled)
    assert not answers.known[filled:].any() and not answers.probabilities[filled:].any()


@pytest.mark.parametrize('novel', [False, True])
@pytest.mark.parametrize('k', [1, 10, E])
def test_tails_and_heads(predictor, scores, facts, k, novel):
    """More queries than a block holds, by id and by label."""
    graph = predictor.run.graph
    kept, relation = (ids.ravel() for ids in np.mgrid[:E, :R])
    tails = predictor.tails(kept, relation, k, novel=novel)
    heads = predictor.heads([graph.relations[r] for r in relation], [graph.entities[e] for e in kept], k, novel=novel)
    assert tails.ids.shape == heads.scores.shape == (E * R, k)
    for i in range(E * R):
        e, r = kept[i], relation[i]
        check(row(tails, i), graph.entities, scores[e, r], facts[e, r], novel)
        check(row(heads, i), graph.entities, scores[:, r, e], facts[:, r, e], novel)


@pytest.mark.parametrize('novel', [False, True])
@pytest.mark.parametrize('k', [1, R])
def test_relations(predictor, scores, facts, k, novel):
    head, tail = (ids.ravel() for ids in np.mgrid[:E, :E])
    found = predictor.relations(head, tail, k, novel=novel)
    for i in range(0, E * E, 7):
        h, t = head[i], tail[i]
        if not novel or facts[h, :, t].any():
            check(row(found, i), predictor.run.graph.relations, scores[h, :, t], facts[h, :, t], novel)


def row(answers, i):
    return type(answers)(*(getattr(answers, name)[i] for name in answers.__dataclass_fields__))


def test_one_value_serves_all_queries_and_one_query_needs_no_list(predictor):
    many = predictor.tails(['entity_1', 2], 'relation_3', 4)
    for i, head in enumerate((1, 'entity_2')):
        one = predictor.tails(head, [3], 4)
        assert one.ids.tolist() == many.ids[[i]].tolist()
    assert predictor.tails([], [], 4).ids.shape == (0, 4)


def test_more_answers_than_there_are_are_all_of_them_with_a_word(predictor, caplog):
    assert predictor.tails(0, 0, E + 5).ids.shape == (1, E)
    assert predictor.relations(0, 1, 100).ids.shape == (1, R)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f'k is {E + 5}, but there are only {E} entities: all of them are returned',
        f'k is 100, but there are only {R} relations: all of them are returned',
    ]


@pytest.mark.parametrize(
    ('ask', 'message'),
    [
        (lambda p: p.tails('entty_7', 0), "no entity is called 'entty_7'; did you mean 'entity_7' or "),
        (lambda p: p.tails(0, 'realtion_1'), "no relation is called 'realtion_1'; did you mean 'relation_1' or "),
        (lambda p: p.heads(0, E), f'entity id {E} is not in [0, {E})'),
        (lambda p: p.heads(-1, 0), f'relation id -1 is not in [0, {R})'),
        (lambda p: p.relations(0, 1.5), '1.5 cannot be the label or the id of any entity'),
        (lambda p: p.tails([0, 1], [0, 1, 2]), '2 and 3 values for the same queries; give as many'),
        (lambda p: p.tails(0, 0, 0), 'k is 0, but must be a whole number, at least 1'),
        (lambda p: p.tails(0, 0, 2.5), 'k is 2.5, but must be a whole number, at least 1'),
    ],
)
def test_what_cannot_be_asked(predictor, ask, message):
    with pytest.raises(InputError) as error:
        ask(predictor)
    assert str(error.value).startswith(message) and '\n' not in str(error.value)


def test_probabilities_rise_with_the_score_and_are_kept_for_these_parameters(workdir, predictor):
    path = workdir / 'calibration.json'
    path.unlink(missing_ok=True)
    found = Predictor.load(workdir).tails(0, 0, E)
    assert (np.diff(found.probabilities) <= 0).all() and found.probabilities[0, 0] > found.probabilities[0, -1]
    kept = json.loads(path.read_text())
    slope = kept['relation']['slope']
    assert kept['step'] == predictor.step and kept['entity']['slope'] > 0 and kept['entity'] != kept['relation']
    # It is read back, unless it is of other parameters or no calibration at all.
    other = {**kept, 'relation': {'slope': 7.0, 'intercept': 1.0}}
    for content, want in ((other, 7.0), ({**other, 'parameters': 'others'}, slope), ({}, slope)):
        path.write_text(json.dumps(content))
        assert Predictor.load(workdir).calibrations.relation.slope == want
        assert json.loads(path.read_text())['relation']['slope'] == want


def test_calibrated_against_filtered_corruptions(predictor, scores, facts):
    """Valid triples and as many false ones: the mean probability of each is on the right side."""
    valid = predictor.run.graph.valid
    probability = predictor.calibrations.entity.probability(scores)
    assert probability[tuple(valid.T)].mean() > 0.5 > probability[~facts].mean()


def test_answers_have_the_probability_of_their_kind(predictor):
    for answers, curve in (
        (predictor.heads(0, 1, 5), predictor.calibrations.entity),
        (predictor.tails(1, 0, 5), predictor.calibrations.entity),
        (predictor.relations(0, 1, 5), predictor.calibrations.relation),
    ):
        np.testing.assert_array_equal(answers.probabilities, curve.probability(answers.scores))


def test_the_curve_of_relations_is_fitted_to_false_relations(predictor, scores, facts):
    valid = predictor.run.graph.valid
    false, exists = corrupt_relation(valid, predictor.run.known, seed=0)
    want = fit(scores[tuple(valid.T)], scores[tuple(false[exists].T)])
    found = predictor.calibrations.relation
    assert (found.slope, found.intercept) == pytest.approx((want.slope, want.intercept), rel=1e-3)
    assert not facts[tuple(false[exists].T)].any()


def test_a_workdir_that_cannot_be_written_costs_the_keeping_alone(workdir, monkeypatch, caplog):
    def refuse(path, _):
        raise InputError(f'{path}: cannot be written')

    (workdir / 'calibration.json').unlink(missing_ok=True)
    monkeypatch.setattr('mans_jax.prediction.kept_calibration.write_json', refuse)
    assert Predictor.load(workdir).calibrations.entity.slope > 0
    assert f'the calibration is not kept: {workdir}/calibration.json: cannot be written' in caplog.text


@pytest.mark.parametrize('ask', ['tails', 'heads', 'relations'])
def test_a_score_that_is_not_finite_is_an_error_that_names_its_triple(predictor, ask):
    broken = Predictor(
        predictor.run,
        {**predictor.params, 'relation': predictor.params['relation'].at[3].set(jnp.nan)},
        predictor.candidates,
        predictor.workdir,
        predictor.step,
    )
    arguments = {'tails': (7, 3), 'heads': (3, 7), 'relations': (7, 7)}[ask]
    with pytest.raises(NonFiniteScore) as error:
        getattr(broken, ask)(*arguments)
    ends = {'tails': ('entity_7', 'entity_0'), 'heads': ('entity_0', 'entity_7'), 'relations': ('entity_7',) * 2}[ask]
    assert str(error.value).startswith(f'the score of ({ends[0]}, relation_3, {ends[1]}) is not finite')
