"""What tests/test_sharding.py runs in a process with eight devices: by itself, it is collected by nothing."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import training
from mans_jax.errors import InputError
from mans_jax.evaluation import TASKS, evaluate_run
from mans_jax.exchange import from_shards, rooms
from mans_jax.optim import ROW_SPARSE
from mans_jax.prediction.predictor import Predictor
from mans_jax.runs import first_state, load_run, on_mesh, prepare_run
from mans_jax.samplers import FAMILIES
from mans_jax.sharding import entity_rows, make_mesh, split_batch
from mans_jax.training import evaluate, programs_of, rank_split, train_and_evaluate
from tests.graphs import quick_programs, short_recipe, write_openke
from tests.sampler_examples import EXAMPLES, write_files

MESHES = ('data=2,entity=4', 'entity=8', 'data=8')
ONE_AND_MORE = [MESHES[0], *(pytest.param(mesh, marks=pytest.mark.slow) for mesh in MESHES[1:])]
WIDE = {'dim': 4, 'optimizer': 'sgd', 'num_epochs': 10}
"""Of a recipe whose feature, of 6 numbers, is wider than its projection; elsewhere it is not."""


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    assert jax.device_count() == 8
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Of a graph whose 202 entities neither 4 nor 8 divides, and which are more than a step asks for."""
    return write_openke(tmp_path_factory.mktemp('graph'), num_entities=202, num_relations=2)


@pytest.fixture(scope='module')
def small_folder(tmp_path_factory):
    """Of a graph whose 39 entities are fewer than a step asks for, so that all are embedded."""
    return write_openke(tmp_path_factory.mktemp('small_graph'), num_entities=39)


def run_of(folder, mesh, **overrides):
    """A short run on a folder of `write_openke`; on one device where the mesh is empty."""
    return on_mesh(prepare_run(short_recipe(folder, mesh=mesh, **overrides)))


def trained(run, num_steps):
    """The state after so many steps, as one device would have it."""
    program = programs_of(run)([run.config.seed])
    state, left = program.join([first_state(run)]), num_steps
    while left:
        now = min(left, run.steps_per_epoch)
        state, left = program.train_steps(state, now), left - now
    return state


def numbers_of(run, state):
    """Parameters, slots and sums of a state, without the padding of a mesh."""
    tables = {'params': state.params, 'slots': state.opt_state, 'totals': state.totals}
    return jax.tree.map(np.asarray, entity_rows(tables, run.graph.num_entities))


@pytest.fixture(scope='module')
def alone(folder):
    """Numbers and metrics of one device after a hundred steps."""
    run = run_of(folder, '', **WIDE)
    state = trained(run, 100)
    return numbers_of(run, state), evaluate(run, state, 'test')


def test_a_hundred_steps_over_all_entities_are_those_of_one_device(small_folder):
    one, many = (
        run_of(small_folder, mesh, optimizer='sgd', num_epochs=10, strategy='mans_h') for mesh in ('', MESHES[0])
    )
    found, wanted = (numbers_of(run, trained(run, 100)) for run in (many, one))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), found, wanted)


@pytest.mark.parametrize('optimizer', [pytest.param('sgd', marks=pytest.mark.slow), 'lazy_adam'])
@pytest.mark.parametrize('mesh', ['data=2,entity=4', pytest.param('entity=8', marks=pytest.mark.slow)])
def test_a_batch_need_not_divide_over_the_entity_axis(folder, mesh, optimizer):
    """Twelve examples: cut along the data axis alone, or all of them on all devices; and chunks that do not divide."""
    fields = {'batch_size': 12, 'num_epochs': 10, 'optimizer': optimizer, 'sampler': 'chunk_pool(chunk=4)'}
    one, many = (run_of(folder, text, **fields) for text in ('', mesh))
    found, wanted = (numbers_of(run, trained(run, 10)) for run in (many, one))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), found, wanted)


@pytest.mark.parametrize('mesh', ONE_AND_MORE)
def test_a_hundred_steps_are_those_of_one_device(folder, alone, mesh):
    run = run_of(folder, mesh, **WIDE)
    state = trained(run, 100)
    found, (wanted, metrics) = numbers_of(run, state), alone
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), found, wanted)
    assert np.abs(wanted['params']['entity'] - numbers_of(run, first_state(run))['params']['entity']).max() > 1e-3
    assert evaluate(run, state, 'test')['mrr'] == pytest.approx(metrics['mrr'], abs=1e-3)
    padding = np.asarray(state.params['entity'])[run.graph.num_entities :]
    assert not padding.any()


