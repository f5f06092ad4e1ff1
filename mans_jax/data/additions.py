"""New entities and triples for a graph: files that name its entities and relations by their labels."""

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from absl import logging

from mans_jax.data import features as feature_files
from mans_jax.data import labelled, lines, openke
from mans_jax.data.feature_files import open_features
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph

SPLITS = labelled.SPLITS


@dataclasses.dataclass(frozen=True)
class Additions:
    """What is new to a graph; its ids go on where those of the graph end.

    Attributes:
        entities: labels that the graph does not have, those of the triples first, each in the order of its file.
        triples: 'train', 'valid' and 'test' as int32[N, 3] rows of (head, relation, tail) ids; each triple once, and
            none that the graph has in the same split.
        features: modality name to float32[len(entities), F], NaN in the rows of entities that lack it; every modality
            of the graph is there.
        known: how many triples were left out, as duplicates or since the graph has them in that split.
    """

    entities: tuple[str, ...]
    triples: Mapping[str, np.ndarray]
    features: Mapping[str, np.ndarray]
    known: int


def read(graph: KnowledgeGraph, triples: str | None, features: Mapping[str, str]) -> Additions:
    """Reads what shall be added to a graph.

    Args:
        graph: the graph.
        triples: a file of labelled triples (`labelled.FORMATS`), which go to train; or a folder with such files, or
            in OpenKE layout, whose splits are added to those of the graph. None for features alone.
        features: modality name to a feature file with labels. A label that neither graph nor triples have is a new
            entity too; entities of the graph keep the features that they have.

    Raises:
        InputError: a file cannot be read, names a relation or modality that the graph does not have, or features of
            another width; or there is nothing new.
    """
    id_of = {label: i for i, label in enumerate(graph.entities)}
    added, known = {name: np.empty((0, 3), np.int32) for name in SPLITS}, 0
    if triples is not None:
        entities, relations, rows = _read_triples(Path(triples))
        for label in entities:
            id_of.setdefault(label, len(id_of))
        entity_id = np.array([id_of[label] for label in entities], dtype=np.int32)
        relation_id = _relation_ids(graph, Path(triples), entities, relations, rows)
        for name in SPLITS:
            head, relation, tail = rows[name].T
            renumbered = np.stack([entity_id[head], relation_id[relation], entity_id[tail]], axis=1)
            added[name] = _new_rows(renumbered, graph.split(name))
            known += len(rows[name]) - len(added[name])
    in_triples = len(id_of)
    for modality, file in features.items():
        labels = _labels(graph, modality, Path(file))
        _tell_passed_over(graph, modality, file, id_of, labels)
        for label in labels:
            id_of.setdefault(label, len(id_of))
    if len(id_of) > in_triples:
        alone = tuple(id_of)[in_triples:]
        logging.warning('%d new entities stand in no new triple: %s', len(alone), lines.name_some(alone))
    new = tuple(id_of)[graph.num_entities :]
    if not new and not any(map(len, added.values())):
        raise InputError(f'{triples or ", ".join(features.values())}: nothing new, {graph.name} has all of it already')
    matrices = {
        name: _read_features(graph, name, features.get(name), new, rows.shape[1])
        for name, rows in graph.features.items()
    }
    return Additions(new, added, matrices, known)


def write(graph: KnowledgeGraph, additions: Additions, folder: Path) -> dict[str, str]:
    """Writes the graph with what was added, as an OpenKE folder with one .npy file a modality.

    Args:
        graph: the graph.
        additions: from `read`.
        folder: a folder that is empty or does not exist yet.

    Returns:
        Modality name to the name of its file in the folder.

    Raises:
        InputError: as `openke.write`.
    """
    triples = {name: np.concatenate([graph.split(name), additions.triples[name]]) for name in SPLITS}
    openke.write(folder, (*graph.entities, *additions.entities), graph.relations, triples)
    files = {}
    for m, (name, rows) in enumerate(graph.features.items(), start=1):
        files[name] = f'{name}.npy'
        old = np.where(graph.present[:, [m]], rows, np.float32(np.nan))
        try:
            np.save(folder / files[name], np.concatenate([old, additions.features[name]]))
        except OSError as error:
            raise InputError(f'{folder}: cannot be written ({error.strerror}); free space, then try again') from None
    return files


def _read_triples(source: Path):
    """Labels and rows by split, as `labelled.read` has them."""
    if source.is_dir():
        return openke.read(source) if lines.find(source, ['entity2id.txt']) else labelled.read(source)
    entities, relations, rows = labelled.read_file(source)
    return entities, relations, {'train': rows, 'valid': rows[:0], 'test': rows[:0]}


def _relation_ids(graph, source, entities, relations, rows) -> np.ndarray:
    """The graph's ids of a file's relations."""
    id_of = {label: i for i, label in enumerate(graph.relations)}
    unknown = [i for i, label in enumerate(relations) if label not in id_of]
    if unknown:
        every = np.concatenate([rows[name] for name in SPLITS])
        label = relations[unknown[0]]
        head, _, tail = next(iter(every[every[:, 1] == unknown[0]]), (None,) * 3)
        example = '' if head is None else f', as in ({entities[head]}, {label}, {entities[tail]})'
        nearest = difflib.get_close_matches(label, graph.relations, n=1)
        hint = f'did you mean {nearest[0]!r}? ' if nearest else ''
        more = f' (nor {len(unknown) - 1} others)' if len(unknown) > 1 else ''
        raise InputError(
            f'{source}: relation {lines.quote(label)}{example} is not one of the {graph.num_relations} of '
            f'{graph.name}{more}; {hint}a new relation needs a new training'
        )
    return np.array([id_of[label] for label in relations], dtype=np.int32)


def _new_rows(rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The distinct rows that are not among the known ones, in their order."""
    _, first = np.unique(np.concatenate([known, rows]), axis=0, return_index=True)
    return rows[np.sort(first[first >= len(known)]) - len(known)]


def _tell_passed_over(graph, modality, file, id_of, labels) -> None:
    """Says which entities of the graph lack the modality and do not get it now: the run was trained without it."""
    present = graph.present[:, graph.modalities.index(modality)]
    passed = [label for label in labels if id_of.get(label, graph.num_entities) < graph.num_entities]
    passed = [label for label in passed if not present[id_of[label]]]
    if passed:
        message = '%s: %d entities of the run had no %s and stay without: %s'
        logging.warning(message, file, len(passed), modality, lines.name_some(passed))


def _labels(graph: KnowledgeGraph, modality: str, file: Path) -> list[str]:
    if modality not in graph.features:
        have = ', '.join(graph.features) or 'none beside structure'
        raise InputError(f'--features={modality}={file}: the run has no modality {modality!r}; it has {have}')
    with open_features(file) as stored:
        if stored.labels is None:
            cure = 'store the labels of the rows, in the file or in labels.txt beside it'
            raise InputError(f'{file}: no labels, by which new entities are told from those of the run; {cure}')
        return list(stored.labels)


def _read_features(graph, modality, file, new, width) -> np.ndarray:
    """The new entities' features of one modality, NaN where they have none."""
    if file is None or not new:
        return np.full((len(new), width), np.nan, dtype=np.float32)
    if set(new).isdisjoint(_labels(graph, modality, Path(file))):
        raise InputError(f'{file}: none of its labels is one of the {len(new)} new entities; leave the file out')
    values, present = feature_files.read(file, new, passed_over=graph.entities)
    if values.shape[1] != width:
        raise InputError(f'{file}: {values.shape[1]} features an entity, but the run has {width} of {modality!r}')
    return np.where(present[:, None], values, np.float32(np.nan))
