"""Checkpoints: bit-exact, whole or absent, and clear about everything else."""

import errno
import functools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from mans_jax.checkpoints import Checkpoints
from mans_jax.errors import InputError


class Moments(NamedTuple):
    count: jax.Array
    mean: dict[str, jax.Array]


@struct.dataclass
class State:
    params: dict[str, jax.Array]
    optimizer: tuple
    key: jax.Array
    host: np.ndarray


def make_state(seed: int = 0) -> State:
    """Every kind of leaf and container, with values that only a copy of the bits preserves."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, size=(37, 5), dtype=np.uint32)
    bits[0, :3] = 0x7FC00001, 0x80000000, 0x00000001  # a NaN with a payload, minus zero, a subnormal number
    params = {
        'entity': jax.device_put(bits.view(np.float32)),
        'half': jnp.asarray(rng.integers(0, 2**16, size=9, dtype=np.uint16)).view(jnp.bfloat16),
        'bytes': jnp.asarray(rng.integers(-128, 128, size=(2, 0, 3), dtype=np.int8)),
        'flag': jnp.asarray([True, False]),
    }
    moments = Moments(count=jnp.int32(seed), mean={'entity': jnp.asarray(rng.normal(size=(37, 5)), jnp.float32)})
    return State(params=params, optimizer=(moments, (), None), key=jax.random.key(seed), host=rng.normal(size=(3, 2)))


def bits_of(tree) -> list[tuple]:
    def bits(leaf):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return type(leaf).__module__, str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()

    return [bits(leaf) for leaf in jax.tree.leaves(tree)]


def steps_in(folder) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def run(code: str, *arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, '-c', textwrap.dedent(code), *map(str, arguments)]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path), **options.pop('env', {})}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, **options)


def refused(message: InputError) -> str:
    """The text of a refusal, which must be one line without debris."""
    text = str(message)
    assert '\n' not in text and 'Traceback' not in text and len(text) < 600
    return text


@pytest.mark.parametrize('abstract', [False, True])
def test_round_trip_keeps_every_bit_and_container(tmp_path, abstract):
    state = make_state()
    with Checkpoints(tmp_path / 'new' / 'folder') as checkpoints:
        checkpoints.save(3, state, {'config': {'dim': 128}, 'best': -float('inf'), 'name': 'é'}, metric=0.25)
    like = make_state(seed=1)
    if abstract:
        like = jax.tree.map(lambda a: a if isinstance(a, np.ndarray) else jax.ShapeDtypeStruct(a.shape, a.dtype), like)
    with Checkpoints(tmp_path / 'new' / 'folder') as checkpoints:
        restored = checkpoints.restore(checkpoints.latest_step(), like)
        assert checkpoints.read_record(3) == {'config': {'dim': 128}, 'best': -float('inf'), 'name': 'é'}
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert bits_of(restored) == bits_of(state)


def test_a_single_array_is_a_state(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, jnp.arange(3), {})
        np.testing.assert_array_equal(checkpoints.restore(0, jnp.zeros(3, jnp.int32)), [0, 1, 2])


def test_buffers_may_be_donated_and_overwritten_as_soon_as_save_returns(tmp_path):
    @functools.partial(jax.jit, donate_argnums=0)
    def spoil(state):
        return jax.tree.map(lambda leaf: -leaf - 7, state)

    fresh = {'a': jnp.ones((1000, 500)), 'b': jnp.ones(3)}
    address = fresh['a'].unsafe_buffer_pointer()
    assert spoil(fresh)['a'].unsafe_buffer_pointer() == address, 'donation does not overwrite here: no test'

    host = np.arange(1e5)
    record = {'epoch': 1}
    with Checkpoints(tmp_path, keep_last=5) as checkpoints:
        for seed in range(5):
            state = {f'leaf{i}': jax.random.normal(jax.random.key(100 * seed + i), (500, 400)) for i in range(10)}
            expected = bits_of(jax.tree.map(lambda leaf: leaf + 0, state))
            checkpoints.save(seed, {'device': state, 'host': host}, record)
            for _ in range(3):
                state = spoil(state)
            host -= 7
            record['epoch'] = -1
            jax.block_until_ready(state)
            restored = checkpoints.restore(seed, {'device': state, 'host': host})
            assert bits_of(restored['device']) == expected
            np.testing.assert_array_equal(restored['host'], host + 7)
            assert checkpoints.read_record(seed)['epoch'] == 1
            record['epoch'] = 1


def test_a_restored_state_may_be_donated(tmp_path):
    add_one = jax.jit(lambda a: a + 1, donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, jnp.zeros((300, 300)), {})
        for _ in range(3):
            restored = checkpoints.restore(0, jnp.zeros((300, 300)))
            assert float(add_one(add_one(restored)).min()) == 2


def test_keeps_the_last_and_the_best(tmp_path):
    metrics = [0.1, 0.5, None, 0.5, 0.2, 0.3, None, 0.1]
    with Checkpoints(tmp_path, keep_last=2) as checkpoints:
        assert checkpoints.latest_step() is None and checkpoints.best_step() is None
        best = None
        for step, metric in enumerate(metrics):
            checkpoints.save(step, jnp.full(3, step), {}, metric=metric)
            checkpoints.wait()
            if metric is not None and (best is None or metric >= metrics[best]):
                best = step
            assert (checkpoints.latest_step(), checkpoints.best_step()) == (step, best)
            assert steps_in(tmp_path) == sorted({step, max(step - 1, 0), best})
    assert {path.name for path in tmp_path.iterdir()} == {'3', '6', '7'}, 'debris'

    with Checkpoints(tmp_path, keep_last=1) as checkpoints:
        assert (checkpoints.latest_step(), checkpoints.best_step()) == (7, 3)
        checkpoints.save(9, jnp.zeros(3), {}, metric=0.49)
    assert steps_in(tmp_path) == [3, 9]
    with Checkpoints(tmp_path, keep_last=1) as checkpoints:
        checkpoints.save(10, jnp.zeros(3), {}, metric=0.51)
        assert checkpoints.best_step() == 10
    assert steps_in(tmp_path) == [10]


def test_without_metrics_there_is_no_best(tmp_path):
    with Checkpoints(tmp_path, keep_last=1) as checkpoints:
        for step in range(3):
            checkpoints.save(step, jnp.zeros(3), {})
        assert checkpoints.best_step() is None
    assert steps_in(tmp_path) == [2]


def test_saving_a_step_again_changes_nothing(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, jnp.zeros(3), {'first': True}, metric=1.0)
        checkpoints.save(1, jnp.ones(3), {'first': False}, metric=2.0)
        assert checkpoints.read_record(1) == {'first': True}
        assert float(checkpoints.restore(1, jnp.ones(3)).sum()) == 0


def test_reading_does_not_touch_the_folder(tmp_path):
    with Checkpoints(tmp_path / 'run') as checkpoints:
        assert checkpoints.latest_step() is None
    assert not (tmp_path / 'run').exists()
    with Checkpoints(tmp_path / 'run') as writer:
        writer.save(1, jnp.zeros(3), {})
        writer.wait()
        half = tmp_path / 'run' / '2.orbax-checkpoint-tmp'
        half.mkdir()
        with Checkpoints(tmp_path / 'run') as reader:
            assert reader.latest_step() == 1
            reader.restore(1, jnp.zeros(3))
        assert half.exists(), 'a reader removed what another process may be writing'
    with Checkpoints(tmp_path / 'run') as writer:
        writer.save(2, jnp.zeros(3), {})
    assert {path.name for path in (tmp_path / 'run').iterdir()} == {'1', '2'}


def test_may_be_used_after_close(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.close()
    for step in range(2):
        checkpoints.save(step, jnp.full(3, step), {})
        checkpoints.close()
    assert float(checkpoints.restore(1, jnp.zeros(3, jnp.int32))[0]) == 1
    checkpoints.close()


@pytest.mark.parametrize('metric', [float('nan'), float('inf')])
def test_a_metric_must_be_finite(tmp_path, metric):
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(ValueError, match='metric of step 1'):
        checkpoints.save(1, jnp.zeros(3), {}, metric=metric)


def test_mistakes_of_the_caller_surface_at_once(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(TypeError, match='leaf a of the state is 1.5'):
            checkpoints.save(1, {'a': 1.5}, {})
        with pytest.raises(TypeError, match='JSON'):
            checkpoints.save(1, {'a': jnp.zeros(3)}, {'array': jnp.zeros(3)})
        assert checkpoints.latest_step() is None
    with pytest.raises(ValueError, match='keep_last'):
        Checkpoints(tmp_path, keep_last=0)


# What is on disk is not what it should be.


def files_of(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file())


def kind_of(file: str) -> str:
    return re.sub('[0-9a-f]{32}', 'HEX', file)


@pytest.mark.parametrize('damage', ['deleted', 'truncated', 'emptied', 'one byte changed'])
def test_damaged_files_are_refused_or_do_not_matter(tmp_path, damage, capfd):
    state = make_state()
    with Checkpoints(tmp_path / 'run') as checkpoints:
        checkpoints.save(10, state, {'a': 1})
        checkpoints.save(20, state, {'a': 2})
    shutil.copytree(tmp_path / 'run' / '20', tmp_path / 'whole')
    files = files_of(tmp_path / 'whole')
    refusals = set()
    for file in files:
        shutil.rmtree(tmp_path / 'run' / '20')
        shutil.copytree(tmp_path / 'whole', tmp_path / 'run' / '20')
        path = tmp_path / 'run' / '20' / file
        content = path.read_bytes()
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({'truncated': content[:middle], 'one byte changed': changed}.get(damage, b''))
        if damage == 'deleted':
            path.unlink()
        with Checkpoints(tmp_path / 'run') as checkpoints:
            assert checkpoints.latest_step() == 20
            try:
                assert bits_of(checkpoints.restore(20, state)) == bits_of(state)
            except InputError as error:
                text = refused(error)
                assert text.startswith(f'{tmp_path}/run/20: ')
                assert 'delete this folder to fall back to step 10' in text or 'another program' in text
                refusals.add(kind_of(file))
            assert bits_of(checkpoints.restore(10, state)) == bits_of(state)
    # Whatever holds data or leads to it is guarded; only what Orbax writes for itself is not.
    assert {kind_of(file) for file in files} - refusals <= {'_CHECKPOINT_METADATA', 'commit_success.txt'}
    assert capfd.readouterr() == ('', ''), 'Orbax printed something'


def test_the_cure_of_the_only_checkpoint_is_to_start_over(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(10, jnp.zeros(3), {})
    (tmp_path / '10' / 'record' / 'metadata').write_text('{')
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(InputError, match='delete this folder to start over') as error:
            checkpoints.read_record(10)
        refused(error.value)
    shutil.rmtree(tmp_path / '10')
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() is None


def test_an_absent_step_is_refused(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(InputError, match='no checkpoint of step 5.*there is none'):
            checkpoints.read_record(5)
        checkpoints.save(10, jnp.zeros(3), {})
        checkpoints.save(20, jnp.zeros(3), {})
        with pytest.raises(InputError, match='no checkpoint of step 5.*the steps are 10, 20') as error:
            checkpoints.restore(5, jnp.zeros(3))
        refused(error.value)


DIFFERENT = {
    'shape': (
        {'w': {'a': jnp.zeros((4, 2)), 'b': jnp.zeros(3)}},
        r'leaf w/a is float32\[3,2\] in .* float32\[4,2\] in',
    ),
    'dtype': (
        {'w': {'a': jnp.zeros((3, 2), jnp.bfloat16), 'b': jnp.zeros(3)}},
        r'float32\[3,2\] in .* bfloat16\[3,2\] in',
    ),
    'rank': ({'w': {'a': jnp.zeros((3, 2)), 'b': jnp.zeros(())}}, r'leaf w/b is float32\[3\] in .* float32\[\] in'),
    'empty': ({'w': {'a': jnp.zeros((3, 2)), 'b': jnp.zeros(0)}}, r'leaf w/b is float32\[3\] in .* float32\[0\] in'),
    'more': (
        {'w': {'a': jnp.zeros((3, 2)), 'b': jnp.zeros(3), 'c': jnp.zeros(1)}},
        r'leaf w/c is missing in the checkp',
    ),
    'fewer': ({'w': {'a': jnp.zeros((3, 2))}}, r'leaf w/b is float32\[3\] in the checkpoint and missing in this run'),
    'renamed': ({'v': {'a': jnp.zeros((3, 2)), 'b': jnp.zeros(3)}}, r'leaf v/a is missing .*\(so do 3 more\)'),
}


@pytest.mark.parametrize('difference', DIFFERENT)
def test_another_state_is_refused_by_the_name_of_the_leaf(tmp_path, difference):
    like, message = DIFFERENT[difference]
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {'w': {'a': jnp.zeros((3, 2)), 'b': jnp.zeros(3)}}, {})
        with pytest.raises(InputError, match=message) as error:
            checkpoints.restore(1, like)
        assert refused(error.value).startswith(f'{tmp_path}/1: leaf ')


def test_another_programs_checkpoints_are_refused_and_never_deleted(tmp_path):
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager(tmp_path / 'run') as manager:
        for step in range(4):
            manager.save(step, args=ocp.args.StandardSave({'a': jnp.zeros(3)}))
    (tmp_path / 'run' / '7.orbax-checkpoint-tmp').mkdir()
    before = files_of(tmp_path)
    with Checkpoints(tmp_path / 'run', keep_last=1) as checkpoints:
        assert checkpoints.latest_step() == 3
        for attempt in (
            lambda: checkpoints.read_record(3),
            lambda: checkpoints.restore(3, {'a': jnp.zeros(3)}),
            lambda: checkpoints.best_step(),
            lambda: checkpoints.save(9, {'a': jnp.zeros(3)}, {}),
            lambda: checkpoints.save(9, {'a': jnp.zeros(3)}, {}),
        ):
            with pytest.raises(InputError, match='not of mans_jax') as error:
                attempt()
            refused(error.value)
    assert files_of(tmp_path) == before and (tmp_path / 'run' / '7.orbax-checkpoint-tmp').exists()


@pytest.mark.parametrize(
    ('header', 'message'),
    [
        ({'format': 'mans_torch', 'version': 1, 'record': {}}, "its format is 'mans_torch'"),
        ([1, 2], r"its format is '\[1, 2\]'"),
        (
            {'format': 'mans_jax checkpoint', 'version': 2},
            'has format version 2 and this mans_jax reads up to 1; install',
        ),
    ],
)
def test_other_formats_and_newer_versions_are_refused(tmp_path, header, message):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, jnp.zeros(3), {})
    (tmp_path / '1' / 'record' / 'metadata').write_text(json.dumps(header))
    with Checkpoints(tmp_path) as checkpoints:
        for attempt in (lambda: checkpoints.read_record(1), lambda: checkpoints.restore(1, jnp.zeros(3))):
            with pytest.raises(InputError, match=message) as error:
                attempt()
            refused(error.value)


# The place is not what it should be.


@pytest.mark.parametrize('below', ['', 'run', 'run/checkpoints'])
def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path, below):
    (tmp_path / 'file').write_text('mine')
    checkpoints = Checkpoints(tmp_path / 'file' / below)
    with pytest.raises(InputError, match='choose another folder') as error:
        checkpoints.save(1, jnp.zeros(3), {})
    assert str(tmp_path / 'file') in refused(error.value)
    checkpoints.close()
    assert (tmp_path / 'file').read_text() == 'mine'


def test_an_address_is_refused():
    with pytest.raises(InputError, match='gs://bucket/run: checkpoints go to a folder'):
        Checkpoints('gs://bucket/run')


READ_ONLY = """
    import os, sys
    import jax.numpy as jnp
    from mans_jax.checkpoints import Checkpoints
    from mans_jax.errors import InputError

    def use(directory):
        try:
            with Checkpoints(directory) as checkpoints:
                print(checkpoints.latest_step())
                if checkpoints.latest_step():
                    print(checkpoints.restore(1, jnp.zeros(3)).sum(), checkpoints.read_record(1))
                checkpoints.save(2, jnp.zeros(3), {})
        except InputError as error:
            print(error)

    use(sys.argv[1])
    use(sys.argv[1])
    if os.geteuid() == 0:
        os.seteuid(65534)  # root may write everywhere
    print('---')
    for directory in sys.argv[2:]:
        use(directory)
