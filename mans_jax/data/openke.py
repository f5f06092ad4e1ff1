"""OpenKE folders: labels with their ids, and triples of ids in the order head, tail, relation."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mans_jax.data import lines
from mans_jax.errors import InputError

# The whole of a file is matched at once; where the match ends, the first malformed line starts. 18 digits fit in int64.
# An atomic group, not a possessive `(?:...)*+`: Python 3.11.2, which Debian 12 has, matches the latter wrongly.
_TRIPLE_LINES = re.compile(r'(?>(?:[ \t]*+[0-9]{1,18}[ \t]++[0-9]{1,18}[ \t]++[0-9]{1,18}[ \t]*+\n)*)')
_LABEL_LINE = re.compile(r'^[ \t]*+([^\n]*[^ \t\n])[ \t]+([0-9]{1,18})[ \t]*\n', re.MULTILINE)


def read(folder: str | os.PathLike) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, np.ndarray]]:
    """Reads a folder in the layout of OpenKE.

    `entity2id.txt` and `relation2id.txt` hold 'label id' lines, `train2id.txt`, `valid2id.txt` and `test2id.txt` hold
    'head tail relation' lines of ids; line 1 of each is the number of lines that follow. Columns are separated by tabs
    or spaces; a label may contain spaces. Behind the name of a file, .gz or .zst may follow. See "OpenKE: An Open
    Toolkit for Knowledge Embedding", Han et al., 2018.

    Args:
        folder: the folder.

    Returns:
        (entities, relations, triples): E and R labels, the position is the id; 'train', 'valid' and 'test' as
        int32[N, 3] rows of (head, relation, tail), duplicates included.

    Raises:
        InputError: a file is missing, malformed or empty, names an id twice or one that does not exist.
    """
    names = ('entity', 'relation', 'train', 'valid', 'test')
    # A file that is not there is refused by its plain name when it is opened.
    paths = [lines.find(Path(folder), [f'{name}2id.txt']) or Path(folder) / f'{name}2id.txt' for name in names]
    entities, relations = (_read_labels(path) for path in paths[:2])
    triples = {
        split: _read_triples(path, len(entities), len(relations))
        for split, path in zip(names[2:], paths[2:], strict=True)
    }
    return entities, relations, triples


def _read_counted(path: Path) -> tuple[int, str]:
    """The count in line 1 and the text of the lines that follow."""
    text = lines.read(path)
    if not text:
        raise InputError(f'{path}: the file is empty; line 1 must hold the number of lines that follow')
    first, _, body = text.partition('\n')
    if not re.fullmatch(r'[ \t]*[0-9]{1,18}[ \t]*', first):
        raise lines.error(path, 1, f'{lines.quote(first)} is not the number of lines that follow')
    return int(first), body


def _check_count(path: Path, count: int, body: str) -> None:
    found = body.count('\n')
    if found != count:
        raise lines.error(path, 1, f'announces {count} lines, but {found} follow; correct line 1 or restore the file')
    if not count:
        raise InputError(f'{path}: the file holds nothing after its count; every split and label file needs a line')


def _read_labels(path: Path) -> tuple[str, ...]:
    """The labels of `entity2id.txt` or `relation2id.txt`, ordered by id."""
    count, body = _read_counted(path)
    pairs = _LABEL_LINE.findall(body)
    if len(pairs) != body.count('\n'):
        number, line = next((n, x) for n, x in _numbered(body) if not _LABEL_LINE.fullmatch(x + '\n'))
        raise lines.error(path, number, f'{lines.quote(line)} is not a label and its id, separated by a tab or a space')
    _check_count(path, count, body)
    labels = [label for label, _ in pairs]
    ids = np.fromiter((int(number) for _, number in pairs), dtype=np.int64, count=count)
    order = np.argsort(ids)
    if not np.array_equal(ids[order], np.arange(count)):
        raise _wrong_id(path, ids)
    if len(set(labels)) != count:
        raise _repeated_label(path, labels)
    return tuple(labels[i] for i in order)


def _wrong_id(path: Path, ids: np.ndarray) -> InputError:
    line_of_id = {}
    for line, label_id in enumerate(ids.tolist(), start=2):
        if label_id >= len(ids):
            break
        if label_id in line_of_id:
            return lines.error(path, line, f'id {label_id} is already taken in line {line_of_id[label_id]}')
        line_of_id[label_id] = line
    cure = 'ids count from 0 without a gap'
    return lines.error(path, line, f'id {label_id} is not in [0, {len(ids)}), the number of lines; {cure}')


def _repeated_label(path: Path, labels: list[str]) -> InputError:
    line_of_label = {}
    for line, label in enumerate(labels, start=2):
        if label in line_of_label:
            break
        line_of_label[label] = line
    message = f'label {lines.quote(label)} is already in line {line_of_label[label]}; a label must have one id'
    return lines.error(path, line, message)


def _read_triples(path: Path, num_entities: int, num_relations: int) -> np.ndarray:
    """The triples int32[N, 3] of one split, columns reordered to (head, relation, tail)."""
    count, body = _read_counted(path)
    good = _TRIPLE_LINES.match(body).end()
    if good != len(body):
        number = body.count('\n', 0, good) + 2
        line = body[good : body.index('\n', good)]
        raise lines.error(path, number, f'{lines.quote(line)} is not three ids "head tail relation"')
    _check_count(path, count, body)
    rows = np.fromstring(body, dtype=np.int64, sep=' ').reshape(count, 3)
    bound = np.array([num_entities, num_entities, num_relations])
    if (rows >= bound).any():
        row, column = np.argwhere(rows >= bound)[0]
        what = ('head', 'tail', 'relation')[column]
        labels = 'relation2id.txt' if what == 'relation' else 'entity2id.txt'
        message = f'{what} id {rows[row, column]} is not in [0, {bound[column]}), the ids of {labels}'
        raise lines.error(path, row + 2, f'{message}; a line is "head tail relation"')
    return rows[:, [0, 2, 1]].astype(np.int32)


def _numbered(body: str):
    """The lines of a file behind its count, with their numbers."""
    return enumerate(body.split('\n')[:-1], start=2)


def write(
    folder: str | os.PathLike, entities: Sequence[str], relations: Sequence[str], triples: Mapping[str, np.ndarray]
) -> None:
    """Writes a folder that `read` reads back as it was.

    Args:
        folder: a folder that is empty or does not exist yet.
        entities: E labels; the position is the id.
        relations: R labels; the position is the id.
        triples: 'train', 'valid' and 'test' as int[N, 3] rows of (head, relation, tail) ids.

    Raises:
        InputError: the folder holds something or cannot be written, or a label would be read back as another.
    """
    folder = Path(folder)
    files = {f'{split}2id.txt': [f'{h}\t{t}\t{r}' for h, r, t in rows.tolist()] for split, rows in triples.items()}
    # The labels of entities come last: without them nobody takes a folder that was left half written for a graph.
    for what, labels in (('relation', relations), ('entity', entities)):
        for number, label in enumerate(labels):
            if not label.strip(' \t') or label != label.strip(' \t') or '\n' in label:
                cure = 'OpenKE keeps neither line breaks nor spaces around a label; rename it'
                raise InputError(f'{what} {number}: the label {lines.quote(label)} cannot be written; {cure}')
        files[f'{what}2id.txt'] = [f'{label}\t{number}' for number, label in enumerate(labels)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f'{folder}: the folder is not empty; name a new one')
        for name, content in files.items():
            (folder / name).write_bytes('\n'.join([str(len(content)), *content, '']).encode())
    except FileExistsError:
        raise InputError(f'{folder}: is a file, not a folder') from None
    except OSError as error:
        raise InputError(f'{folder}: cannot be written ({error.strerror})') from None
