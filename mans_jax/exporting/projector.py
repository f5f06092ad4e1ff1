"""Entities and relations for the embedding projector of TensorBoard."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from mans_jax.data import lines
from mans_jax.errors import InputError
from mans_jax.exporting.pictures import Pictures, make_tiles, tile_side, write_sprite
from mans_jax.exporting.tables import write_table
from mans_jax.exporting.trained import Trained

CONFIG = 'projector_config.pbtxt'

SHOWN = 100_000
"""So many points of a tensor TensorBoard loads, the first ones."""

_ROWS = 1000


class Tensor(NamedTuple):
    """What the projector shows at once: points with what is known of them.

    Attributes:
        name: as it stands in the projector's list.
        stem: of its files.
        vectors: float32[N, D].
        heading: the names of the columns that a point can be labelled and coloured by.
        rows: N rows of them.
        entities: the entity of each point, int[N]; None for relations.
    """

    name: str
    stem: str
    vectors: np.ndarray
    heading: tuple[str, ...]
    rows: list[tuple]
    entities: np.ndarray | None


def write(
    folder: Path,
    trained: Trained,
    pictures: Pictures | None,
    points: int,
    seed: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict:
    """Writes a tensor of entities for each modality, one of all of them together, and one of relations.

    Args:
        folder: where the files go, the one for `tensorboard --logdir`.
        trained: the run.
        pictures: of entities, for sprite images.
        points: how many entities are shown at most, drawn at random where there are more; 0 for all.
        seed: of the drawing.
        progress: wraps what takes long, for a progress bar.

    Returns:
        What the manifest says of them.

    Raises:
        InputError: vectors have one dimension, which the projector refuses.
    """
    if trained.run.config.dim < 2:
        raise InputError('config.dim is 1, but the projector shows vectors of two dimensions or more; leave it out')
    sample = draw_sample(trained.run.graph.num_entities, points, seed)
    tensors = make_tensors(trained, sample)
    most = max(len(tensor.vectors) for tensor in tensors)
    if most > SHOWN:
        logging.warning('the projector loads only the first %d of %d points; give --points=N', SHOWN, most)
    side = tile_side(most)
    tiles = {} if pictures is None else make_tiles(pictures, progress(sample), side)
    if pictures is not None and pictures.broken:
        several = [f'{lines.quote(name)} ({reason})' for name, reason in list(pictures.broken.items())[:3]]
        logging.warning('%d images are left out: %s', len(pictures.broken), ', '.join(several))
    entries = []
    for tensor in tensors:
        files = {'tensor_path': f'{tensor.stem}.tsv', 'metadata_path': f'{tensor.stem}.metadata.tsv'}
        _write_vectors(folder / files['tensor_path'], tensor.vectors, progress)
        write_table(folder / files['metadata_path'], tensor.heading, tensor.rows)
        if tiles and tensor.entities is not None:
            files['sprite'] = f'{tensor.stem}.png'
            write_sprite(folder / files['sprite'], [tiles[entity] for entity in tensor.entities.tolist()])
        entries.append(_entry(tensor, files, side))
    (folder / CONFIG).write_text('\n'.join(entries), encoding='utf-8')
    return {
        'entities': len(sample),
        'seed': seed,
        'tensors': {tensor.name: list(tensor.vectors.shape) for tensor in tensors},
        'sprite_tile': side if tiles else None,
    }


def draw_sample(num_entities: int, points: int, seed: int) -> np.ndarray:
    """The entities that are shown, int64[N] ascending: all, or a number of them drawn at random."""
    if not 0 < points < num_entities:
        return np.arange(num_entities)
    return np.sort(np.random.default_rng(seed).choice(num_entities, points, replace=False))


def make_tensors(trained: Trained, sample: np.ndarray) -> list[Tensor]:
    """What is shown: the entities of a sample that have each modality, all of that together, and the relations."""
    graph = trained.run.graph
    degree = np.bincount(graph.train[:, [0, 2]].ravel(), minlength=graph.num_entities)
    heading = ('label', 'id', 'modality', 'train_triples', *(f'has_{name}' for name in graph.modalities))

    def rows(entities, modality):
        return [
            (graph.entities[e], e, modality, degree[e], *(bool(has) for has in graph.present[e]))
            for e in entities.tolist()
        ]

    tensors = []
    for m, name in enumerate(graph.modalities):
        entities = sample[trained.scored[sample, m]]
        if len(entities):
            vectors = trained.vectors[entities, m]
            tensors.append(
                Tensor(f'entities by {name}', _stem(m, name), vectors, heading, rows(entities, name), entities)
            )
    if len(tensors) > 1:
        together = [sum((tensor.rows for tensor in tensors), []), np.concatenate([t.entities for t in tensors])]
        vectors = np.concatenate([tensor.vectors for tensor in tensors])
        tensors.insert(0, Tensor('entities by all modalities', 'all', vectors, heading, *together))
    number = np.bincount(graph.train[:, 1], minlength=graph.num_relations)
    relations = [(label, r, number[r]) for r, label in enumerate(graph.relations)]
    if trained.relations.shape[1] > 1:
        heading = ('label', 'id', 'train_triples')
        tensors.append(Tensor('relations', 'relations', trained.relations, heading, relations, None))
    return tensors


def _stem(m: int, name: str) -> str:
    """The name of a modality's files: whatever the modality is called, it leads to no other folder and no other one."""
    return f'{m}_' + ''.join(letter if letter.isalnum() or letter in '-_' else '_' for letter in name)


def _write_vectors(path: Path, vectors: np.ndarray, progress) -> None:
    with path.open('w', newline='\n') as file:
        for start in progress(range(0, len(vectors), _ROWS)):
            np.savetxt(file, vectors[start : start + _ROWS], fmt='%.7g', delimiter='\t')


def _entry(tensor: Tensor, files: dict[str, str], side: int) -> str:
    """What the config says of a tensor, in the text form of protocol buffers."""
    text = json.dumps(tensor.name, ensure_ascii=False)
    lines_of = [
        f'tensor_name: {text}',
        f'tensor_shape: {len(tensor.vectors)}',
        f'tensor_shape: {tensor.vectors.shape[1]}',
    ]
    lines_of += [f'{field}: "{files[field]}"' for field in ('tensor_path', 'metadata_path')]
    if 'sprite' in files:
        lines_of += [f'sprite {{ image_path: "{files["sprite"]}" single_image_dim: {side} single_image_dim: {side} }}']
    return 'embeddings {\n' + ''.join(f'  {line}\n' for line in lines_of) + '}\n'
