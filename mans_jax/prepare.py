"""Prepares a published graph for fast loading: `python -m mans_jax.prepare --dataset=db15k --source=FOLDER`.

Then `--config.data=tfds:db15k` trains on it.
"""

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

from absl import flags

from mans_jax import command_line
from mans_jax.data import download, facts, prepared, published
from mans_jax.errors import InputError

_DATASET = flags.DEFINE_string('dataset', None, f'The graph: {", ".join(published.GRAPHS)}.')
_SOURCE = flags.DEFINE_string(
    'source', None, 'A folder or a zip or tar archive with its files; without it they are downloaded.'
)
_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Where prepared graphs are kept; by default where TensorFlow Datasets keeps its datasets.'
)


def main(_) -> int:
    """Prepares the graph and says how to use it."""
    folder = prepared.locate(_DATASET.value, _DATA_DIR.value)
    published.find(_DATASET.value)
    if prepared.is_prepared(folder):
        print(f'{folder}: prepared already; delete the folder to prepare it again')
    else:
        prepare(_DATASET.value, _SOURCE.value, _DATA_DIR.value)
    name, entities, relations, triples = prepared.read(folder)
    sizes = ', '.join(f'{len(rows):,} {split}' for split, rows in triples.items())
    print(f'{name}: {len(entities):,} entities, {len(relations):,} relations, {sizes} triples')
    _print_facts(name, folder)
    print(f'use it with --config.data={folder if _DATA_DIR.value else prepared.PREFIX + name}')
    return 0


def _print_facts(name: str, folder: Path) -> None:
    """What the collection adds about the entities: where it is, or what would have it."""
    tables, files = prepared.facts(folder), published.find(name).facts
    if tables:
        print(f'facts about its entities in {folder / facts.FOLDER}:')
        for table, (_, counts) in tables.items():
            print(f'  {facts.describe(table, counts)}')
    elif files:
        cure = f'add them, delete {folder} and prepare it again'
        print(f'no facts about its entities: {", ".join(files)} did not stand beside its files; {cure}')


def prepare(dataset: str, source: str | os.PathLike | None = None, data_dir: str | os.PathLike | None = None) -> Path:
    """Writes a published graph in the form that `prepared.read` reads.

    Args:
        dataset: one of `published.GRAPHS`.
        source: a folder or an archive with its files, and perhaps with those of its facts; without it all are
            downloaded into `data_dir`/downloads.
        data_dir: where prepared graphs are kept; by default where TensorFlow Datasets keeps its datasets.

    Returns:
        The folder of the prepared graph, which stays as it is where it is there already. Facts that the collection
        adds about entities become tables in it; `prepared.facts` finds them.

    Raises:
        InputError: the source lacks a file, is malformed or of another graph, or a download fails.
    """
    published.find(dataset)
    data_dir = Path(data_dir or prepared.default_data_dir())
    with tempfile.TemporaryDirectory() as temporary:
        if source == '':
            raise InputError('--source is empty; name a folder or an archive, or leave it out to download the graph')
        if source is None:
            folder = published.fetch(dataset, data_dir / 'downloads' / dataset)
        elif Path(source).is_file():
            folder = _unpack(Path(source), Path(temporary) / 'source', dataset)
        else:
            folder = Path(source)
        # Read here first: through the builder, what is wrong would come with its own words around it.
        entities, _, _ = published.read(dataset, folder)
        facts.read(folder, tuple(published.find(dataset).facts), entities)
        unlike = published.unlike(dataset, folder)
        if unlike:
            print(f'warning: {folder}: not byte for byte as published: {", ".join(unlike)}', file=sys.stderr)
        _build(dataset, folder, data_dir)
    return prepared.locate(dataset, data_dir)


def _unpack(archive: Path, target: Path, dataset: str) -> Path:
    """The folder inside an archive that holds the files of a graph, at its top or one below."""
    download.extract(archive, target)
    below = [path for path in target.iterdir() if path.is_dir()]
    names = published.find(dataset).files
    found = [folder for folder in (target, *below) if any((folder / name).exists() for name in names)]
    if len(found) != 1:
        raise InputError(f'{archive}: {len(found)} folders with files of {dataset} in it; it must have one')
    return found[0]


def _build(dataset: str, folder: Path, data_dir: Path) -> None:
    # Imported late: a mistyped flag is answered at once.
    import tensorflow_datasets as tfds

    from mans_jax.data.knowledge_graphs.knowledge_graphs_dataset_builder import Builder

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        # What it prints, "Unknown size" above all, says less than the lines that `main` ends with.
        with prepared.quiet(), contextlib.redirect_stdout(io.StringIO()):
            Builder(config=dataset, data_dir=data_dir).download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=folder)
            )
    except OSError as error:
        raise InputError(f'{data_dir}: cannot be written ({error.strerror or error})') from None


if __name__ == '__main__':
    command_line.run(main, required=('dataset',))
