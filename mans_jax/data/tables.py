"""Triples of labels in columns: TSV and CSV, with or without a heading."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mans_jax.data import lines
from mans_jax.data.labels import Spans, spans

HEADINGS = (('head', 'relation', 'tail'), ('subject', 'predicate', 'object'), ('h', 'r', 't'))
"""The names by which a heading is recognised, in small letters; the columns may have any order and others between."""

_CSV_ROWS = 500_000


def read_tsv(path: Path) -> Iterator[Spans]:
    """Reads lines of labels separated by tabs; there is no quoting, a label is taken as it stands.

    Args:
        path: a file without a heading and with the columns head, relation, tail, or with a heading of `HEADINGS`.

    Yields:
        Blocks of labels [N, 3], in columns head, relation, tail.

    Raises:
        InputError: a line has another number of columns or lacks a label, or the heading lacks a column.
    """
    columns, width = None, 3
    for number, text in lines.blocks(path):
        if columns is None:
            first, _, rest = text.partition(b'\n')
            cells = first.decode().split('\t')
            columns = _find_columns(path, cells)
            if columns:
                number, text, width = number + 1, rest, len(cells)
            columns = columns or [0, 1, 2]
            if not text:
                continue
        codes = np.frombuffer(text, dtype=np.uint8)
        ends = np.flatnonzero((codes == ord('\t')) | (codes == ord('\n')))
        pattern = np.frombuffer(b'\t' * (width - 1) + b'\n', dtype=np.uint8)
        if len(ends) % width or (codes[ends].reshape(-1, width) != pattern).any():
            raise _malformed_line(path, number, text, columns, width)
        starts = np.concatenate([[0], ends[:-1] + 1]).reshape(-1, width)[:, columns]
        block = Spans(text, starts, ends.reshape(-1, width)[:, columns])
        if (block.start == block.end).any():
            raise _malformed_line(path, number, text, columns, width)
        yield block


def read_csv(path: Path) -> Iterator[Spans]:
    """Reads rows of labels separated by commas; a label in double quotes may hold commas, tabs and quotes ("").

    Args:
        path: a file without a heading and with the columns head, relation, tail, or with a heading of `HEADINGS`.

    Yields:
        Blocks of labels [N, 3], in columns head, relation, tail.

    Raises:
        InputError: a row has another number of columns or lacks a label, or the heading lacks a column.
    """
    text = (line + '\n' for _, block in lines.blocks(path) for line in block.decode()[:-1].split('\n'))
    rows = csv.reader(text, strict=True)
    try:
        first = next(rows, None)
        if first is None:
            return
        columns, width, left = _find_columns(path, first), len(first), rows
        if columns is None:
            columns, width, left = [0, 1, 2], 3, itertools.chain([first], rows)
        head, relation, tail = columns
        checked = _checked(path, left, rows, columns, width)
        while block := list(itertools.islice(checked, _CSV_ROWS)):
            yield spans([label for row in block for label in (row[head], row[relation], row[tail])])
    except csv.Error as error:
        raise lines.error(path, rows.line_num, f'not a row of CSV ({error}); double the quotes in a label') from None


def _checked(path, rows, reader, columns, width):
    """The rows, each looked at before it is handed on; `reader` knows the line."""
    for row in rows:
        if len(row) != width or not all(row[column] for column in columns):
            raise _malformed(path, reader.line_num, ','.join(row), row, 'commas', columns, width)
        if any('\n' in row[column] for column in columns):
            raise lines.error(path, reader.line_num, f'{lines.quote(",".join(row))} has a line break in a label')
        yield row


def _find_columns(path: Path, cells: list[str]) -> list[int] | None:
    """Where head, relation and tail stand according to a heading; None where the first line is none."""
    names = [cell.strip().lower() for cell in cells]
    for wanted in HEADINGS:
        if set(wanted) <= set(names):
            for name in wanted:
                if names.count(name) > 1:
                    raise lines.error(path, 1, f'the heading names {name!r} {names.count(name)} times')
            return [names.index(name) for name in wanted]
    for wanted in HEADINGS[:2]:
        missing = [name for name in wanted if name not in names]
        if len(missing) == 1:
            known = '; '.join(', '.join(heading) for heading in HEADINGS)
            raise lines.error(path, 1, f'the heading has no column {missing[0]!r}; a heading names {known}')
    return None


def _malformed_line(path, number, text, columns, width):
    """The error at the first malformed line of a TSV."""
    for line in text.decode()[:-1].split('\n'):
        cells = line.split('\t')
        if len(cells) != width or not all(cells[column] for column in columns):
            break
        number += 1
    return _malformed(path, number, line, cells, 'tabs', columns, width)


def _malformed(path, number, line, cells, separators, columns, width):
    if len(cells) != width:
        fault = f'has {len(cells)} columns separated by {separators}'
    else:
        fault = 'has an empty label'
    separator = {'tabs': '<TAB>', 'commas': ','}[separators]
    expected = f'"head{separator}relation{separator}tail"'
    if width != 3 or list(columns) != [0, 1, 2]:
        expected = f'{width} columns as in the heading'
    return lines.error(path, number, f'{lines.quote(line)} {fault}, expected {expected}')
