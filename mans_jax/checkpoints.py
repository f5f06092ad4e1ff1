"""Checkpoints of a training run: asynchronous, the last few and the best, whole or not there."""

import hashlib
import json
import logging
import math
import pathlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from mans_jax.errors import InputError
from mans_jax.sharding import entity_rows

_FORMAT = 'mans_jax checkpoint'
_VERSION = 1
_DELETED = 'deleted'
_DIGESTS = 'sha256.json'


class Checkpoints:
    """A folder of checkpoints, one subfolder a step; a context manager.

    A checkpoint is a state and a record. A save is written under another name and renamed when it is whole, and one
    that is no longer wanted is renamed before it is removed, so that a process may be killed at any moment.
    Nothing is created or deleted before the first `save`: a run can be read while another process writes it.
    With several processes, all of them make the same calls.
    """

    def __init__(self, directory, *, keep_last: int = 2):
        """Names the folder, without touching it.

        Args:
            directory: where the checkpoints are or shall be, on a disk that all processes share.
            keep_last: how many of the latest checkpoints stay, besides the one with the highest metric; at least 1.
        """
        if keep_last < 1:
            raise ValueError(f'keep_last is {keep_last}: at least 1 checkpoint must stay')
        if '://' in str(directory):
            raise InputError(
                f'{directory}: checkpoints go to a folder, not to an address; mount the storage and name that'
            )
        self._directory = pathlib.Path(directory).expanduser().absolute()
        self._keep_last = keep_last
        self._manager: ocp.CheckpointManager | None = None
        self._writing = False
        self._saving: int | None = None
        self._metrics: dict[int, float | None] = {}
        self._silence = _OrbaxSilence()

    def __enter__(self) -> 'Checkpoints':
        """The checkpoints themselves."""
        return self

    def __exit__(self, kind, error, traceback) -> None:
        """Closes; a save that fails now does not hide an exception that is on its way."""
        try:
            self.close()
        except InputError as failed_save:
            if error is None:
                raise
            error.add_note(str(failed_save))

    def save(
        self,
        step: int,
        state: PyTree,
        record: Mapping[str, Any],
        *,
        metric: float | None = None,
        num_entities: int | None = None,
    ) -> None:
        """Starts to save a state; writing goes on in the background. A step that is there already is left as it is.

        The state's buffers may be donated as soon as this returns.

        Args:
            step: the number of the checkpoint, not negative.
            state: a pytree of arrays: `jax.Array` (typed PRNG keys and shards included) or `numpy.ndarray`.
            record: small data that `json` can write, read back by `read_record`.
            metric: how good the state is, higher is better, finite; None never counts as the best.
            num_entities: how many rows of an entity table count, where a mesh may have padded it.

        Raises:
            InputError: the folder cannot be written, the save before this one failed, or the folder holds a checkpoint
                that is damaged, newer or another program's, which saving might delete.
        """
        step, metric = int(step), None if metric is None else float(metric)
        if metric is not None and not math.isfinite(metric):
            raise ValueError(f'the metric of step {step} is {metric}: checkpoints are compared by finite numbers')
        leaves, _ = _flatten(state)
        described = _described(state, num_entities)
        header = {'format': _FORMAT, 'version': _VERSION, 'metric': metric, 'leaves': described, 'record': dict(record)}
        header = json.loads(json.dumps(header))  # The caller may change the record while Orbax writes.
        self.wait()
        manager = self._open(writing=True)
        if step in manager.all_steps():
            return
        self._saving, self._metrics[step] = step, metric
        # Orbax has the state on the host when its `save` returns: copies, or on a CPU views, and JAX does not hand a
        # buffer that is viewed to a step that would write over it.
        items = ocp.args.Composite(
            state=ocp.args.StandardSave({name: leaf for name, leaf in leaves.items() if leaf.size}),
            record=ocp.args.JsonSave(header),
        )
        try:
            manager.save(step, args=items, force=True)
        except OSError as error:
            raise self._failed_save(error) from error

    def latest_step(self) -> int | None:
        """The last step whose checkpoint is whole; None where there is none."""
        self.wait()
        return self._open().latest_step()

    def steps(self) -> list[int]:
        """The steps whose checkpoints are whole, in ascending order."""
        self.wait()
        return sorted(self._open().all_steps())

    def best_step(self) -> int | None:
        """The step of the highest metric, the last one of equals; None where no checkpoint has a metric.

        Raises:
            InputError: as `read_record`, for any checkpoint in the folder.
        """
        self.wait()
        return _best({step: self._header(step)['metric'] for step in self._open().all_steps()})

    def read_record(self, step: int) -> dict[str, Any]:
        """What was saved beside the state; reads one small file.

        Raises:
            InputError: there is no such checkpoint, or it is damaged, newer or another program's.
        """
        return self._header(step)['record']

    def restore(self, step: int, like: PyTree, *, num_entities: int | None = None) -> PyTree:
        """Reads a state, bit for bit.

        Args:
            step: of `latest_step` or `best_step`.
            like: a pytree of the structure, shapes and dtypes that were saved. Its leaves say where the arrays go: on
                the sharding of a `jax.Array` or `jax.ShapeDtypeStruct` (the first device where it has none), or into a
                `numpy.ndarray`.
            num_entities: how many rows of an entity table count. The others are padding, of which the reader may have
                more or less than the writer.

        Raises:
            InputError: as `read_record`; the state is damaged; or a leaf is missing, new or of another shape or dtype.
        """
        header = self._header(step)
        # Before Orbax reads: of a damaged file it would print a screenful, and a changed byte it would not notice.
        self._check_files(step)
        leaves, structure = _flatten(like)
        _check_leaves(self._folder(step), header['leaves'], _described(like, num_entities))
        targets = {name: _target(leaf) for name, leaf in leaves.items()}
        items = ocp.args.Composite(
            # Their shapes agree but for the padding, which is cut off or added here.
            state=ocp.args.StandardRestore(
                {name: target for name, target in targets.items() if target.size}, strict=num_entities is None
            )
        )
        restored = self._open().restore(int(step), args=items)['state']
        return structure.unflatten(
            [restored[name] if target.size else _empty(target) for name, target in targets.items()]
        )

    def keep_only(self, step: int) -> None:
        """Deletes all checkpoints but one, of a training that is over.

        Raises:
            InputError: as `save`.
        """
        self.wait()
        manager = self._open(writing=True)
        for other in manager.all_steps():
            if other != step:
                manager.delete(other)
        self.wait()

    def wait(self) -> None:
        """Returns when the pending save is on disk.

        Raises:
            InputError: it could not be written; the checkpoints before it are as they were.
        """
        if self._manager is None:
            return
        try:
            self._manager.wait_until_finished()
            deleted = self._directory / _DELETED
            if self._writing and jax.process_index() == 0 and deleted.exists():
                shutil.rmtree(deleted)
        except (OSError, ValueError) as error:
            raise self._failed_save(error) from error

    def close(self) -> None:
        """Waits, then lets go of every thread. The checkpoints may be used again.

        Raises:
            InputError: as `wait`.
        """
        try:
            self.wait()
        finally:
            if self._manager is not None:
                self._manager.close()
            self._manager = None
            logging.getLogger('absl').removeFilter(self._silence)

    def _open(self, *, writing: bool = False) -> ocp.CheckpointManager:
        """The manager of the folder; one that writes makes the folder and clears what a killed process left."""
        if self._manager is not None and (self._writing or not writing):
            return self._manager
        if writing:  # Looks before it touches: what is here must be ours, since saving deletes.
            self._metrics.update({step: self._header(step)['metric'] for step in self._open().all_steps()})
        self.close()
        options = ocp.CheckpointManagerOptions(
            create=writing,
            cleanup_tmp_directories=writing,
            todelete_subdir=_DELETED,
            # Folders are made before `save` returns. Where that fails, the threads would else wait 5 minutes for them.
            async_options=ocp.AsyncOptions(
                create_directories_asynchronously=False, post_finalization_callback=self._seal
            ),
            preservation_policy=_LastAndBest(self._keep_last, self._metrics.get),
        )
        logging.getLogger('absl').addFilter(self._silence)
        if writing:
            _hush_late_writes()
        try:
            self._manager, self._writing = ocp.CheckpointManager(self._directory, options=options), writing
        except OSError as error:
            verb = 'written' if writing else 'read'
            raise InputError(
                f'{self._directory}: checkpoints cannot be {verb} here ({_reason(error)}); choose another folder'
            ) from error
        self.wait()  # One that writes now removes what a killed process still had to.
        return self._manager

    def _folder(self, step: int) -> pathlib.Path:
        return self._directory / str(int(step))

    def _header(self, step: int) -> dict[str, Any]:
        """The record with what this module adds to it, checked."""
        self.wait()
        folder, steps = self._folder(step), self._open().all_steps()
        if step not in steps:
            have = f'the steps are {", ".join(map(str, steps))}' if steps else 'there is none'
            raise InputError(f'{folder}: there is no checkpoint of step {step}; in {self._directory}, {have}')
        try:
            header = json.loads((folder / 'record' / 'metadata').read_text())
        except (OSError, ValueError) as error:
            raise self._damaged(step, 'record/metadata cannot be read') from error
        if not isinstance(header, dict) or header.get('format') != _FORMAT:
            found = header.get('format') if isinstance(header, dict) else header
            raise InputError(
                f'{folder}: another program wrote this checkpoint (its format is {str(found)[:50]!r}, '
                f'not {_FORMAT!r}); choose another folder'
            )
        if header['version'] > _VERSION:
            raise InputError(
                f'{folder}: the checkpoint has format version {header["version"]} and this mans_jax reads up to '
                f'{_VERSION}; install a newer mans_jax or choose another folder'
            )
        return header

    def _check_files(self, step: int) -> None:
        """Compares the files of a checkpoint with the digests that were taken before it got its name."""
        folder = self._folder(step)
        try:
            expected = json.loads((folder / _DIGESTS).read_text())
            found = _digests(folder)
        except (OSError, ValueError) as error:
            raise self._damaged(step, f'{_DIGESTS} cannot be read') from error
        for name, digest in expected.items():
            if found.get(name) != digest:
                raise self._damaged(step, f'{name} {"has changed" if name in found else "is missing"}')

    def _seal(self) -> None:
        """Adds the digests; Orbax calls it when everything is written, just before it renames the folder."""
        (folder,) = self._directory.glob(f'{self._saving}{ocp.step.TMP_DIR_SUFFIX}*')
        (folder / _DIGESTS).write_text(json.dumps(_digests(folder)))

    def _damaged(self, step: int, what: str) -> InputError:
        others = [other for other in self._open().all_steps() if other != step]
        cure = f'fall back to step {max(others)}' if others else 'start over'
        return InputError(
            f'{self._folder(step)}: the checkpoint is damaged or not of mans_jax ({what}); delete this folder to {cure}'
        )

    def _failed_save(self, error: Exception) -> InputError:
        """Drops the manager, whose view of the folder is no longer that of the disk."""
        manager, self._manager = self._manager, None
        manager.close()
        kept = manager.latest_step()
        have = 'none is there yet' if kept is None else f'step {kept} is the last one'
        return InputError(
            f'{self._directory}: a checkpoint could not be written ({_reason(error)}); {have}. '
            'Free space or choose another folder, then resume'
        )


