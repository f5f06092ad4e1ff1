"""What is gathered of a run: from its files where they are of these parameters, else computed."""

import dataclasses
import json

import pytest

from mans_jax.evaluation import evaluate_run
from mans_jax.prediction import kept_calibration
from mans_jax.reporting import gather as module
from mans_jax.reporting.gather import STEPS, gather
from mans_jax.runs import load_run
from tests.graphs import quick_programs
from tests.report_runs import copy_of


@pytest.fixture
def workdir(shown_workdir, tmp_path):
    return copy_of(shown_workdir, tmp_path / 'run')


@pytest.fixture(autouse=True)
def quick(programs):
    with quick_programs(programs):
        yield


@pytest.fixture
def alone(monkeypatch):
    """Leaves out what takes time and does not depend on the files of a run."""
    for name in ('sample_scores', 'adaptive_choice'):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr('mans_jax.reporting.entity_map.MOST_ENTITIES', 4)


def test_a_run_without_an_evaluation_is_judged_and_keeps_what_was_found(workdir, alone):
    steps = []
    found = gather(workdir, 'name', announce=steps.append)
    assert steps == list(STEPS) and found.name == 'name' and found.not_served == {}
    kept = json.loads((workdir / 'evaluation_test.json').read_text())
    assert kept == found.results and list(kept['tasks']) == ['link_prediction']
    want = evaluate_run(*load_run(workdir), tasks=['link_prediction'])
    assert kept == json.loads(json.dumps(want))
    assert (workdir / 'calibration.json').exists() and found.provenance['graph'] == 'graph'
    assert found.step == 64 and found.epoch == 4 and len(found.curves.train['epoch']) == 4


def test_what_is_on_disk_is_not_computed_again(workdir, alone, monkeypatch):
    first = gather(workdir, 'name')
    path = workdir / 'evaluation_test.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), 'seed': 7}))
    before = {name: (workdir / name).stat().st_mtime_ns for name in ('evaluation_test.json', 'calibration.json')}
    monkeypatch.setattr(module, 'judge', None)
    monkeypatch.setattr(kept_calibration, 'fit_calibrations', None)
    second = gather(workdir, 'name')
    assert second.results == {**first.results, 'seed': 7} and second.examples == first.examples
    assert {name: (workdir / name).stat().st_mtime_ns for name in before} == before


@pytest.mark.parametrize('fault', ['parameters', 'triples', 'ties', 'task', 'part', 'metric', 'shape', 'text'])
def test_what_is_stale_or_not_whole_is_computed_again(workdir, alone, fault):
    first, path = gather(workdir, 'name'), workdir / 'evaluation_test.json'
    content = json.loads(path.read_text())
    links = content['tasks']['link_prediction']
    content['tasks']['alignment'] = {'kept': 1}
    match fault:
        case 'parameters':
            content['parameters'] = 'others'
        case 'triples':
            content['triples'] = 1
        case 'ties':
            links['ties_of_metrics'] = 'optimistic'
        case 'task':
            del content['tasks']['link_prediction']
        case 'part':
            del links['constrained']
        case 'metric':
            del links['filtered']['degree']['4-7' if '4-7' in links['filtered']['degree'] else '8-15']['adjusted_mrr']
        case 'shape':
            content['tasks']['link_prediction'] = [1]
    path.write_text('{"half' if fault == 'text' else json.dumps(content))
    again = gather(workdir, 'name').results
    assert again['tasks']['link_prediction'] == first.links
    # Another task stays where it is of these parameters.
    assert ('alignment' in again['tasks']) == (fault not in ('parameters', 'triples', 'text'))
    assert json.loads(path.read_text()) == again


def test_the_seed_of_other_tasks_is_taken_on(workdir, alone):
    run, state = load_run(workdir)
    results = evaluate_run(run, state, tasks=['triple_classification'], seed=5)
    (workdir / 'evaluation_test.json').write_text(json.dumps(results))
    found = gather(workdir, 'name').results
    assert found['seed'] == 5 and list(found['tasks']) == ['link_prediction', 'triple_classification']


def test_a_folder_that_cannot_be_written_still_has_its_page(workdir, alone, caplog):
    for name in ('evaluation_test.json', 'calibration.json'):
        (workdir / name).unlink(missing_ok=True)
        (workdir / name).mkdir()
    assert gather(workdir, 'name').links['filtered']['micro']['count'] == 32
    assert 'the evaluation is not kept: ' in caplog.text and 'the calibration is not kept: ' in caplog.text


def test_what_a_run_cannot_serve_has_a_reason(reports):
    _, bare = reports
    assert bare.curves is None and list(bare.not_served) == ['curves'] and bare.provenance == {}
    assert bare.not_served['curves'].startswith('metrics.jsonl is not in the folder of this run, ')
    assert bare.scores is not None and bare.choice is not None


def test_runs_can_be_compared_where_labels_and_test_triples_are_the_same(reports):
    marked, bare = reports
    assert marked.ground != bare.ground
    graph = bare.graph
    for change, same in (
        ({'features': {}, 'train': graph.train[:5]}, True),
        ({'test': graph.test[1:]}, False),
        ({'entities': (*graph.entities[:-1], 'other')}, False),
    ):
        other = module._ground(dataclasses.replace(graph, **change))
        assert (other == bare.ground) is same
