"""Queries by label: triples with one place left open."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mans_jax.data import lines
from mans_jax.errors import InputError

PLACES = ('head', 'relation', 'tail')
OPEN = ('', '?')
"""What stands in the place that is asked for."""


class Query(NamedTuple):
    """A triple of labels with one place open.

    Attributes:
        labels: of head, relation and tail; the one that is asked for is None.
        asked: the name of that place.
        where: what to put before a message about it: a file and line number, or nothing.
    """

    labels: tuple[str | None, str | None, str | None]
    asked: str
    where: str = ''


def make_query(labels: Sequence[str | None], where: str = '') -> Query:
    """A query from what was given for head, relation and tail; None, '' and '?' leave a place open.

    Raises:
        InputError: not exactly one place is open.
    """
    labels = tuple(None if label is None or label in OPEN else label for label in labels)
    missing = [place for place, label in zip(PLACES, labels, strict=True) if label is None]
    if len(missing) != 1:
        found = f'{" and ".join(missing)} are open' if missing else 'none is'
        raise InputError(f'{where}of head, relation and tail exactly one must be open, but {found}')
    return Query(labels, missing[0], where)


def read_queries(path: Path) -> list[Query]:
    """Reads queries from a TSV file: head, relation and tail, one of them '?' or empty; a heading may come first.

    Raises:
        InputError: the file cannot be read, has no query, or a line is not one.
    """
    queries = []
    for number, line in lines.numbered(path):
        where, columns = f'{path}, line {number}: ', line.split('\t')
        if number == 1 and tuple(column.strip().casefold() for column in columns) == PLACES:
            continue
        if len(columns) != len(PLACES):
            raise InputError(
                f'{where}{len(columns)} column{"s"[: len(columns) != 1]} where head, relation and tail are wanted, '
                f"parted by tabs, with '?' for the one that is asked for"
            )
        queries.append(make_query(columns, where))
    if not queries:
        raise InputError(f"{path}: no query in it; write head, relation and tail, parted by tabs, one of them '?'")
    return queries
