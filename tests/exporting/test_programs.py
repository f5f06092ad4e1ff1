"""Programs as written to files, against the same run in this process and where only JAX is."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export

from mans_jax.blocks import score_rows
from mans_jax.exporting import exports, programs
from mans_jax.graph import KnownTriples, Triple
from mans_jax.models import FROZEN, PARAMS
from mans_jax.prediction.embedded import score_triples
from mans_jax.prediction.predictor import QUERIES_PER_BLOCK, Predictor
from tests.exporting.conftest import assert_same

K = 20

WORLDS = {
    'digits': ('digits', {'features': {'pixels': 'embedded'}}),
    'missing modalities': ('missing', {}),
    'a stand-in and products': ('missing', {'score': 'complex', 'absent': 'learned', 'normalize': False}),
}


class World:
    """A run in this process, and what it has written."""

    def __init__(self, folder, trained, params):
        self.trained, self.graph, self.folder = trained, trained.run.graph, folder
        self.manifest = programs.write(folder, trained, K, ['cpu', 'cuda', 'tpu'])
        self.arrays = dict(np.load(folder / 'arrays.npz'))
        self.variables = {PARAMS: params, FROZEN: trained.run.data.frozen}
        self.predictor = Predictor(trained.run, params, trained.embedded.entities, folder, 7)
        self.bounds = [self.graph.num_entities, self.graph.num_relations, self.graph.num_entities]

    def read(self, name):
        return export.deserialize(bytearray((self.folder / f'{name}.jax_export').read_bytes()))

    def call(self, name, *inputs):
        return jax.jit(self.read(name).call)(self.arrays, *inputs)

    def rows(self, number):
        return np.random.default_rng(number).integers(0, self.bounds, (number, 3)).astype(np.int32)


@pytest.fixture(scope='module')
def world_of(tmp_path_factory, make_trained):
    made = {}

    def make(name):
        if name not in made:
            graph, fields = WORLDS[name]
            made[name] = World(tmp_path_factory.mktemp('programs'), *make_trained(graph, **fields))
        return made[name]

    return make


@pytest.fixture(scope='module')
def missing_world(world_of):
    return world_of('missing modalities')


@pytest.mark.parametrize('name', WORLDS)
def test_answers_equal_those_in_process_to_the_bit(world_of, name):
    world = world_of(name)
    train = world.graph.train[:QUERIES_PER_BLOCK]
    rows = np.concatenate([train, world.rows(QUERIES_PER_BLOCK - len(train))]) if len(train) < 128 else train
    for novel in (False, True):
        for side, queries, want in (
            ('tails', rows[:, :2], world.predictor.tails(rows[:, 0], rows[:, 1], K, novel=novel)),
            ('heads', rows[:, 1:], world.predictor.heads(rows[:, 1], rows[:, 2], K, novel=novel)),
        ):
            ids, scores = world.call(side, queries, novel)
            assert_same(ids, want.ids)
            assert_same(scores, want.scores)
            assert want.known.any() != novel


@pytest.mark.parametrize('name', WORLDS)
def test_scores_equal_those_in_process_to_the_bit(world_of, name):
    world = world_of(name)
    rows, run = world.rows(300), world.trained.run
    scores = world.call('score', rows)
    in_process = jax.jit(score_triples, static_argnums=0)
    assert_same(scores, in_process(run.model.score, world.trained.embedded, Triple.from_rows(rows)))
    # Which embeds and scores in one program, so that the last bits are rounded in other places.
    np.testing.assert_allclose(scores, score_rows(run.model, world.variables, run.graph, rows), rtol=1e-5, atol=1e-6)


def test_any_number_of_queries(missing_world):
    rows = missing_world.rows(QUERIES_PER_BLOCK)
    ids, scores = missing_world.call('tails', rows[:, :2], False)
    for number in (1, 5):
        some = missing_world.call('tails', rows[:number, :2], False)
        assert_same(some[0], ids[:number])
        np.testing.assert_allclose(some[1], scores[:number], rtol=1e-6)
        assert missing_world.call('score', rows[:number]).shape == (number,)


def test_ids_that_do_not_exist_make_nothing_that_looks_like_an_answer(missing_world):
    entities, relations, _ = missing_world.bounds
    bad = np.int32(
        [[-1, 0, 0], [entities, 0, 0], [0, -1, 0], [0, relations, 0], [0, 0, -1], [0, 0, entities], [1, 1, 1]]
    )
    assert np.isnan(missing_world.call('score', bad)).tolist() == [True] * 6 + [False]
    for side, queries, wrong in (('tails', bad[:, :2], range(4)), ('heads', bad[:, 1:], range(2, 6))):
        ids, scores = (np.asarray(x) for x in missing_world.call(side, queries, False))
        for i in range(7):
            assert (ids[i] == -1).all() == np.isnan(scores[i]).all() == (i in wrong)


def test_where_fewer_answers_are_left_there_is_nothing(tmp_path, make_trained):
    trained, params = make_trained('missing')
    every = np.stack(np.broadcast_arrays(5, 1, np.arange(3, 600)), axis=1)
    known = KnownTriples.build(every, num_entities=600, num_relations=3)
    run = dataclasses.replace(trained.run, known=known)
    world = World(tmp_path, dataclasses.replace(trained, run=run), params)
    ids, scores = (np.asarray(x) for x in world.call('tails', np.int32([[5, 1]]), True))
    assert sorted(ids[0, :3].tolist()) == [0, 1, 2] and np.isfinite(scores[0, :3]).all()
    assert (ids[0, 3:] == -1).all() and (scores[0, 3:] == -np.inf).all()


def test_the_manifest_says_what_the_files_are(missing_world):
    manifest, read = missing_world.manifest, {name: missing_world.read(name) for name in ('score', 'tails', 'heads')}
    assert manifest['jax'] == jax.__version__ and manifest['answers'] == K
    for name, exported in read.items():
        said = manifest['programs'][name]
        assert list(exported.platforms) == manifest['platforms'] == ['cpu', 'cuda', 'tpu']
        assert exported.calling_convention_version == said['calling_convention_version']
        (arrays, *inputs), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
        shapes = {key: {'shape': list(x.shape), 'dtype': x.dtype.name} for key, x in missing_world.arrays.items()}
        assert shapes == manifest['arrays']['shapes']
        assert {key: {'shape': list(x.shape), 'dtype': x.dtype.name} for key, x in arrays.items()} == shapes
        described = [said['inputs'][key] for key in list(said['inputs'])[1:]] + list(said['outputs'].values())
        assert [(tuple(map(str, x['shape'])), x['dtype']) for x in described] == [
            (tuple(map(str, x.shape)), x.dtype.name) for x in (*inputs, *exported.out_avals)
        ]
    assert str(read['tails'].out_avals[0].shape) == f'(b, {K})'


@pytest.mark.parametrize(
    ('version', 'oldest'), [('0.10.2', '0.9.2'), ('0.12.0.1', '0.11.0'), ('0.11.0', '0.11.0'), ('1.2.3', '1.2.3')]
)
def test_the_oldest_reader_is_none_that_was_not_seen_to_read(version, oldest):
    assert programs.minimum_jax(version) == oldest


def test_programs_hold_no_numbers(world_of):
    sizes = {name: (world_of(name).folder / 'tails.jax_export').stat().st_size for name in WORLDS}
    assert max(sizes.values()) < 100_000 < world_of('digits').arrays['entity_columns'].nbytes


def test_a_program_runs_on_its_platforms_alone(tmp_path, missing):
    programs.write(tmp_path, missing, K, ['tpu'])
    exported = export.deserialize(bytearray((tmp_path / 'score.jax_export').read_bytes()))
    with pytest.raises(ValueError, match="for platforms '\\('tpu',\\)' but it is used on '\\('cpu',\\)'"):
        exported.call(programs.arrays_of(missing), np.zeros((1, 3), np.int32))


BARE = ('jax', 'jaxlib', 'numpy', 'numpy.libs', 'ml_dtypes', 'scipy', 'scipy.libs', 'opt_einsum', 'flatbuffers')
"""What `pip install jax flatbuffers` brings."""

IN_BARE = """
import importlib.util, sys
for name in ('mans_jax', 'flax', 'optax', 'safetensors', 'absl'):
    assert importlib.util.find_spec(name) is None, name
{code}
np.savez('found.npz', ids=ids, scores=scores, score=score(arrays, np.load('rows.npy')))
assert 'mans_jax' not in sys.modules
"""


def test_the_code_of_the_readme_runs_where_only_jax_is(tmp_path, make_trained, monkeypatch):
    """In a process that sees a folder of these libraries and nothing else, as a new environment would."""
    trained, _ = make_trained('missing')
    monkeypatch.setattr('mans_jax.exporting.exports.trained.load', lambda _: trained)
    output, bare = tmp_path / 'export', tmp_path / 'bare'
    exports.export_run('runs/x', output, exports.Settings(formats=('program',), top=K))
    bare.mkdir()
    for name in BARE:
        for folder in map(Path, sys.path):
            if (folder / name).is_dir() and not (bare / name).exists():
                (bare / name).symlink_to((folder / name).resolve())
    rows = np.random.default_rng(0).integers(0, [600, 3, 600], (64, 3)).astype(np.int32)
    np.save(output / 'rows.npy', rows)
    (code,) = re.findall(r'```python\n(.*?)```', (output / 'README.md').read_text(), re.DOTALL)
    environment = {**os.environ, 'PYTHONPATH': str(bare), 'JAX_PLATFORMS': 'cpu', 'PYTHONSAFEPATH': '1'}
    command = [sys.executable, '-S', '-c', IN_BARE.format(code=code)]
    done = subprocess.run(command, cwd=output, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = np.load(output / 'found.npz')
    functions = {name: jax.jit(f) for name, f in programs.functions_of(trained, K).items()}
    arrays, first = programs.arrays_of(trained), trained.run.graph.train[0]
    ids, scores = functions['heads'](arrays, first[None, 1:], False)
    for name, want in (('ids', ids), ('scores', scores), ('score', functions['score'](arrays, rows))):
        assert_same(found[name], want)
    assert float(done.stdout.split(']')[0].lstrip('[')) == pytest.approx(
        float(functions['score'](arrays, first[None])[0])
    )
