"""The MMKG collection: one file of labelled triples a graph, without a split, and what it adds to its entities."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from mans_jax.data import lines
from mans_jax.data.ratios import split_by_ratios
from mans_jax.errors import InputError

_NUMERIC_LINES = [
    re.compile(pattern + r'("[^"]*"\S*|\S+)(?: \.)?')
    for pattern in (r'([^\t]+)\t([^\t]+)\t', r'(\S+)[ \t]+(\S+)[ \t]+')
]
_SAME_AS_LINE = re.compile(r'(?P<other>\S+)[ \t]+<SameAs>[ \t]+(?P<entity>\S+)(?: \.)?')
_LITERAL = re.compile(r'"([^"]*)"(?:\^\^<[^>]*>)?')
_DECIMAL = re.compile(r'[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?')
_DATE = re.compile(r'(-?[0-9]{1,6})-([0-9]{2}|##)-([0-9]{2}|##)')


def read(path: str | os.PathLike) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, np.ndarray]]:
    """Reads a file of entity triples and splits it.

    A line is 'head relation tail', separated by spaces or tabs, with or without a ' .' at its end. Entities and
    relations are numbered in the order in which lines name them. Distinct triples are split 8 : 1 : 1, the same way
    every time, and train names every entity. See "MMKG: Multi-Modal Knowledge Graphs", Liu et al., 2019 (arXiv
    1903.05485).

    Args:
        path: the file.

    Returns:
        (entities, relations, triples): E and R labels, the position is the id; 'train', 'valid' and 'test' as
        int32[N, 3] rows of (head, relation, tail).

    Raises:
        InputError: the file is missing, a line has not three labels, or there are too few triples to split.
    """
    path = Path(path)
    rows = [_labels(path, number, line) for number, line in lines.numbered(path)]
    distinct = list(dict.fromkeys(rows))
    entities = {
        label: i for i, label in enumerate(dict.fromkeys(e for head, _, tail in distinct for e in (head, tail)))
    }
    relations = {label: i for i, label in enumerate(dict.fromkeys(relation for _, relation, _ in distinct))}
    ids = [(entities[head], relations[relation], entities[tail]) for head, relation, tail in distinct]
    try:
        triples = split_by_ratios(np.array(ids, dtype=np.int32).reshape(-1, 3), (0.8, 0.1, 0.1))
    except InputError as error:
        raise InputError(f'{path}: {error}') from None
    return tuple(entities), tuple(relations), triples


def _labels(path: Path, number: int, line: str) -> tuple[str, str, str]:
    labels = line.split()
    if len(labels) == 4 and labels[-1] == '.':
        labels.pop()
    if len(labels) != 3:
        raise lines.error(
            path, number, f'{lines.quote(line)} is not "head relation tail", with or without a final " ."'
        )
    return tuple(labels)


def read_numeric(path: str | os.PathLike) -> tuple[list[tuple[str, str, float]], list[tuple[int, str]]]:
    """Reads a file of numeric facts, `..._NumericalTriples.txt`.

    A line is 'entity attribute value', separated by tabs, or by spaces where no label has one, with or without a ' .'
    at its end; a value may be a literal of N-Triples, '"1946-05-16"^^<http://www.w3.org/2001/XMLSchema#date>'. The
    number of a date is its year, then month and day behind the point, 1946.0516, as YAGO15K has it where it has
    numbers; '##' for a month or day that nobody knows is 00.

    Args:
        path: the file.

    Returns:
        (facts, others): (entity, attribute, value) of each line; and (line number, value as it stands) of those whose
        value is neither a finite number nor a date, such as '19##-##-##', which are in no fact.

    Raises:
        InputError: the file is missing, or a line has not three parts.
    """
    path = Path(path)
    facts, others = [], []
    for number, line in lines.numbered(path):
        match = next(filter(None, (pattern.fullmatch(line) for pattern in _NUMERIC_LINES)), None)
        if match is None:
            raise lines.error(
                path, number, f'{lines.quote(line)} is not "entity attribute value", with or without a final " ."'
            )
        entity, attribute, text = match.groups()
        value = _number(text)
        if value is None:
            others.append((number, text))
        else:
            facts.append((entity, attribute, value))
    return facts, others


def read_images(path: str | os.PathLike) -> list[tuple[str, str]]:
    """Reads an image index, `..._ImageIndex.txt`: lines 'entity<TAB>image', where image names a file or a vector.

    Args:
        path: the file.

    Returns:
        (entity, image) of each line; an entity may have several.

    Raises:
        InputError: the file is missing, or a line is malformed.
    """
    path = Path(path)
    pairs = []
    for number, line in lines.numbered(path):
        pair = tuple(line.split('\t'))
        if len(pair) != 2 or not all(pair):
            raise lines.error(path, number, f'{lines.quote(line)} is not "entity<TAB>image"')
        pairs.append(pair)
    return pairs


def pool_images(
    path: Path, images: Sequence[str], vectors: np.ndarray, pairs: Sequence[tuple[str, str]]
) -> tuple[list[str], np.ndarray]:
    """Vectors of images to vectors of entities, `..._ImageData.h5`: the mean where an entity has several images.

    Args:
        path: the file of the vectors, for errors.
        images: the name of each of N images.
        vectors: float[N, F].
        pairs: as `read_images` returns them.

    Returns:
        (entities, float32[M, F]), those that have a vector; a warning counts the images that are no entity's.

    Raises:
        InputError: no image is in the index.
    """
    row_of = {image: row for row, image in enumerate(images)}
    rows_of, unnamed = {}, row_of.keys() - {image for _, image in pairs}
    for entity, image in pairs:
        if image in row_of:
            rows_of.setdefault(entity, []).append(row_of[image])
    if not rows_of:
        example = f'it has {lines.quote(images[0])}, the index {lines.quote(pairs[0][1] if pairs else "")}'
        raise InputError(f"{path}: none of its images is in the index beside it ({example}); give the graph's own")
    if unnamed:
        message = '%s: %d of %d images are not in the index and left out: %s'
        logging.warning(message, path, len(unnamed), len(images), lines.quote(min(unnamed)))
    # Summed up in float32: the mean of two float16 may not exist in float16.
    pooled = [vectors[rows].mean(axis=0, dtype=np.float32) for rows in rows_of.values()]
    return list(rows_of), np.stack(pooled)


def read_same_as(path: str | os.PathLike) -> list[tuple[str, str]]:
    """Reads links to FB15K, `..._SameAsLink.txt`: lines 'freebase_id <SameAs> entity .'.

    Args:
        path: the file.

    Returns:
        (entity, Freebase id) of each line; an entity may have several ids.

    Raises:
        InputError: the file is missing, or a line is malformed.
    """
    path = Path(path)
    pairs = []
    for number, line in lines.numbered(path):
        match = _SAME_AS_LINE.fullmatch(line)
        if match is None:
            raise lines.error(path, number, f'{lines.quote(line)} is not "freebase_id <SameAs> entity ."')
        pairs.append((match['entity'], match['other']))
    return pairs


def _number(text: str) -> float | None:
    literal = _LITERAL.fullmatch(text)
    text = literal[1] if literal else text
    date = _DATE.fullmatch(text)
    if date:
        year, month, day = (int(part.replace('#', '0')) for part in date.groups())
        if month > 12 or day > 31:
            return None
        # Rounded, so that 1940-07-17 is 1940.0717 to the last bit.
        return round(year + (100 * month + day) / 10_000, 4)
    value = float(text) if _DECIMAL.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None