"""


def test_a_folder_that_cannot_be_written_is_read_but_not_written(tmp_path):
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, into which only its owner may look
        shared = pathlib.Path(name)
        with Checkpoints(shared / 'run') as checkpoints:
            checkpoints.save(1, jnp.ones(3), {})
        shared.chmod(0o555)
        (shared / 'run').chmod(0o555)
        done = run(READ_ONLY, tmp_path / 'warm', shared / 'run', shared / 'new')
        (shared / 'run').chmod(0o755)
        shared.chmod(0o755)
        assert done.stderr == ''
        step, restored, refusal, nothing, new_refusal = done.stdout.split('---\n')[1].splitlines()
        assert (step, restored, nothing) == ('1', '3.0 {}', 'None')
        assert refusal.startswith(f'{shared}/run: a checkpoint could not be written (Permission denied); step 1 is the')
        assert new_refusal.startswith(f'{shared}/new: checkpoints cannot be written here (Permission denied); choose')
        assert steps_in(shared / 'run') == [1]


FULL_DISK = """
    import resource, sys
    import jax, jax.numpy as jnp, numpy as np
    from mans_jax.checkpoints import Checkpoints
    from mans_jax.errors import InputError

    random = jax.random.normal(jax.random.key(0), (1000, 1000))
    checkpoints = Checkpoints(sys.argv[1])
    checkpoints.save(1, random, {'step': 1}, metric=1.0)
    checkpoints.save(2, -random, {'step': 2}, metric=0.0)
    checkpoints.wait()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    checkpoints.save(3, 3 * random, {'step': 3}, metric=2.0)
    try:
        if sys.argv[2] == 'save':
            checkpoints.save(4, jnp.zeros((1000, 1000)), {'step': 4})
        elif sys.argv[2] == 'exit':
            with checkpoints:
                pass
        else:
            getattr(checkpoints, sys.argv[2])()
    except InputError as error:
        print(error)
    print(checkpoints.latest_step(), checkpoints.best_step())
    for step, expected in ((1, random), (2, -random)):
        print(np.array_equal(checkpoints.restore(step, random), expected))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    checkpoints.save(3, 3 * random, {'step': 3}, metric=0.5)
    checkpoints.close()
    print(np.array_equal(checkpoints.restore(3, random), 3 * random), checkpoints.best_step())
    checkpoints.close()
