"""Steps with features or the table on the host are those with all on the device, in whatever calls they are made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.block_loop import make_block_loop
from mans_jax.data import load_graph
from mans_jax.host_memory import Fetcher, Host, on_host, without_features
from mans_jax.models import model_for
from mans_jax.scoring import SCORES
from mans_jax.training_step import init_state, make_training_loop, training_data
from tests.graphs import quick_programs, short_recipe, write_openke

STEPS = 24
"""Steps of an epoch of the graph below, at 16 triples a step."""


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A graph in which some entities have no picture; a batch of 16 with one negative each names less than all."""
    folder = write_openke(tmp_path_factory.mktemp('graph'), num_entities=60)
    rows = np.load(folder / 'visual.npy')
    rows[::7] = np.nan
    np.save(folder / 'visual.npy', rows)
    return folder


def loops(folder, steps_per_block, table=False, **overrides):
    """(loop, data, state) with all on the device, and with features, or also the table, on the host."""
    features = {name: str(folder / f'{name}.npy') for name in ('visual', 'text')}
    config = short_recipe(folder, features=features, **overrides)
    graph, _ = load_graph(config.data, config.features)
    sizes = {name: getattr(config, name) for name in ('dim', 'normalize', 'absent', 'precision')}
    model = model_for(graph, SCORES[config.score], **sizes)
    data, part = training_data(config, graph), training_data(config, graph, without_features(graph))
    number = config.batch_size * config.num_negatives
    fetcher = Fetcher(graph, config.absent, config.precision)
    host = Host(steps_per_block, number, graph.present, fetcher, table=table)
    state = init_state(model, config, part)
    return (
        (make_training_loop(model, config, STEPS), data, init_state(model, config, data)),
        (make_block_loop(model, config, STEPS, host), part, on_host(state) if table else state),
    )


def run(loop, data, state, calls):
    for num_steps in calls:
        state = loop.train_steps(state, data, num_steps)
    return state


def assert_close(one, other):
    for path, leaf in jax.tree.leaves_with_path(one):
        found = dict(jax.tree.leaves_with_path(other))[path]
        np.testing.assert_allclose(leaf, found, rtol=1e-5, atol=1e-6, err_msg=jax.tree_util.keystr(path))


MANS_A = {'strategy': 'mans_a', 'marks': 'per_sample'}
MANS_T = {'strategy': 'mans_t', 'optimizer': 'lazy_adam', 'with_replacement': True, 'absent': 'mean'}
DHNS = {'sampler': 'dhns(shared_pool(pool=4), steps=5)', 'optimizer': 'sparse_adagrad', 'absent': 'learned'}
CHUNKS = {'sampler': 'chunk_pool(num_negatives=3, chunk=4)', 'optimizer': 'sgd', 'precision': 'bfloat16'}


@pytest.mark.parametrize(
    ('table', 'recipe'),
    [
        pytest.param(False, MANS_A, marks=pytest.mark.slow),
        (False, MANS_T),
        pytest.param(False, DHNS, marks=pytest.mark.slow),
        (False, CHUNKS),
        (True, {**MANS_A, 'optimizer': 'lazy_adam'}),
        pytest.param(
            True,
            {**MANS_T, 'sampler': 'mixture(uniform, in_batch)', 'optimizer': 'rowwise_adagrad'},
            marks=pytest.mark.slow,
        ),
        (True, {**CHUNKS, 'optimizer': 'sparse_sgd'}),
    ],
    ids=['mans_a', 'lazy_adam', 'dhns', 'chunk_pool', 'table_lazy_adam', 'table_rowwise_adagrad', 'table_chunk_pool'],
)
def test_steps_are_those_with_all_on_the_device(folder, table, recipe):
    of_device, of_host = loops(folder, 5, table, **recipe)
    expected = run(*of_device, [STEPS, 3])
    # Blocks of 5 steps, whole and cut off, across an epoch's end, and a call without steps.
    found = run(*of_host, [7, 0, STEPS - 7, 3])
    assert int(found.step) == STEPS + 3
    assert_close(found.params, expected.params)
    assert_close(found.opt_state, expected.opt_state)
    assert_close(found.sampler_state, expected.sampler_state)
    assert_close(found.totals, expected.totals)
    norms = [loop.next_norms(state, data) for (loop, data, _), state in ((of_device, expected), (of_host, found))]
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-4)


def test_how_steps_are_spread_over_blocks_and_calls_changes_no_bit(folder):
    found = []
    for steps_per_block, calls in ((5, [STEPS, 4]), (64, [2, STEPS - 2, 4])):
        _, of_host = loops(folder, steps_per_block, strategy='mans_a')
        found.append(run(*of_host, calls))
    same = jax.tree.map(
        lambda x, y: np.asarray(x).tobytes() == np.asarray(y).tobytes(), found[0].params, found[1].params
    )
    assert jax.tree.all(same)


def test_a_row_that_was_not_fetched_cannot_pass_unseen(folder):
    (_, _, state), (loop, data, _) = loops(folder, 1)
    model = model_for(
        load_graph(str(folder), {'visual': str(folder / 'visual.npy')})[0], SCORES['transe_l1'], dim=8, normalize=True
    )
    views = model.apply({'params': state.params, 'frozen': data.frozen}, jnp.arange(3), method=model.embed)
    assert np.isfinite(views.vectors[:, 0]).all() and np.isnan(views.vectors[:, 1]).all()
