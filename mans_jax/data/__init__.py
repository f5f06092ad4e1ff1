"""Files to `KnowledgeGraph`: OpenKE folders, labelled triples, feature matrices and the embedded digits."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mans_jax.data import openke, tsv
from mans_jax.data.features import read_npy
from mans_jax.data.splits import VARIANTS, SplitCounts, SplitReport
from mans_jax.errors import InputError
from mans_jax.graph import STRUCTURE, KnowledgeGraph

__all__ = ['SplitCounts', 'SplitReport', 'load_graph']

EMBEDDED = 'embedded'
"""In place of a file: the feature that an embedded graph brings along."""


def load_graph(
    source: str | os.PathLike,
    features: Mapping[str, str | None] = {},
    *,
    splits: str = 'clean',
) -> tuple[KnowledgeGraph, SplitReport]:
    """Reads a graph with the features of its entities.

    Args:
        source: 'digits' for the embedded graph, or a folder: one with `entity2id.txt` is read as OpenKE's, one with
            `train.tsv` or `train.txt` as labelled triples.
        features: modality name to a .npy file as in `features.read_npy`; an empty value leaves the modality out. For
            'digits', 'embedded' instead of a file takes the feature of that name that the graph brings along.
        splits: 'clean' leaves out duplicate and leaked triples, 'published' only counts them; see `splits.VARIANTS`.

    Returns:
        (graph, report). In `graph.present`, an entity has structure where a train triple names it or where it has
        nothing else; with 'published' everywhere.

    Raises:
        InputError: a file is missing or cannot be used, a split is empty, or an argument has no meaning.
    """
    if splits not in VARIANTS:
        raise InputError(f'splits: {splits!r} is not one of {", ".join(VARIANTS)}')
    source = os.fspath(source)
    name, entities, relations, triples, own_features = _read_digits() if source == 'digits' else _read_folder(source)
    try:
        triples, report = VARIANTS[splits](triples)
    except InputError as error:
        raise InputError(f'{source}: {error}') from None
    matrices, columns = {}, []
    for modality, file in features.items():
        if file:
            matrices[modality], present = _read_feature(modality, file, own_features, len(entities))
            columns.append(present)
    present = np.stack([_has_structure(triples['train'], columns, len(entities)), *columns], axis=1)
    if splits == 'published':
        # A published model gives every entity a learned row, trained or not.
        present[:, 0] = True
    graph = KnowledgeGraph(
        name=name, entities=entities, relations=relations, features=matrices, present=present, **triples
    )
    return graph, report


def _read_digits():
    """The embedded graph, taken apart like a folder; its features are (float32[E, F], bool[E]) by name."""
    # Imported when asked for: the images come with scikit-learn, which no folder needs.
    from mans_jax.data import digits

    graph = digits.load()
    own = {name: (matrix, graph.present[:, i]) for i, (name, matrix) in enumerate(graph.features.items(), start=1)}
    triples = {split: graph.split(split) for split in ('train', 'valid', 'test')}
    return graph.name, graph.entities, graph.relations, triples, own


def _read_folder(source: str):
    """A folder in whichever layout it has; it brings no features along."""
    if not source:
        raise InputError("data: no graph given; name a folder, or 'digits' for the embedded graph")
    folder = Path(source)
    if not folder.is_dir():
        fault = 'is a file, not a folder' if folder.exists() else 'no such folder'
        raise InputError(f"{source}: {fault}; name the folder of a graph, or 'digits' for the embedded one")
    if (folder / 'entity2id.txt').exists():
        read = openke.read
    elif any((folder / f'train{suffix}').exists() for suffix in tsv.SUFFIXES):
        read = tsv.read
    else:
        looked = 'entity2id.txt (OpenKE) and for train.tsv or train.txt (labelled triples)'
        raise InputError(f'{source}: no graph in this folder; looked for {looked}')
    return folder.resolve().name, *read(folder), {}


def _read_feature(modality: str, file: str, own, num_entities: int) -> tuple[np.ndarray, np.ndarray]:
    """A feature matrix float32[E, F] and its presence bool[E], from a file or from the graph itself."""
    if modality == STRUCTURE:
        raise InputError(f'features.{modality}: the name of the learned modality; give the features another one')
    if file != EMBEDDED:
        return read_npy(file, num_entities)
    if modality not in own:
        known = f'embedded here: {", ".join(own)}' if own else 'this graph embeds none'
        raise InputError(f'features.{modality}: {EMBEDDED!r} names no feature ({known}); give a .npy file')
    return own[modality]


def _has_structure(train: np.ndarray, columns: list[np.ndarray], num_entities: int) -> np.ndarray:
    """Whether the learned row of each entity counts, bool[E]."""
    trained = np.zeros(num_entities, dtype=bool)
    trained[train[:, [0, 2]]] = True
    # A learned row that no triple trains is noise, so an unseen entity is judged by its other modalities alone. One
    # that has none keeps the row: an entity needs at least one view.
    return trained | ~np.any(columns, axis=0) if columns else np.ones(num_entities, dtype=bool)