"""


@pytest.mark.parametrize('when', ['save', 'wait', 'close', 'exit'])
def test_a_full_disk_is_told_and_costs_no_checkpoint(tmp_path, when):
    done = run(FULL_DISK, tmp_path, when)
    assert (done.returncode, done.stderr) == (0, '')
    refusal, steps, first, second, again = done.stdout.splitlines()
    assert refusal == (
        f'{tmp_path}: a checkpoint could not be written (File too large); step 2 is the last one. '
        'Free space or choose another folder, then resume'
    )
    assert (steps, first, second, again) == ('2 1', 'True', 'True', 'True 1')
    assert {path.name for path in tmp_path.iterdir()} == {'1', '2', '3'}


def test_a_failing_save_does_not_hide_the_exception_on_its_way(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('mans_jax.checkpoints._digests', full)
    with pytest.raises(KeyError) as error:
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(1, jnp.zeros(3), {})
            raise KeyError('mine')
    assert 'could not be written (No space left on device); none is there yet' in error.value.__notes__[0]
    with pytest.raises(InputError, match='No space left on device'):
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(1, jnp.zeros(3), {})


# Processes that end when they should not, and those that should.

SAVING_LOOP = """
    import sys
    import jax.numpy as jnp
    from mans_jax.checkpoints import Checkpoints

    def state_of(step):
        return {f'leaf{i}': jnp.full((300, 1000), step * 100 + i, jnp.int32) for i in range(5)}

    with Checkpoints(sys.argv[1], keep_last=2) as checkpoints:
        step = (checkpoints.latest_step() or 0) + 1
        while True:
            checkpoints.save(step, state_of(step), {'step': step}, metric=-abs(step % 7 - 3))
            checkpoints.wait()
            print(step, flush=True)
            step += 1
