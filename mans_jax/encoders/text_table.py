"""The texts of entities, in columns behind a label or an entity id."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mans_jax.data import lines
from mans_jax.errors import InputError


class Texts(NamedTuple):
    """The text of each entity that has one.

    Attributes:
        labels: the labels of N entities, in the order of the file.
        texts: their texts, N of them.
        empty: the labels of the entities that have a line but no text.
    """

    labels: list[str]
    texts: list[str]
    empty: list[str]


def read(path: Path, *, separator: str = '. ', ids_of: Sequence[str] | None = None) -> Texts:
    """Reads lines 'label<TAB>text' without a heading; several columns of text are joined, blank ones left out.

    Args:
        path: the file, compressed or not; every line has as many columns as the first.
        separator: what stands between the columns of a text.
        ids_of: the E labels of a graph, where the first column holds its entity ids in place of labels.

    Raises:
        InputError: the file cannot be read, a line is malformed or names an entity again, or there is no text.
    """
    first_line: dict[str, int] = {}
    found, empty, width = Texts([], [], []), [], None
    for number, block in lines.blocks(path):
        for i, line in enumerate(block.decode()[:-1].split('\n'), start=number):
            key, *cells = line.split('\t')
            width = width or len(cells)
            if not key or not cells or len(cells) != width:
                raise _malformed(path, i, line, width)
            label = key if ids_of is None else _entity(path, i, key, ids_of)
            if first_line.setdefault(label, i) != i:
                raise lines.error(path, i, f'{lines.quote(label)} stands in line {first_line[label]} already; keep one')
            text = separator.join(cell for cell in cells if cell.strip())
            if text:
                found.labels.append(label)
                found.texts.append(text)
            else:
                empty.append(label)
    if not found.labels:
        raise InputError(f'{path}: no text in it; a line is "label<TAB>text"')
    return found._replace(empty=empty)


def _malformed(path: Path, number: int, line: str, width: int | None) -> InputError:
    columns = line.count('\t') + 1
    if not line.partition('\t')[0]:
        fault = 'has no label'
    elif columns == 1:
        fault = 'has no text behind a tab'
    else:
        return lines.error(
            path, number, f'{lines.quote(line)} has {columns} columns, the first line {width + 1}; keep empty ones too'
        )
    return lines.error(path, number, f'{lines.quote(line)} {fault}, expected "label<TAB>text"')


def _entity(path: Path, number: int, key: str, labels: Sequence[str]) -> str:
    """The label of an entity id."""
    if not (key.isascii() and key.isdigit() and len(key) < 19 and int(key) < len(labels)):
        raise lines.error(path, number, f'{lines.quote(key)} is not an entity id, a number in [0, {len(labels)})')
    return labels[int(key)]
