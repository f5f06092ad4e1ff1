"""What stays on the host, decided by a limit; a run with features there, from training to evaluation."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from mans_jax.data import load_graph
from mans_jax.errors import InputError
from mans_jax.evaluation import evaluate_run
from mans_jax.host_memory import Fetcher
from mans_jax.runs import load_run, make_run
from mans_jax.training import train_and_evaluate, train_seeds
from tests.graphs import quick_programs, short_recipe, write_openke

LIMIT = 7.7e-5
"""GB in which the graph below fits but for its features."""


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_openke(tmp_path_factory.mktemp('graph'), num_entities=400, num_relations=2)


def recipe(folder, **overrides):
    fields = {'features': {'text': str(folder / 'text.npy')}, 'num_epochs': 2, 'strategy': 'mans_a'}
    return short_recipe(folder, **(fields | overrides))


def assert_close(params, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(params[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def assert_same_results(folder):
    results = [json.loads((folder / name / 'results.json').read_text()) for name in ('device', 'host')]
    assert results[0]['test'] == results[1]['test']


@pytest.mark.slow
def test_a_run_with_features_on_the_host_is_that_with_all_on_the_device(folder, tmp_path):
    whole = train_and_evaluate(recipe(folder), tmp_path / 'device')
    for num_epochs in (1, 2):
        stopped = train_and_evaluate(recipe(folder, device_memory_gb=LIMIT, num_epochs=num_epochs), tmp_path / 'host')
    assert_close(stopped.params, whole.params)
    assert_same_results(tmp_path)
    runs = [load_run(tmp_path / name) for name in ('device', 'host')]
    assert runs[0][0].host is None and runs[1][0].host.fetcher is not None and not runs[1][0].host.table
    assert isinstance(runs[1][0].graph.features['text'], np.memmap)
    # On a mesh, each device has its share of all of it.
    assert load_run(tmp_path / 'host', mesh='entity=1')[0].host is None
    # 'alignment' also judges the parameters that training began with.
    found = [evaluate_run(run, state, tasks=('link_prediction', 'alignment')) for run, state in runs]
    assert 0 < found[0]['tasks']['link_prediction']['filtered']['micro']['mrr'] < 1
    assert found[0]['tasks'] == found[1]['tasks']


def test_a_run_with_streamed_triples_goes_on_where_it_stopped_and_may_have_all_else_on_the_host(folder, tmp_path):
    pytest.importorskip('grain', reason='grain is not installed; the extra streaming has it')
    streamed = {'optimizer': 'sparse_adagrad', 'stream_triples': True}
    whole = train_and_evaluate(recipe(folder, **streamed), tmp_path / 'device')
    for num_epochs in (1, 2):
        fields = {**streamed, 'device_memory_gb': 2e-5, 'num_epochs': num_epochs}
        stopped = train_and_evaluate(recipe(folder, **fields), tmp_path / 'host')
    assert_close(stopped.params, whole.params)
    assert_same_results(tmp_path)
    assert isinstance(stopped.params['entity'], np.ndarray)
    run, state = load_run(tmp_path / 'host')
    assert run.host.table and run.host.stream and isinstance(state.params['entity'], jax.Array)
    with pytest.raises(InputError, match='^config.stream_triples is False, but the run in .* has True: set it back'):
        train_and_evaluate(recipe(folder, **streamed | {'stream_triples': False}), tmp_path / 'host')


@pytest.mark.parametrize(
    ('overrides', 'message'),
    [
        (
            {'device_memory_gb': 7.6e-5, 'batch_size': 32},
            'config.device_memory_gb is 7.6e-05, but needs to be 7.74e-05 GB at least: 7.28e-05 GB for tables and '
            'triples and 4.61e-06 GB for the features of steps; raise it, or lower batch_size, num_negatives or dim',
        ),
        (
            {'sampler': 'mixture(uniform, nscaching(cache_size=5))'},
            "config.sampler is 'mixture(uniform, nscaching(cache_size=5))', where nobody can tell ahead what nscaching "
            'will draw, but the features of graph0, 6.4e-06 GB, stay on the host (config.device_memory_gb is 7.7e-05): '
            'take another sampler, or raise device_memory_gb',
        ),
        (
            {'loss': 'k_vs_all', 'strategy': 'normal', 'score': 'distmult'},
            "config.loss is 'k_vs_all', which reads all entities, but the features of graph0, 6.4e-06 GB, stay on the "
            'host (config.device_memory_gb is 7.7e-05): take another loss, or raise device_memory_gb',
        ),
        (
            {'mesh': 'entity=1'},
            "config.device_memory_gb is 7.7e-05, but config.mesh is 'entity=1', where every device has its share of "
            'the features: set device_memory_gb to 0, or leave the mesh empty',
        ),
        (
            {'device_memory_gb': 6e-5},
            "config.optimizer is 'adam', which moves all rows in every step, but the entity table of graph0, 3.84e-05 "
            'GB, stays on the host (config.device_memory_gb is 6e-05): take one of lazy_adam, sparse_adagrad, '
            'rowwise_adagrad, sparse_sgd, or raise device_memory_gb',
        ),
        (
            {'device_memory_gb': 6e-5, 'optimizer': 'lazy_adam', 'sampler': 'dhns(bernoulli)', 'strategy': 'normal'},
            "config.sampler is 'dhns(bernoulli)', which looks at the model before it has drawn, but the entity table "
            'of graph0, 4e-05 GB, stays on the host (config.device_memory_gb is 6e-05): take another sampler, or raise '
            'device_memory_gb',
        ),
        (
            {'device_memory_gb': 0.0, 'stream_triples': True, 'with_replacement': True},
            'config.with_replacement is True, but the triples of graph0 stay on the host (config.stream_triples is '
            'True), where an epoch takes each of them once: set it to False, or set stream_triples to False',
        ),
        ({'device_memory_gb': -1.0}, 'config.device_memory_gb is -1.0, but must be finite and at least 0'),
    ],
    ids=[
        'no_room',
        'learning_sampler',
        'loss_over_all',
        'mesh',
        'dense',
        'dhns',
        'replacement',
        'negative',
    ],
)
def test_what_cannot_be_is_refused_in_one_line(folder, overrides, message):
    with pytest.raises(InputError) as error:
        config = recipe(folder, **({'device_memory_gb': LIMIT} | overrides))
        make_run(config, dataclasses.replace(load_graph(config.data, config.features)[0], name='graph0'))
    assert str(error.value) == message


def test_seeds_that_train_together_are_refused(folder, tmp_path):
    config = recipe(folder, device_memory_gb=LIMIT)
    run = make_run(config, load_graph(config.data, config.features)[0])
    message = (
        'config.device_memory_gb is 7.7e-05 and stream_triples False, but seeds that train together need all on the '
        'device: train one at a time, or set them to 0 and False'
    )
    with pytest.raises(InputError, match=f'^{message}$'):
        train_seeds(run, {0: tmp_path, 1: tmp_path})


def test_the_features_go_to_the_device_where_there_is_room(folder):
    config = recipe(folder, device_memory_gb=1.0)
    run = make_run(config, load_graph(config.data, config.features)[0])
    assert run.host is None and np.isfinite(run.data.frozen['features']['text']).all()


def test_rows_of_entities_are_fetched_with_the_mean_of_the_others_for_those_that_lack_them(make_graph):
    graph = make_graph(0, num_entities=10)
    has = np.arange(10) % 3 > 0
    features = np.where(has[:, None], np.random.default_rng(0).normal(size=(10, 4)), 0).astype(np.float32)
    graph = dataclasses.replace(graph, features={'text': features}, present=np.stack([has | True, has], axis=1))
    entities = np.array([3, 1, 9])
    rows = Fetcher(graph).rows(entities, 5)['text']
    np.testing.assert_array_equal(rows, [*features[entities], np.zeros(4), np.zeros(4)])
    rows = Fetcher(graph, 'mean').rows(entities)['text']
    np.testing.assert_allclose(rows, [features[has].mean(axis=0), features[1], features[has].mean(axis=0)], rtol=1e-6)
