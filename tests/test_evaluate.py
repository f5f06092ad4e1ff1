"""`python -m mans_jax.evaluate`: what it prints and writes, and how it answers bad input."""

import json
import re
import shutil

import pytest

from mans_jax.evaluation import TASKS, evaluate_run
from mans_jax.runs import load_run
from tests.graphs import quick_programs, train_short_run
from tests.processes import command_line_of, refusal
from tests.test_predict import SPOILT_RUNS


@pytest.fixture(scope='module')
def programs(tmp_path_factory):
    return tmp_path_factory.getbasetemp() / 'programs'


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, programs):
    return train_short_run(tmp_path_factory.mktemp('trained'), programs)


@pytest.fixture(scope='module')
def plain_workdir(tmp_path_factory, programs):
    """Of a run without features."""
    return train_short_run(tmp_path_factory.mktemp('plain'), programs, features={}, num_epochs=1)


@pytest.fixture(scope='module')
def evaluate(workdir, programs):
    """(*arguments, workdir) -> Done."""
    with command_line_of('mans_jax.evaluate', 'mans_jax.evaluation', programs) as run:
        yield lambda *arguments, workdir=workdir: run(f'--workdir={workdir}', *arguments)


@pytest.fixture(scope='module')
def done(evaluate):
    return evaluate()


@pytest.fixture(scope='module')
def content(done, workdir):
    return json.loads((workdir / 'evaluation_test.json').read_text())


def test_every_task_by_default_in_a_table_and_a_file(done, content, workdir):
    assert done.code == 0 and not re.search('left out|Traceback', done.stderr), done.stderr
    assert list(content['tasks']) == list(TASKS) and content['not_served'] == {}
    assert content['split'] == 'test' and content['triples'] == 32 and content['seed'] == 0
    for heading in (
        'graph, test: 32 triples, step ',
        'link prediction, ties realistic',
        'triple classification',
        'relation prediction',
        'cross-modal link prediction',
        'alignment of modalities, before and after training',
        'ranking among 100 sampled candidates',
    ):
        assert re.search(f'^{heading}', done.stdout, re.MULTILINE), heading
    assert not list(workdir.glob('*.partial'))


def test_it_agrees_with_what_training_measured(content, workdir):
    results = json.loads((workdir / 'results.json').read_text())
    filtered = content['tasks']['link_prediction']['filtered']
    assert content['step'] == results['step']
    for part, want in (('micro', results['test']), *((side, results['test'][side]) for side in ('head', 'tail'))):
        for name in ('mrr', 'mean_rank', 'hits_at_1', 'hits_at_3', 'hits_at_10'):
            assert filtered[part][name] == pytest.approx(want[name]), (part, name)


def test_the_table_shows_the_numbers_of_the_file(done, content):
    tasks = content['tasks']
    filtered = tasks['link_prediction']['filtered']
    low, high = filtered['micro']['intervals']['mrr']
    line = next(line for line in done.stdout.splitlines() if line.startswith('filtered  '))
    assert line.split()[1] == f'{filtered["micro"]["mrr"]:.4f}' and f'{low:.4f} to {high:.4f}' in line
    for start, number in (
        ('relation relation_0 ', filtered['relation']['relation_0']['mrr']),
        ('honest ', tasks['triple_classification']['honest']['accuracy']),
        ('reference ', tasks['triple_classification']['reference']['accuracy']),
        ('visual alone ', tasks['relation_prediction']['visual']['mrr']),
        ('head visual, tail text ', tasks['cross_modal']['visual']['text']['mrr']),
        ('structure -> text, before ', tasks['alignment']['before']['structure -> text']['recall_at_1']),
        ('structure -> text, after ', tasks['alignment']['after']['structure -> text']['recall_at_1']),
        ('sampled ', tasks['sampled_ranking']['sampled']['mrr']),
    ):
        line = next(line for line in done.stdout.splitlines() if line.startswith(start))
        assert line.removeprefix(start).split()[0] == f'{number:.4f}'


def test_before_and_after_training_differ(content):
    before, after = (content['tasks']['alignment'][when]['visual -> text'] for when in ('before', 'after'))
    assert before['entities'] == after['entities'] == 28 and before['alignment'] != after['alignment']


def test_json_is_printed_and_the_same_command_gives_the_same_numbers(evaluate, content, workdir):
    done = evaluate('--json', '--tasks=triple_classification,alignment,relation_prediction')
    assert done.code == 0
    printed = json.loads(done.stdout)
    assert set(printed['tasks']) == {'triple_classification', 'alignment', 'relation_prediction'}
    assert printed['tasks'] == {name: content['tasks'][name] for name in printed['tasks']}
    other = json.loads(evaluate('--json', '--tasks=sampled_ranking', '--candidates=3', '--seed=1').stdout)
    assert other['tasks']['sampled_ranking']['candidates'] == 3 and other['seed'] == 1


