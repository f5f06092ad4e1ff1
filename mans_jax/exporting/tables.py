"""Tables of text that other programs read: a line a row, tabs between the cells, nothing quoted."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mans_jax.data.lines import cell


def write_table(path: Path, heading: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Writes a heading and rows; what would end a cell or a line is escaped as `lines.cell` does.

    Args:
        path: the file.
        heading: the names of the columns, two or more: TensorBoard takes one column for labels without a heading.
        rows: as many cells each.
    """
    with path.open('w', encoding='utf-8', newline='\n') as file:
        for row in (heading, *rows):
            file.write('\t'.join(map(cell, row)) + '\n')


def write_labels(folder: Path, entities: Sequence[str], relations: Sequence[str]) -> None:
    """Writes entities.tsv and relations.tsv, lines of id and label."""
    for name, labels in (('entities', entities), ('relations', relations)):
        write_table(folder / f'{name}.tsv', ('id', 'label'), enumerate(labels))