def test_a_hundred_row_sparse_steps_are_the_dense_ones_of_one_device(folder, alone):
    run = run_of(folder, MESHES[0], **(WIDE | {'optimizer': 'sparse_sgd'}))
    state = trained(run, 100)
    found, (wanted, _) = numbers_of(run, state), alone
    for name in ('params', 'totals'):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), found[name], wanted[name])
    assert {shard.data.shape[0] for shard in state.params['entity'].addressable_shards} == {51}
    padding = np.asarray(state.params['entity'])[run.graph.num_entities :]
    assert not padding.any()


@pytest.mark.slow
@pytest.mark.parametrize('mesh', MESHES)
@pytest.mark.parametrize('optimizer', ROW_SPARSE)
def test_row_sparse_steps_and_their_slots_are_those_of_one_device(folder, optimizer, mesh):
    one, many = (run_of(folder, text, optimizer=optimizer, num_epochs=10) for text in ('', mesh))
    found, wanted = (numbers_of(run, trained(run, 100)) for run in (many, one))
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), found, wanted)


@pytest.mark.parametrize('mesh', ONE_AND_MORE)
@pytest.mark.parametrize('optimizer', [pytest.param('sgd', marks=pytest.mark.slow), 'sparse_sgd'])
def test_streamed_triples_train_as_on_one_device(folder, optimizer, mesh):
    pytest.importorskip('grain', reason='grain is not installed; the extra streaming has it')
    fields = WIDE | {'optimizer': optimizer, 'stream_triples': True}
    one, many = (run_of(folder, text, **fields) for text in ('', mesh))
    states = [trained(run, 100) for run in (one, many)]
    wanted, found = (numbers_of(run, state) for run, state in zip((one, many), states, strict=True))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), found, wanted)
    mrrs = [evaluate(run, state, 'test')['mrr'] for run, state in zip((one, many), states, strict=True)]
    assert mrrs[1] == pytest.approx(mrrs[0], abs=1e-3)
    # The triples, and the index of those that are known, are on the host and on no other device.
    assert {len(x.devices()) for x in jax.tree.leaves((many.data.triples, many.data.known))} == {1}


def test_each_device_has_its_rows_alone(folder):
    run = run_of(folder, 'data=2,entity=4', optimizer='adam')
    state = trained(run, 3)
    for table in (state.params['entity'], state.opt_state[0].mu['entity'], *run.data.frozen['features'].values()):
        assert {shard.data.shape[0] for shard in table.addressable_shards} == {51}, 'of 202 entities, padded to 204'
    assert state.params['relation'].sharding.is_fully_replicated