class _LastAndBest:
    """A preservation policy of Orbax: the last `keep_last` steps and the best one."""

    def __init__(self, keep_last: int, metric_of: Callable[[int], float | None]):
        self._keep_last, self._metric_of = keep_last, metric_of

    def should_preserve(self, checkpoints: Sequence, *, context) -> list[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = {*steps[-self._keep_last :], _best({step: self._metric_of(step) for step in steps})}
        return [step in kept for step in steps]


class _OrbaxSilence(logging.Filter):
    """Keeps Orbax out of the absl log: what it has to say, it also raises, from several threads and at length."""

    def filter(self, record: logging.LogRecord) -> bool:
        return '/orbax/' not in record.pathname


def _hush_late_writes() -> None:
    """Keeps quiet the other writes of a save that has failed: each finds the event loop closed that it reports to.

    They end when they end, in threads of TensorStore, so this stays until the process ends.
    """
    before = sys.unraisablehook
    if getattr(before, 'hushes_late_writes', False):
        return

    def hook(unraisable):
        if str(unraisable.exc_value) != 'Event loop is closed':
            before(unraisable)

    hook.hushes_late_writes = True
    sys.unraisablehook = hook


def _best(metrics: Mapping[int, float | None]) -> int | None:
    """The step of the highest metric, the last one of equals."""
    ranked = [(metric, step) for step, metric in metrics.items() if metric is not None]
    return max(ranked)[1] if ranked else None


def _flatten(tree: PyTree) -> tuple[dict[str, Any], jax.tree_util.PyTreeDef]:
    """Leaves by name ('params/entity'), so that what is on disk does not depend on classes of containers."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    # An array by itself has no path, and older versions of Orbax store nothing under an empty name.
    named = {jax.tree_util.keystr(path, simple=True, separator='/') or 'array': leaf for path, leaf in leaves}
    if len(named) < len(leaves):
        raise ValueError('two leaves of the state have the same path')
    for name, leaf in named.items():
        if not isinstance(leaf, jax.Array | np.ndarray | jax.ShapeDtypeStruct):
            raise TypeError(f'leaf {name} of the state is {leaf!r}, not an array')
    return named, structure


def _described(state, num_entities) -> dict[str, str]:
    """By name, what the leaves are but for the padding."""
    leaves, structure = _flatten(state)
    if num_entities is not None:
        shapes = jax.eval_shape(lambda tree: entity_rows(tree, num_entities), structure.unflatten(leaves.values()))
        leaves, _ = _flatten(shapes)
    return {name: _describe(leaf) for name, leaf in leaves.items()}


def _describe(leaf) -> str:
    """As 'float32[3,4]'."""
    return f'{leaf.dtype.name}[{",".join(map(str, leaf.shape))}]'


def _check_leaves(folder, saved: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Refuses a state of another structure, other shapes or dtypes, naming the first leaf that differs."""
    differ = [name for name in {**wanted, **saved} if saved.get(name) != wanted.get(name)]
    if not differ:
        return
    name = differ[0]
    what = f'is {saved.get(name, "missing")} in the checkpoint and {wanted.get(name, "missing")} in this run'
    more = f' (so do {len(differ) - 1} more)' if len(differ) > 1 else ''
    raise InputError(
        f'{folder}: leaf {name} {what}{more}; use the configuration and data of the checkpoint, or another folder'
    )


def _target(leaf) -> np.ndarray | jax.ShapeDtypeStruct:
    """What Orbax shall make of a leaf; without a sharding it would take the one of the run that saved."""
    if isinstance(leaf, np.ndarray):
        return leaf
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _empty(target):
    """An array without elements, which Orbax refuses to store."""
    empty = np.zeros(target.shape, target.dtype)
    return empty if isinstance(target, np.ndarray) else jax.device_put(empty, target.sharding)


def _digests(folder) -> dict[str, str]:
    """SHA-256 by name of the files of a checkpoint that hold data."""
    files = [path for part in ('record', 'state') for path in (folder / part).rglob('*') if path.is_file()]
    return {path.relative_to(folder).as_posix(): _digest(path) for path in files}


def _digest(path) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _reason(error: Exception) -> str:
    """The last words of an error; TensorStore's are 'OUT_OF_RANGE: Error ...: File too large [os_error_code=27]'."""
    return getattr(error, 'strerror', None) or str(error).split(' [')[0].rsplit(': ', 1)[-1]
