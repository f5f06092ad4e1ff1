"""What a collection adds to the entities of a graph, as tables: numbers, images, links to another graph."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mans_jax.data import mmkg
from mans_jax.errors import InputError

FOLDER = 'facts'
"""Where the tables of a prepared graph stand, in its folder."""

NAMES = {'NumericalTriples.txt': 'numeric', 'ImageIndex.txt': 'images', 'SameAsLink.txt': 'same_as'}
"""The name of a table, by the ending of the published file that it is made from."""

COLUMNS = {'numeric': ('entity', 'attribute', 'value'), 'images': ('entity', 'image'), 'same_as': ('entity', 'other')}
"""What a line of each table holds, separated by tabs."""

_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Table:
    """The facts of one kind.

    Attributes:
        rows: a tuple a fact, as in `COLUMNS`, in the order of the source.
        strangers: how many facts of the source are about entities that the graph lacks; they are left out.
        odd: how many of it have a value that is no number; they are left out.
        examples: a few of these values, each with its line.
    """

    rows: tuple[tuple, ...]
    strangers: int
    odd: int = 0
    examples: tuple[str, ...] = ()

    def counts(self) -> dict:
        """Its numbers, for a record of what was made."""
        examples = list(self.examples)
        return {'lines': len(self.rows), 'strangers': self.strangers, 'odd': self.odd, 'examples': examples}


def read(folder: str | os.PathLike, files: Sequence[str], entities: Sequence[str]) -> dict[str, Table]:
    """Reads the facts about the entities of a graph, as far as a folder has them.

    Args:
        folder: one that may hold some of `files`.
        files: names of published files, with the endings of `NAMES`.
        entities: the E labels of the graph.

    Returns:
        The tables, by name.

    Raises:
        InputError: a file is malformed, or has no fact about any entity of the graph.
    """
    known, tables = frozenset(entities), {}
    for file in files:
        path = Path(folder) / file
        if not path.is_file():
            continue
        name = next(NAMES[ending] for ending in NAMES if file.endswith(ending))
        facts, odd = mmkg.read_numeric(path) if name == 'numeric' else (_PAIRS[name](path), [])
        rows = tuple(fact for fact in facts if fact[0] in known)
        if odd and not facts:
            raise InputError(f'{path}: none of its {len(odd)} values is a number; remove it, or give the whole file')
        if not rows:
            raise InputError(f"{path}: no fact about an entity of the graph; remove it, or give the graph's own")
        examples = tuple(f'{value} in line {number}' for number, value in odd[:_NAMED])
        tables[name] = Table(rows, len(facts) - len(rows), len(odd), examples)
    return tables


_PAIRS = {'images': mmkg.read_images, 'same_as': mmkg.read_same_as}


def write(folder: str | os.PathLike, tables: Mapping[str, Table]) -> None:
    """Writes each table as NAME.tsv, without a heading, into a folder that is made where it is missing.

    Raises:
        OSError: the folder cannot be written.
    """
    for name, table in tables.items():
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = ''.join('\t'.join(map(str, row)) + '\n' for row in table.rows)
        (Path(folder) / f'{name}.tsv').write_text(text, encoding='utf-8', newline='\n')


def describe(name: str, counts: Mapping) -> str:
    """A line about one table from its `Table.counts`."""
    said = f'{name}.tsv: {counts["lines"]:,} lines "{"<TAB>".join(COLUMNS[name])}"'
    if counts['strangers']:
        said += f'; {counts["strangers"]:,} about entities that the graph lacks left out'
    if counts['odd']:
        more = ', ...' if counts['odd'] > len(counts['examples']) else ''
        said += f'; {counts["odd"]:,} without a number left out: {", ".join(counts["examples"])}{more}'
    return said