"""


def test_a_killed_process_leaves_whole_checkpoints(tmp_path):
    rng = random.Random(0)
    like = {f'leaf{i}': jnp.zeros((300, 1000), jnp.int32) for i in range(5)}
    halves = 0
    for _ in range(6):
        command = [sys.executable, '-c', textwrap.dedent(SAVING_LOOP), str(tmp_path)]
        environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        first = int(process.stdout.readline())
        time.sleep(rng.uniform(0.1, 0.6))
        process.kill()
        others, printed = process.communicate(timeout=60)
        assert (printed, process.returncode) == ('', -signal.SIGKILL)
        last = max(map(int, [first, *others.split()]))
        halves += any('tmp' in path.name for path in tmp_path.iterdir())
        with Checkpoints(tmp_path) as checkpoints:
            steps = steps_in(tmp_path)
            # The process may have been killed between the save and its report.
            assert checkpoints.latest_step() == steps[-1] and steps[-1] in (last, last + 1)
            for step in steps:
                assert checkpoints.read_record(step) == {'step': step}
                for i, leaf in enumerate(checkpoints.restore(step, like).values()):
                    assert leaf.shape == (300, 1000) and bool((leaf == step * 100 + i).all())
            assert checkpoints.best_step() in steps
    assert halves, 'no process was killed in the middle of a save: no test'


NOT_CLOSED = """
    import sys, threading
    import jax.numpy as jnp
    from mans_jax.checkpoints import Checkpoints

    assert 'tensorflow' not in sys.modules
    checkpoints = Checkpoints(sys.argv[1])
    for step in range(3):
        checkpoints.save(step, jnp.zeros((1000, 1000)), {})
    checkpoints.wait()
    if sys.argv[2] == 'closed':
        checkpoints.close()
        assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
    if sys.argv[2] == 'raised':
        sys.exit(3)
