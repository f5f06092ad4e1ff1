"""Small graphs with features, and short runs on them, for tests."""

import contextlib
import dataclasses
import os
from pathlib import Path

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from mans_jax.config import Config


def write_openke(folder: Path, *, num_entities: int = 40, num_relations: int = 8, seed: int = 0) -> Path:
    """Writes an OpenKE folder that a translational model can learn, with a feature for every entity.

    Entities stand on a circle. Relation r leads from each entity to the one that is r + 1 places further, so there are
    E x R distinct triples: 80 % in train, 10 % in valid and in test. An entity's features tell its place. The same
    arguments give the same files.

    Args:
        folder: made where it is missing.
        num_entities: E.
        num_relations: R.
        seed: of the split and of the features' noise.

    Returns:
        `folder`, with the five files of the layout, and `visual.npy`, float16 [E, 6], and `text.npy`, float32 [E, 4].
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    head, relation = (ids.ravel() for ids in np.mgrid[:num_entities, :num_relations])
    rows = rng.permutation(np.stack([head, (head + relation + 1) % num_entities, relation], axis=1))
    tenth = len(rows) // 10
    for name, count in (('entity', num_entities), ('relation', num_relations)):
        _write_counted(folder / f'{name}2id.txt', [f'{name}_{i}\t{i}' for i in range(count)])
    for name, part in (('valid', rows[:tenth]), ('test', rows[tenth : 2 * tenth]), ('train', rows[2 * tenth :])):
        _write_counted(folder / f'{name}2id.txt', [' '.join(map(str, row)) for row in part])
    angle = 2 * np.pi * np.arange(num_entities)[:, None] / num_entities
    for name, waves, dtype in (('visual', 3, np.float16), ('text', 2, np.float32)):
        phases = angle * np.arange(1, waves + 1)
        place = np.concatenate([np.cos(phases), np.sin(phases)], axis=1)
        np.save(folder / f'{name}.npy', (place + 0.05 * rng.normal(size=place.shape)).astype(dtype))
    return folder


def _write_counted(path, lines):
    path.write_text('\n'.join([str(len(lines)), *lines]) + '\n')


def short_recipe(folder: Path, **overrides) -> Config:
    """A validated recipe for a folder of `write_openke`: 4 epochs, of 16 steps each on the default graph."""
    defaults = {
        'data': str(folder),
        'features': {'visual': str(folder / 'visual.npy')},
        'dim': 8,
        'margin': 4.0,
        'learning_rate': 0.02,
        'batch_size': 16,
        'num_epochs': 4,
        'evaluate_every': 2,
        'checkpoint_every': 1,
    }
    return Config(**(defaults | overrides)).validate()


def write_recipe(path: Path, config: Config) -> Path:
    """Writes a file for `--config` that holds a recipe, with 'strategy' as its argument; returns its path."""
    fields = dataclasses.asdict(config)
    path.write_text(
        'from mans_jax.config import default_config\n\n\n'
        f'def get_config(strategy={fields.pop("strategy")!r}):\n'
        f'    return default_config(strategy=strategy, **{fields!r})\n'
    )
    return path


@contextlib.contextmanager
def quick_programs(folder: Path, *, optimized: bool = False):
    """Within it, programs are compiled with little effort, and taken from a folder where one has been compiled before.

    Compiling takes seconds and is most of a short run. This holds for processes that are started within it, too.

    Args:
        folder: where programs are kept.
        optimized: whether they are compiled as a user's are. A program is then still read as it was written.
    """
    settings = {
        'jax_compilation_cache_dir': str(folder),
        'jax_persistent_cache_min_compile_time_secs': 0.3,
        'jax_persistent_cache_min_entry_size_bytes': 0,
        'jax_disable_most_optimizations': not optimized,
    }
    before = {name: jax.config.values[name] for name in settings}
    variables = {name.upper(): os.environ.get(name.upper()) for name in settings}
    try:
        _configure(settings)
        os.environ.update({name.upper(): str(value) for name, value in settings.items()})
        yield
    finally:
        _configure(before)
        for name, value in variables.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _configure(settings):
    for name, value in settings.items():
        jax.config.update(name, value)
    # JAX looks only once whether there is a folder.
    compilation_cache.reset_cache()


def train_short_run(folder: Path, programs: Path, **overrides) -> Path:
    """Trains a short run on a graph of two features in which some entities lack either or both.

    Args:
        folder: made where it is missing.
        programs: the folder of `quick_programs`.
        **overrides: fields of the recipe.

    Returns:
        The workdir.
    """
    from mans_jax.training import train_and_evaluate

    graph = write_openke(folder / 'graph')
    for name, missing in (('visual', slice(0, 9)), ('text', slice(5, 12))):
        rows = np.load(graph / f'{name}.npy')
        rows[missing] = np.nan
        np.save(graph / f'{name}.npy', rows)
    features = {name: str(graph / f'{name}.npy') for name in ('visual', 'text')}
    with quick_programs(programs):
        train_and_evaluate(short_recipe(graph, **({'features': features} | overrides)), folder / 'run')
    return folder / 'run'
