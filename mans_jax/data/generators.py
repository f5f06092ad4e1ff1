"""The vectors of a pre-trained generator, from an exported run."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mans_jax.data import lines
from mans_jax.data.extras import import_for
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph


def read(folder: str | os.PathLike, graph: KnowledgeGraph, score: str) -> dict[str, np.ndarray]:
    """Reads entities.safetensors and relations.safetensors, as `python -m mans_jax.export --formats=vectors` has them.

    Args:
        folder: the folder of the two, vectors/ of an export. Of entities, the vectors of structure are taken.
        graph: all of its entities and relations must be there, by label; one that has no vector gets zeros.
        score: the name of the score function that the run must have.

    Returns:
        {'entity': float32[E, D], 'relation': float32[R, D]}.

    Raises:
        InputError: a file cannot be used, or the run has another score.
    """
    of_entities, of_relations = (Path(folder) / f'{name}.safetensors' for name in ('entities', 'relations'))
    entity = _read(of_entities, 'vector_structure', graph.entities, score)
    relation = _read(of_relations, 'vector', graph.relations, score)
    if entity.shape[1] != relation.shape[1]:
        both = f'{relation.shape[1]} wide, those of entities {entity.shape[1]}'
        raise InputError(f'{of_relations}: its vectors are {both}: take the two files of one run')
    return {'entity': entity, 'relation': relation}


def _read(path: Path, name: str, labels: Sequence[str], score: str) -> np.ndarray:
    safetensors = import_for(path, 'safetensors')
    try:
        with safetensors.safe_open(path, 'numpy') as file:
            metadata, stored = file.metadata() or {}, file.get_tensor(name)
        of_file = json.loads(metadata['labels'])
    except FileNotFoundError:
        raise InputError(f'{path}: no such file; name the folder vectors/ of an export') from None
    except (OSError, safetensors.SafetensorError, KeyError, ValueError) as error:
        said = f'no {error}' if isinstance(error, KeyError) else error
        raise InputError(f'{path}: not the {name} of an exported run ({said})') from None
    if metadata.get('score') != score:
        raise InputError(f'{path}: its run has the score {metadata.get("score")}, but the generator is {score}')
    row_of = {label: row for row, label in enumerate(of_file)}
    missing = [label for label in labels if label not in row_of]
    if missing:
        said = f'{len(missing)} of {len(labels)} are not there: {lines.name_some(missing)}'
        raise InputError(f"{path}: another graph's {path.stem}: {said}")
    # A row of NaN is one that the run has not trained.
    return np.nan_to_num(stored[[row_of[label] for label in labels]]).astype(np.float32)