@pytest.mark.parametrize(
    ('graph', 'strategy', 'optimizer'),
    [
        pytest.param('folder', 'normal', 'adam', marks=pytest.mark.slow),
        ('folder', 'mans_a', 'adam'),
        pytest.param('small_folder', 'normal', 'adam', marks=pytest.mark.slow),
        ('small_folder', 'mans_a', 'adam'),
        ('folder', 'normal', 'sparse_adagrad'),
    ],
)
@pytest.mark.parametrize('mesh', MESHES[:2])
def test_a_step_gathers_no_table(request, graph, strategy, optimizer, mesh):
    run = run_of(request.getfixturevalue(graph), mesh, strategy=strategy, optimizer=optimizer)
    loop = training.make_training_loop(run.model, run.config, run.steps_per_epoch)
    state = first_state(run)
    text = loop.train_steps.lower(state, run.data, 1).compile().as_text()
    gathered = set(re.findall(r'= \(?(\w+\[[\d,]*\]).*? all-gather(?:-start)?\(', text))
    # Where all entities are embedded, too, what they have is exchanged.
    assert re.search(r' all-to-all(?:-start)?\(', text), 'no row is exchanged'
    # A row-sparse step brings together what shards with the same rows were told, as much as there is room for. Beside
    # that there are ids, and, where they are as many as the entities, who has which modality.
    data, entity = (run.model.mesh.shape[axis] for axis in ('data', 'entity'))
    told = {data * entity * room for room in rooms(3 * run.config.batch_size // (data * entity), entity)}
    num_rows = state.params['entity'].shape[0]
    assert num_rows not in told
    of_batch = rf'f32\[({"|".join(map(str, told))}),\d+\]|s32\[\d+(,1)*\]|pred\[{num_rows},2\]'
    assert not [shape for shape in gathered if not re.fullmatch(of_batch, shape)], gathered


def test_a_feature_is_moved_no_wider_than_its_projection(folder):
    run = run_of(folder, MESHES[0], **WIDE)
    loop = training.make_training_loop(run.model, run.config, run.steps_per_epoch)
    text = loop.train_steps.lower(first_state(run), run.data, 1).compile().as_text()
    moved = [line for line in text.splitlines() if ' all-reduce(' in line]
    rows = re.findall(r'f32\[(\d+),6\]', ''.join(moved))
    assert rows == ['4'], 'the gradient of the projection, [D, F], and it alone'


@pytest.mark.parametrize('mesh', MESHES)
@pytest.mark.parametrize('who_is_asked', ['all', 'one more', 'one'])
def test_rows_come_from_wherever_they_are(mesh, who_is_asked):
    """In every room: where all shards are asked for as much, one for two and a half times as much, and one alone."""
    mesh = make_mesh(mesh)
    num_rows, number = 41 * mesh.shape['entity'], 6400
    rng = np.random.default_rng(0)
    ids = rng.integers(0, num_rows, number)
    share = {'all': 0, 'one more': 0.25, 'one': 1}[who_is_asked]
    ids = np.where(rng.random(number) < share, rng.integers(0, 41, number), ids).astype(np.int32)
    table, kernel = rng.normal(size=(num_rows, 6)).astype(np.float32), rng.normal(size=(6, 4)).astype(np.float32)
    features, present = rng.normal(size=(num_rows, 5)).astype(np.float32), rng.random((num_rows, 2)) < 0.5
    wanted = rng.normal(size=(number, 4)).astype(np.float32)
    # What a device asks one shard for at most, and the room that this takes.
    first, second = ids[:2400], ids[2400:].reshape(2000, 2)
    by_device = np.concatenate([x.reshape(mesh.devices.size, -1) for x in (first, second)], axis=1) // 41
    asked = max(np.bincount(owners, minlength=mesh.shape['entity']).max() for owners in by_device)
    sizes = rooms(number // mesh.devices.size, mesh.shape['entity'])
    if mesh.shape['entity'] > 1:
        assert len(sizes) == 3
        assert np.searchsorted(sizes, asked) == ['all', 'one more', 'one'].index(who_is_asked)

    def look(rows, frozen, kernel):
        features, present = frozen
        return rows @ kernel + features[:, :4], present, features[:, 4:]

    def with_all(table, kernel):
        return look(table[ids], (features[ids], present[ids]), kernel)

    def by_shard(table, kernel):
        # In two arrays, the second of them of two ids an example.
        parts = split_batch((jnp.asarray(first), jnp.asarray(second)), mesh)
        found = from_shards(mesh, look, table, (features, present), kernel, parts)
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b.reshape(4000, -1)]), *found)

    def loss(found):
        return jnp.sum(found[0] * wanted) + jnp.sum(jnp.sin(found[0]))

    for function in (lambda f: f, lambda f: jax.grad(lambda *x: loss(f(*x)), argnums=(0, 1))):
        one, several = (jax.jit(function(f))(table, kernel) for f in (with_all, by_shard))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), one, several)


def test_rooms_rise_to_one_for_all_questions():
    assert rooms(8448, 8) == (1515, 3363, 8448)
    assert rooms(3, 8) == (3,) and rooms(100, 1) == (100,)
    for number in range(1, 400, 7):
        sizes = rooms(number, 8)
        assert list(sizes) == sorted(set(sizes)) and sizes[-1] == number


# The one whose intruders are not cut along the data axis takes its own way.
@pytest.mark.parametrize(
    'name', [name if name == 'chunk_pool' else pytest.param(name, marks=pytest.mark.slow) for name in EXAMPLES]
)
def test_every_sampler_runs_on_a_mesh(folder, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path, run_of(folder, '').graph)
    recipes = {'sampler': EXAMPLES[name], 'optimizer': 'sgd', 'learning_rate': 0.01}
    one, many = (run_of(folder, mesh, **recipes) for mesh in ('', 'data=2,entity=4'))
    losses = [float(trained(run, 3).totals['loss']) for run in (one, many)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize('mesh', ONE_AND_MORE)
def test_what_may_stand_for_an_entity_is_learned_on_a_mesh_too(folder, mesh):
    fields = {'sampler': 'in_batch', 'loss': 'softplus', 'substitution_weight': 1.0, 'optimizer': 'sgd'}
    one, many = (run_of(folder, text, **fields) for text in ('', mesh))
    found, wanted = (numbers_of(run, trained(run, 10)) for run in (many, one))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), found, wanted)


def test_every_sampler_is_tried():
    assert set(EXAMPLES) == set(FAMILIES)


@pytest.mark.parametrize('mesh', ONE_AND_MORE)
def test_ranks_are_those_of_one_device(folder, mesh):
    one, many = (run_of(folder, text) for text in ('', mesh))
    found, wanted = (rank_split(run, first_state(run), 'test') for run in (many, one))
    np.testing.assert_array_equal(found.better, wanted.better)
    np.testing.assert_array_equal(found.tied, wanted.tied)


