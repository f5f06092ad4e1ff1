"""Files to `KnowledgeGraph`: triples and features in many formats, the embedded digits, synthetic graphs."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mans_jax.data import features as feature_files
from mans_jax.data import labelled, lines, openke, prepared, synthetic
from mans_jax.data.ratios import split_by_ratios
from mans_jax.data.splits import VARIANTS, SplitCounts, SplitReport
from mans_jax.errors import InputError
from mans_jax.graph import STRUCTURE, KnowledgeGraph

__all__ = ['SplitCounts', 'SplitReport', 'load_graph']

EMBEDDED = 'embedded'
"""In place of a file: the feature that an embedded or synthetic graph brings along."""

Feature = tuple[np.ndarray, np.ndarray]
"""Features float32[E, F] and presence bool[E]."""


def load_graph(
    source: str | os.PathLike,
    features: Mapping[str, str | None] = {},
    *,
    splits: str = 'clean',
    ratios: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    mapped: bool = False,
) -> tuple[KnowledgeGraph, SplitReport]:
    """Reads a graph with the features of its entities.

    Args:
        source: a folder with `entity2id.txt` and so on (OpenKE) or with `train`, `valid` and `test` as labelled
            triples (`labelled.FORMATS`: TSV, CSV, N-Triples); one such file, which is split by `ratios`; 'digits' for
            the embedded graph; 'synthetic:...' for a graph as in `synthetic.parse`; 'tfds:NAME', or its folder, for a
            published graph that `mans_jax.prepare` has prepared. Text files may be compressed (.gz, .zst).
        features: modality name to a file as in `features.read`; an empty value leaves the modality out. For 'digits'
            and synthetic graphs, 'embedded' instead of a file takes the feature of that name that they bring along.
        splits: 'clean' leaves out duplicate and leaked triples, 'published' only counts them; see `splits.VARIANTS`.
        ratios: shares of train, valid and test in a single file, as in `ratios.split_by_ratios`.
        seed: of the drawing by ratios.
        mapped: whether features stay in their files where these hold them as the graph has them, as in `features.read`.

    Returns:
        (graph, report). In `graph.present`, an entity has structure where a train triple names it or where it has
        nothing else; with 'published' everywhere.

    Raises:
        InputError: a file is missing or cannot be used, a split is empty, or an argument has no meaning.
    """
    if splits not in VARIANTS:
        raise InputError(f'splits: {splits!r} is not one of {", ".join(VARIANTS)}')
    source = os.fspath(source)
    name, entities, relations, triples, own_features = _read_source(source, ratios, seed)
    try:
        triples, report = VARIANTS[splits](triples)
    except InputError as error:
        raise InputError(f'{source}: {error}') from None
    matrices, columns = {}, []
    for modality, file in features.items():
        if file:
            matrices[modality], present = _read_feature(modality, file, own_features, entities, mapped)
            columns.append(present)
    present = np.stack([_has_structure(triples['train'], columns, len(entities)), *columns], axis=1)
    if splits == 'published':
        # A published model gives every entity a learned row, trained or not.
        present[:, 0] = True
    graph = KnowledgeGraph(
        name=name, entities=entities, relations=relations, features=matrices, present=present, **triples
    )
    return graph, report


def _read_source(source: str, ratios, seed: int):
    """Name, entity and relation labels, triples by split, and functions that make the features brought along."""
    if not source:
        raise InputError("data: no graph given; name a folder or a file, or 'digits' for the embedded graph")
    if source == 'digits':
        return _read_digits()
    if source.startswith(synthetic.PREFIX):
        return _make_synthetic(source)
    path = prepared.find(source) if source.startswith(prepared.PREFIX) else Path(source)
    if prepared.is_prepared(path):
        return *prepared.read(path), {}
    if path.is_dir():
        return path.resolve().name, *_read_folder(path), {}
    if not path.exists():
        raise _nothing_there(source)
    if '2id.txt' in path.name:
        raise InputError(f'{source}: a file of an OpenKE folder, without labels; name the folder, {path.parent}')
    entities, relations, rows = labelled.read_file(path)
    return path.name.partition('.')[0], entities, relations, _split(source, rows, ratios, seed), {}


def _nothing_there(source: str) -> InputError:
    cure = f"name those of a graph, 'digits', '{synthetic.PREFIX}...' or '{prepared.PREFIX}NAME'"
    if source in prepared.GRAPHS:
        cure = f'the published graph is {prepared.PREFIX}{source}, once mans_jax.prepare has prepared it'
    return InputError(f'{source}: no such file or folder; {cure}')


def _split(source, rows, ratios, seed):
    try:
        return split_by_ratios(rows, ratios, seed)
    except InputError as error:
        raise InputError(f'{source}: {error}') from None


def _read_digits():
    # Imported when asked for: the images come with scikit-learn, which no folder needs.
    from mans_jax.data import digits

    graph = digits.load()
    own = {
        name: functools.partial(tuple, (matrix, graph.present[:, i]))
        for i, (name, matrix) in enumerate(graph.features.items(), start=1)
    }
    triples = {split: graph.split(split) for split in ('train', 'valid', 'test')}
    return graph.name, graph.entities, graph.relations, triples, own


def _make_synthetic(source: str):
    recipe = synthetic.parse(source)
    entities, relations = synthetic.labels(recipe)
    triples = _split(source, synthetic.triples(recipe), synthetic.RATIOS, recipe.seed)
    own = {
        name: lambda m=m: (synthetic.features(recipe, m), np.ones(recipe.entities, dtype=bool))
        for m, name in enumerate(synthetic.modality_names(recipe))
    }
    return 'synthetic', entities, relations, triples, own


def _read_folder(folder: Path):
    """A folder in whichever layout it has."""
    if lines.find(folder, ['entity2id.txt']):
        return openke.read(folder)
    if labelled.find_split(folder, 'train'):
        return labelled.read(folder)
    names = ', '.join(f'train{suffix}' for suffix in labelled.FORMATS)
    raise InputError(f'{folder}: no graph in this folder; looked for entity2id.txt (OpenKE) and {names} (labels)')


def _read_feature(
    modality: str, file: str, own: Mapping[str, Callable[[], Feature]], entities: Sequence[str], mapped: bool
) -> Feature:
    """The features of one modality and who has them, from a file or from the graph itself."""
    if modality == STRUCTURE:
        raise InputError(f'features.{modality}: the name of the learned modality; give the features another one')
    if file != EMBEDDED:
        return feature_files.read(file, entities, mapped=mapped)
    if modality not in own:
        known = f'embedded here: {", ".join(own)}' if own else 'this graph embeds none'
        raise InputError(f'features.{modality}: {EMBEDDED!r} names no feature ({known}); give a file')
    return own[modality]()


def _has_structure(train: np.ndarray, columns: list[np.ndarray], num_entities: int) -> np.ndarray:
    """Whether the learned row of each entity counts, bool[E]."""
    trained = np.zeros(num_entities, dtype=bool)
    trained[train[:, [0, 2]]] = True
    # A learned row that no triple trains is noise, so an unseen entity is judged by its other modalities alone. One
    # that has none keeps the row: an entity needs at least one view.
    return trained | ~np.any(columns, axis=0) if columns else np.ones(num_entities, dtype=bool)
