"""A trained run extended by entities and triples: the same recipe on a larger graph, from where it was."""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from absl import logging

from mans_jax.checkpoints import Checkpoints
from mans_jax.config import Config
from mans_jax.data import additions
from mans_jax.errors import InputError
from mans_jax.run_log import write_json, write_text
from mans_jax.runs import load_run, prepare_run, read_config
from mans_jax.training import Progress, evaluate, train_and_evaluate, writable
from mans_jax.training_step import TrainState
from mans_jax.warm_start import Estimates, extend_state

_RECORD = 'extension.json'


def extend(
    workdir, new_workdir, *, triples: str | None, features: Mapping[str, str], epochs: int | None = None
) -> TrainState:
    """Adds entities and triples to a trained run and trains on, going on where an earlier call was stopped.

    Args:
        workdir: the folder of the trained run, which stays as it is. Its state that was tested is the start.
        new_workdir: the folder of the extended run, made where it is missing. Beside what a run leaves, it holds the
            extended graph, in a folder, and extension.json, which tells what was added and how rows were estimated.
        triples: as in `additions.read`.
        features: as in `additions.read`.
        epochs: of the extended graph, after those of the run; None for a tenth of the run's, at least one. With 0 the
            estimated rows are tested as they are.

    Returns:
        The state that was tested.

    Raises:
        InputError: the run, the files or the new folder cannot be used, or the training has diverged.
        Interrupted: SIGTERM came; the state is saved.
    """
    workdir, new_workdir = Path(workdir), Path(new_workdir).absolute()
    if new_workdir.exists() and not new_workdir.is_dir():
        raise InputError(f'{new_workdir}: is a file, not a folder; name another --new_workdir')
    made_of = {
        'run': str(workdir),
        'triples': None if triples is None else [triples, _digest(Path(triples))],
        'features': {name: [file, _digest(Path(file))] for name, file in features.items()},
    }
    if new_workdir.exists() and any(new_workdir.iterdir()):
        _check_same(new_workdir, made_of)
        config = read_config(new_workdir)
        if epochs is not None:
            before = json.loads((new_workdir / _RECORD).read_text())['epochs_before']
            # Fewer than it has been given before would make the config untrue of the run.
            config = dataclasses.replace(config, num_epochs=max(before + epochs, config.num_epochs))
    else:
        config = _begin(workdir, new_workdir, made_of, triples, features, epochs)
    return train_and_evaluate(config, new_workdir)


def _begin(workdir, new_workdir, made_of, triples, features, epochs) -> Config:
    """Makes the folder of the extended run, whole or not at all, with the state that training goes on from."""
    old, state = load_run(workdir)
    if int(state.step) < old.steps_per_epoch:
        raise InputError(f'{workdir}: the run has not been trained for an epoch yet; train it on, then extend it')
    added = additions.read(old.graph, triples, features)
    writable(new_workdir.parent)
    # Made anew under a name of its own: what stands here already, and what another process makes, is not touched.
    partial = Path(tempfile.mkdtemp(prefix=f'{new_workdir.name}.', suffix='.partial', dir=new_workdir.parent))
    partial.chmod(new_workdir.parent.stat().st_mode & 0o777)
    try:
        return _fill(old, state, added, partial, new_workdir, made_of, epochs)
    except InputError as error:
        shutil.rmtree(partial, ignore_errors=True)
        # The name that the user knows, not that of a folder which is gone.
        raise InputError(str(error).replace(str(partial), str(new_workdir))) from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _fill(old, state, added, partial, new_workdir, made_of, epochs) -> Config:
    """Writes the extended run into `partial` and gives it its name."""
    files = additions.write(old.graph, added, partial / old.graph.name)
    before = int(state.step) // old.steps_per_epoch
    more = max(old.config.num_epochs // 10, 1) if epochs is None else epochs

    def config_in(folder):
        graph = folder / old.graph.name
        paths = {name: str(graph / file) for name, file in files.items()}
        return dataclasses.replace(old.config, data=str(graph), features=paths, num_epochs=before + more)

    new = prepare_run(config_in(partial))
    logging.info('estimating the rows of new entities')
    state, estimates = extend_state(old, state, new)
    progress = Progress(new.graph.checksum())
    if new.config.evaluate_every:
        # So that training on is only kept where it helps.
        progress.best_mrr = evaluate(new, state, 'valid')['mrr']
    with Checkpoints(partial / 'checkpoints', keep_last=new.config.keep_checkpoints) as checkpoints:
        checkpoints.save(int(state.step), state, dataclasses.asdict(progress), metric=progress.best_mrr)
    config = config_in(new_workdir)
    write_text(partial / 'config.json', config.to_json())
    found = {name: getattr(estimates, name) for name in ('weight', 'agreement')}
    counts = {
        'entities': len(added.entities),
        'rows_estimated': int((estimates.estimated & new.graph.present[:, 0]).sum()),
        'known': added.known,
    }
    counts['triples'] = {name: len(rows) for name, rows in added.triples.items()}
    write_json(partial / _RECORD, {'made_of': made_of, 'epochs_before': before, 'added': counts, 'estimates': found})
    try:
        # Takes the place of an empty folder only.
        partial.rename(new_workdir)
    except OSError as error:
        raise InputError(f'{new_workdir}: cannot be made ({error.strerror}); name another --new_workdir') from None
    logging.info('%s: %s', new_workdir, describe(counts, estimates))
    return config


def describe(counts: Mapping, estimates: Estimates) -> str:
    """One line about what was added, and how rows were estimated."""
    triples = ', '.join(f'{number:,} {split}' for split, number in counts['triples'].items() if number) or 'no'
    said = f'{counts["entities"]:,} entities and {triples} triples added'
    if counts['known']:
        said += f' ({counts["known"]:,} were there)'
    said += (
        f'; {counts["rows_estimated"]:,} rows estimated from {"features and " * (estimates.weight is not None)}triples'
    )
    if estimates.agreement is not None:
        said += f', which finds the rows of held-out trained entities with a cosine of {estimates.agreement:.2f}'
    return said


def _check_same(new_workdir: Path, made_of: Mapping) -> None:
    """Refuses a folder that holds something else than the extension that is asked for."""
    try:
        before = json.loads((new_workdir / _RECORD).read_text())['made_of']
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f'{new_workdir}: holds something else than an extended run; name another --new_workdir'
        ) from None
    for name, value in made_of.items():
        if before.get(name) != value:
            raise InputError(
                f'{new_workdir}: was extended with other {name}, {before.get(name)} and not {value}; '
                f'name another --new_workdir, or extend that run'
            )


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of the files of a folder."""
    if path.is_dir():
        return hashlib.sha256(
            '\n'.join(map(_digest, sorted(x for x in path.iterdir() if x.is_file()))).encode()
        ).hexdigest()
    try:
        with path.open('rb') as file:
            return hashlib.file_digest(file, 'sha256').hexdigest()
    except FileNotFoundError:
        raise InputError(f'{path}: no such file or folder') from None
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from None