def test_a_score_that_is_not_finite_is_named_as_on_one_device(folder):
    said = []
    for text in ('', 'data=2,entity=4'):
        run = run_of(folder, text, normalize=False)
        state = first_state(run)
        table = jax.jit(lambda x: x.at[30].set(np.nan), out_shardings=state.params['entity'].sharding)
        state = state.replace(params={**state.params, 'entity': table(state.params['entity'])})
        with pytest.raises(InputError) as error:
            rank_split(run, state, 'test')
        said.append(str(error.value))
    assert said[0] == said[1]


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize(
    ('before', 'after'),
    [
        ('data=2,entity=4', ''),
        pytest.param('', 'entity=8', marks=pytest.mark.slow),
        pytest.param('entity=8', 'data=8', marks=pytest.mark.slow),
    ],
)
def test_a_run_goes_on_on_another_mesh(folder, tmp_path, monkeypatch, before, after):
    wanted = train_and_evaluate(short_recipe(folder, optimizer='sgd'), tmp_path / 'undisturbed')
    save = training._save

    def save_and_die(members, program, states, step, due):
        save(members, program, states, step, due)
        if step == 40:
            for member in members:
                member.checkpoints.wait()
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training, '_save', save_and_die)
        with pytest.raises(Killed):
            train_and_evaluate(short_recipe(folder, optimizer='sgd', mesh=before), tmp_path / 'run')
    train_and_evaluate(short_recipe(folder, optimizer='sgd', mesh=after), tmp_path / 'run')
    run, state = load_run(tmp_path / 'run')
    assert state.params['entity'].shape[0] == run.graph.num_entities
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), state.params, wanted.params)
    found, undisturbed = (json.loads((tmp_path / name / 'results.json').read_text()) for name in ('run', 'undisturbed'))
    assert found['test']['mrr'] == pytest.approx(undisturbed['test']['mrr'], abs=1e-3)


@pytest.fixture(scope='module')
def workdir(small_folder, tmp_path_factory):
    """Of a short run, read on one device and on meshes that do not divide its 42 entities."""
    workdir = tmp_path_factory.mktemp('run')
    train_and_evaluate(short_recipe(small_folder, num_epochs=1, evaluate_every=0), workdir)
    return workdir


def assert_near(found, wanted):
    """Whether results that JSON can hold are the same, numbers up to the order of sums."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert x == (y if isinstance(y, str) else pytest.approx(y, rel=1e-5))


@pytest.mark.parametrize('tasks', [['link_prediction'], pytest.param(list(TASKS), marks=pytest.mark.slow)])
def test_a_run_is_judged_on_a_mesh_as_on_one_device(workdir, tasks):
    wanted, found = (evaluate_run(*load_run(workdir, mesh), 'test', tasks) for mesh in ('', MESHES[0]))
    assert wanted['tasks'].keys() == set(tasks), wanted['not_served']
    assert_near(found, wanted)


@pytest.mark.parametrize('mesh', [MESHES[0], pytest.param(MESHES[1], marks=pytest.mark.slow)])
def test_answers_are_those_of_one_device(workdir, mesh):
    one, many = (Predictor.load(workdir, text) for text in ('', mesh))
    assert {shard.data.shape[0] for shard in many.params['entity'].addressable_shards} in ({5}, {10})
    for ask in (
        lambda predictor: predictor.tails([3, 38, 0], [0, 1, 2], 39),
        lambda predictor: predictor.heads([0, 1], [3, 5], 5, novel=True),
        lambda predictor: predictor.relations([3, 38], [4, 0]),
    ):
        found, wanted = (dataclasses.asdict(ask(predictor)) for predictor in (many, one))
        for name in ('labels', 'ids', 'ranks', 'known'):
            np.testing.assert_array_equal(found[name], wanted[name])
        for name in ('scores', 'probabilities'):
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-6)


def test_an_answer_that_is_not_finite_is_named_as_on_one_device(workdir):
    said = []
    for mesh in ('', MESHES[0]):
        predictor = Predictor.load(workdir, mesh)
        candidates = predictor.candidates._replace(columns=jnp.full_like(predictor.candidates.columns, jnp.nan))
        with pytest.raises(InputError) as error:
            dataclasses.replace(predictor, candidates=candidates).heads(0, 3)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_a_mesh_that_the_devices_do_not_fill_is_refused(folder):
    with pytest.raises(InputError) as error:
        on_mesh(dataclasses.replace(run_of(folder, ''), config=short_recipe(folder, mesh='entity=4')))
    assert str(error.value) == (
        "config.mesh is 'entity=4', which has 4 places, but there are 8 devices: choose sizes whose product is 8"
    )