"""


@pytest.mark.parametrize('end', ['closed', 'forgotten', 'raised'])
def test_nothing_is_printed_and_no_thread_holds_the_exit(tmp_path, end):
    done = run(NOT_CLOSED, tmp_path, end)
    assert (done.stdout, done.stderr) == ('', '')
    assert done.returncode == (3 if end == 'raised' else 0)


def test_orbax_is_silent_also_where_the_program_logs(tmp_path):
    code = """
        import sys
        from absl import app, logging
        import jax.numpy as jnp
        from mans_jax.checkpoints import Checkpoints

        def main(_):
            logging.set_verbosity(logging.INFO)
            with Checkpoints(sys.argv[1]) as checkpoints:
                checkpoints.save(1, jnp.zeros(3), {})
                logging.info('mine')
                checkpoints.restore(1, jnp.zeros(3))

        app.run(main)
    """
    done = run(code, tmp_path, env={'JAX_PLATFORMS': 'cpu'})
    assert done.returncode == 0 and done.stdout == ''
    assert len(done.stderr.splitlines()) == 1 and done.stderr.endswith('] mine\n'), done.stderr


SHARDED = """
    import sys
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec as P
    from mans_jax.checkpoints import Checkpoints

    assert jax.device_count() == 4
    mesh = jax.make_mesh((4,), ('row',), axis_types=(jax.sharding.AxisType.Auto,))
    rows, whole = NamedSharding(mesh, P('row')), NamedSharding(mesh, P())
    table = jax.device_put(jax.random.normal(jax.random.key(0), (40, 8)), rows)
    expected = np.array(table)
    with Checkpoints(sys.argv[1]) as checkpoints:
        checkpoints.save(1, {'table': table, 'step': jax.device_put(jnp.int32(7), whole)}, {})
        table = jax.jit(lambda a: a * 0, donate_argnums=0)(table)
        for sharding in (rows, whole, None):
            like = {'table': jax.ShapeDtypeStruct((40, 8), jnp.float32, sharding=sharding),
                    'step': jax.ShapeDtypeStruct((), jnp.int32, sharding=sharding if sharding is whole else None)}
            restored = checkpoints.restore(1, like)
            np.testing.assert_array_equal(restored['table'], expected)
            assert int(restored['step']) == 7
            if sharding is None:
                assert restored['table'].devices() == {jax.devices()[0]}
            else:
                assert restored['table'].sharding == sharding
