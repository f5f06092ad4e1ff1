"""Prepared graphs: what `mans_jax.prepare` and `tfds build` write, read without TensorFlow."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import logging

from mans_jax.data.facts import FOLDER, NAMES
from mans_jax.data.published import COLLECTION, GRAPHS, VERSION
from mans_jax.errors import InputError

PREFIX = 'tfds:'
"""Before the name of a prepared graph, where the folder of a graph might stand."""


def default_data_dir() -> Path:
    """Where TensorFlow Datasets keeps its datasets: $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return Path(os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets').expanduser()


def locate(name: str, data_dir: str | os.PathLike | None = None) -> Path:
    """The folder of a prepared graph, whether it is there or not.

    Args:
        name: one of `published.GRAPHS`.
        data_dir: as `prepare` was given it.
    """
    return Path(data_dir or default_data_dir()) / COLLECTION / name / VERSION


def find(source: str) -> Path:
    """The folder of a graph that is prepared in the default place.

    Args:
        source: `PREFIX`, then one of `published.GRAPHS`.

    Raises:
        InputError: there is no such graph, or it is not prepared.
    """
    name = source.removeprefix(PREFIX)
    if name not in GRAPHS:
        raise InputError(f'{source}: not a published graph; there are {", ".join(GRAPHS)}')
    folder = locate(name)
    if not is_prepared(folder):
        raise InputError(f'{source}: not prepared in {folder}; run python -m mans_jax.prepare --dataset={name}')
    return folder


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds a prepared graph, as its `dataset_info.json` tells."""
    return (folder / 'dataset_info.json').exists()


def read(folder: str | os.PathLike) -> tuple[str, tuple[str, ...], tuple[str, ...], dict[str, np.ndarray]]:
    """Reads a prepared graph.

    Args:
        folder: the one with `dataset_info.json`.

    Returns:
        (name, entities, relations, triples): the name in `published.GRAPHS`, then as `openke.read` returns them.

    Raises:
        InputError: the folder holds another dataset, or is damaged.
    """
    # Imported when asked for: no other way to read a graph needs it.
    import tensorflow_datasets as tfds

    try:
        with quiet():
            builder = tfds.builder_from_directory(os.fspath(folder))
        name, metadata = builder.info.config_name, builder.info.metadata
        if builder.name != COLLECTION or name not in GRAPHS:
            raise InputError(f'{folder}: the dataset {builder.info.full_name}, not a graph of {COLLECTION}')
        triples = {split: _read_split(builder, split) for split in ('train', 'valid', 'test')}
        entities, relations = tuple(metadata['entities']), tuple(metadata['relations'])
        _check(triples, metadata['triples'], len(entities), len(relations))
    except InputError:
        raise
    except Exception as error:  # What is raised over damage depends on the damage and on who reads first.
        reason = ' '.join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f'{folder}: cannot be read ({reason}); delete the folder and prepare the graph again'
        ) from None
    return name, entities, relations, triples


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it, only warnings are logged: TensorFlow Datasets tells of every file that it opens."""
    before = logging.get_verbosity()
    logging.set_verbosity(min(before, logging.WARNING))
    try:
        yield
    finally:
        logging.set_verbosity(before)


def facts(folder: str | os.PathLike) -> dict[str, tuple[Path, dict]]:
    """The tables of facts beside a prepared graph.

    Args:
        folder: the one with `dataset_info.json`.

    Returns:
        By name, 'numeric', 'images' or 'same_as' as far as they are there: (a TSV with the columns of `facts.COLUMNS`
        that `mmkg.read_numeric` and its neighbours read too, `facts.Table.counts`).
    """
    paths = {name: Path(folder) / FOLDER / f'{name}.tsv' for name in NAMES.values()}
    there = {name: path for name, path in paths.items() if path.is_file()}
    if not there:
        return {}
    metadata = json.loads((Path(folder) / 'metadata.json').read_text(encoding='utf-8'))
    return {name: (path, metadata['facts'][name]) for name, path in there.items()}


def _read_split(builder, split: str) -> np.ndarray:
    source = builder.as_data_source(split)
    return np.concatenate([record['triples'] for record in source.__getitems__(range(len(source)))])


def _check(triples, expected, num_entities: int, num_relations: int) -> None:
    bound = np.array([num_entities, num_relations, num_entities])
    for split, rows in triples.items():
        if len(rows) != expected[split]:
            raise ValueError(f'{split}: {len(rows)} triples instead of {expected[split]}')
        if ((rows < 0) | (rows >= bound)).any():
            raise ValueError(f'{split}: an id is out of range')