def test_the_file_keeps_what_an_earlier_command_found_of_the_same_parameters_and_seed(evaluate, workdir, tmp_path):
    run = shutil.copytree(workdir, tmp_path / 'run')
    path = run / 'evaluation_test.json'
    path.unlink(missing_ok=True)

    def run_tasks(*arguments):
        assert evaluate(*arguments, workdir=run).code == 0
        return json.loads(path.read_text())

    first = run_tasks('--tasks=alignment')
    both = run_tasks('--tasks=triple_classification')
    assert list(both['tasks']) == ['triple_classification', 'alignment']
    assert both['tasks']['alignment'] == first['tasks']['alignment']
    # A task that the graph could not serve then, and one that it can serve now.
    path.write_text(json.dumps({**both, 'not_served': {'alignment': 'why', 'cross_modal': 'why'}}))
    assert run_tasks('--tasks=alignment')['not_served'] == {'cross_modal': 'why'}
    assert list(run_tasks('--tasks=triple_classification', '--seed=1')['tasks']) == ['triple_classification']
    for other in ({**both, 'seed': 1, 'parameters': 'others'}, {**both, 'seed': 1, 'triples': 1}, [], {'tasks': 1}):
        path.write_text(json.dumps(other))
        assert list(run_tasks('--tasks=alignment', '--seed=1')['tasks']) == ['alignment']


def test_samples_alone_are_ranked_without_a_pass_over_all_entities(workdir, programs, content, monkeypatch):
    monkeypatch.setattr('mans_jax.evaluation.rank_links', None)
    with quick_programs(programs):
        found = evaluate_run(*load_run(workdir), tasks=['sampled_ranking'])
    beside, alone = (x['tasks']['sampled_ranking'] for x in (content, found))
    assert alone['full'] is None and beside['full'] is not None
    assert alone['mean_rank_estimate'] == pytest.approx(beside['mean_rank_estimate'])


def test_samples_alone_have_no_bias_in_the_table(evaluate, content):
    done = evaluate('--json', '--tasks=sampled_ranking')
    assert done.code == 0, done.stderr
    beside, alone = (x['tasks']['sampled_ranking'] for x in (content, json.loads(done.stdout)))
    assert alone == beside | {'full': None, 'bias': None} and beside['full'] and beside['bias']
    lines = evaluate('--tasks=sampled_ranking').stdout.splitlines()
    assert [line.split()[0] for line in lines if line.strip()][1:] == ['ranking', 'mrr', 'sampled', 'full', 'Among']
    assert lines[-2] == f'full mean rank as estimated from the samples: {beside["mean_rank_estimate"]:.1f}'


def test_what_a_graph_without_features_cannot_serve_is_named_and_the_others_run(evaluate, plain_workdir):
    done = evaluate(workdir=plain_workdir)
    assert done.code == 0
    reason = 'graph is read without any modality beside structure'
    assert [line for line in done.stderr.splitlines() if 'left out' in line] == [
        f'cross_modal is left out: {reason}, so that there is no pair',
        f'alignment is left out: {reason}, which could be aligned with it',
    ]
    found = json.loads((plain_workdir / 'evaluation_test.json').read_text())
    assert list(found['not_served']) == ['cross_modal', 'alignment']
    assert list(found['tasks']) == [name for name in TASKS if name not in found['not_served']]


def test_valid_cannot_serve_the_task_that_chooses_thresholds_on_it(evaluate, workdir):
    done = evaluate('--split=valid', '--tasks=triple_classification,link_prediction')
    assert done.code == 0
    assert 'triple_classification is left out: thresholds are chosen on valid' in done.stderr
    found = json.loads((workdir / 'evaluation_valid.json').read_text())
    assert list(found['tasks']) == ['link_prediction'] and found['split'] == 'valid'


@pytest.mark.parametrize(
    ('argument', 'message'),
    [
        ('--split=dev', "--split: 'dev' is not a known split; Known: train, valid, test"),
        ('--split=tests', "--split: 'tests' is not a known split; did you mean 'test'? Known: train, valid, test"),
        ('--tasks=link_predicton', "--tasks: 'link_predicton' is not a known task; did you mean 'link_prediction'? "),
        ('--tasks=', '--tasks is empty; name some of link_prediction, '),
        ('--candidates=0', '--candidates=0: at least 1 candidate'),
        ('--seed=-1', 'flag --seed=-1: '),
        ('--split', 'Missing value for flag --split'),
        ('stray', "'stray' is not a flag: write --FLAG=VALUE"),
    ],
)
def test_bad_flags(evaluate, argument, message):
    assert refusal(evaluate(argument)).startswith(message)


@pytest.mark.parametrize('fault', SPOILT_RUNS)
def test_bad_runs(evaluate, workdir, tmp_path, fault):
    spoil, message = SPOILT_RUNS[fault]
    spoilt = shutil.copytree(workdir, tmp_path / 'run')
    spoil(spoilt)
    found = refusal(evaluate(workdir=spoilt))
    assert re.match(re.escape(message).replace('RUN', re.escape(str(spoilt))).replace('STEP', '[0-9]+'), found), found


def test_a_workdir_that_cannot_be_written_is_said_in_a_line(evaluate, workdir, tmp_path):
    spoilt = shutil.copytree(workdir, tmp_path / 'run')
    (spoilt / 'evaluation_test.json').unlink(missing_ok=True)
    (spoilt / 'evaluation_test.json').mkdir()
    found = refusal(evaluate('--tasks=triple_classification', workdir=spoilt))
    assert found.startswith(f'{spoilt}/evaluation_test.json: cannot be written (')
