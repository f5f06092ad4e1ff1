"""Vectors of images that others have made, as MMKG publishes them, to features of entities."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from mans_jax.data import lines
from mans_jax.data.extras import import_for
from mans_jax.encoders import feature_writer, image_files, rows
from mans_jax.errors import InputError

ENDINGS = ('.h5', '.hdf5')
"""What the name of such a file ends in."""


def encode(path: Path, index: Path, *, entities: Sequence[str] | None = None) -> rows.Encoded:
    """Takes the mean of the vectors of each entity's images.

    Args:
        path: an HDF5 file with a dataset for each image, named by its id, of F floats in any shape.
        index: lines 'label<TAB>image id', as `image_files.read_index` reads them.
        entities: the labels of a graph, to which the rows are restricted and by which they are ordered.

    Raises:
        InputError: a file cannot be read, holds something else, or no image of the index is in it.
    """
    images: dict[str, list[str]] = {}
    for _, label, image in image_files.read_index(index):
        images.setdefault(label, []).append(image)
    labels = list(images)
    kept = [labels[i] for i in rows.select(index, labels, entities)]
    vectors, missing = _read(path, {label: dict.fromkeys(images[label]) for label in kept})
    if not vectors:
        raise InputError(f'{path}: none of the {len(missing)} images of {index} is in it: {lines.name_some(missing)}')
    if missing:
        logging.warning('%s: %d images are not there: %s', path, len(missing), lines.name_some(missing))
    bare = [label for label in kept if label not in vectors]
    if bare:
        logging.warning('%s: %d entities have no image: %s', path, len(bare), lines.name_some(bare))
    record = {
        'kind': 'image vectors',
        'input': {'name': path.name, 'sha256': feature_writer.file_digest(path)},
        'index': {'name': index.name, 'sha256': feature_writer.file_digest(index)},
        'graph': feature_writer.labels_digest(entities),
        'versions': feature_writer.versions('h5py'),
        'skipped': {'missing': missing, 'without_image': len(bare), 'not_in_graph': len(labels) - len(kept)},
    }
    return rows.Encoded(list(vectors), np.stack(list(vectors.values())), record)


def _read(path: Path, images: Mapping[str, Iterable[str]]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The mean vector float32[F] of each entity that has one, and the images that are not there."""
    h5py = import_for(path, 'h5py')
    vectors, missing, first = {}, [], None
    try:
        with h5py.File(path, 'r') as file:
            for label, names in images.items():
                found = []
                for image in names:
                    # Of its own only: a link could lead to any other file.
                    own = isinstance(file.get(image, getlink=True), h5py.HardLink)
                    dataset = file[image] if own else None
                    if not isinstance(dataset, h5py.Dataset):
                        missing.append(image)
                        continue
                    first = first or (image, dataset.size)
                    _check(path, image, dataset, first)
                    found.append(dataset[...].astype(np.float32).ravel())
                if found:
                    vectors[label] = np.mean(found, axis=0)
    except FileNotFoundError:
        raise InputError(f'{path}: no such file') from None
    except OSError as error:
        reason = ' '.join(str(error).split())
        raise InputError(f'{path}: not a whole HDF5 file ({reason}); copy or download it again') from None
    return vectors, missing


def _check(path: Path, image: str, dataset: Any, first: tuple[str, int]) -> None:
    if dataset.dtype.kind != 'f':
        raise InputError(f'{path}: {lines.quote(image)} is {dataset.dtype}, features are floats')
    if dataset.size != first[1]:
        one, other = f'{lines.quote(first[0])} has {first[1]} features', f'{lines.quote(image)} has {dataset.size}'
        raise InputError(f'{path}: {one}, {other}; one width is needed')