"""


def test_sharded_arrays_are_saved_and_restored_on_any_sharding(tmp_path):
    done = run(SHARDED, tmp_path, env={'XLA_FLAGS': '--xla_force_host_platform_device_count=4', 'JAX_PLATFORMS': 'cpu'})
    assert (done.returncode, done.stderr) == (0, '')
    # A checkpoint of four devices is read on one.
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(1, {'table': jnp.zeros((40, 8)), 'step': jnp.int32(0)})
    assert int(restored['step']) == 7 and float(jnp.abs(restored['table']).sum()) > 0


@pytest.mark.gpu
def test_round_trip_from_and_to_a_gpu(tmp_path):
    device = jax.devices('gpu')[0]
    state = jax.device_put({'a': jax.random.normal(jax.random.key(0), (500, 400))}, device)
    expected = np.array(state['a'])
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, {})
        spoilt = jax.jit(lambda tree: jax.tree.map(lambda a: a * 0 - 7, tree), donate_argnums=0)(state)
        restored = checkpoints.restore(1, spoilt)
        assert restored['a'].devices() == {device}
        np.testing.assert_array_equal(restored['a'], expected)
        on_host = checkpoints.restore(1, {'a': np.zeros((500, 400), np.float32)})
        np.testing.assert_array_equal(on_host['a'], expected)
