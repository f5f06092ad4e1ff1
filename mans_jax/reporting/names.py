"""What entities and relations are called on the page, and what is told of them."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mans_jax.data import lines
from mans_jax.graph import KnowledgeGraph

_TEXTS = 'entity_text.tsv'
_ADDRESS = re.compile(r'<?https?://(\S*[/#][^/#\s>]+)>?')


class Names(NamedTuple):
    """Texts by id.

    Attributes:
        entities: E names.
        relations: R names.
        descriptions: E texts, '' where there is none.
    """

    entities: Sequence[str]
    relations: Sequence[str]
    descriptions: Sequence[str]


def read_names(data: str, graph: KnowledgeGraph) -> Names:
    """The names of a graph: those of entity_text.tsv in its folder, else the labels, of addresses their last part.

    Args:
        data: where the graph was read from.
        graph: the graph.

    Raises:
        InputError: the file cannot be read or a line of it is malformed.
    """
    entities, descriptions = short_names(graph.entities), [''] * graph.num_entities
    path = lines.find(Path(data), [_TEXTS]) if Path(data).is_dir() else None
    for number, line in lines.numbered(path) if path else ():
        columns = line.split('\t')
        if not columns[0].isdecimal() or not int(columns[0]) < graph.num_entities:
            at_most = graph.num_entities - 1
            raise lines.error(path, number, f'{lines.quote(columns[0])} is no entity id from 0 to {at_most}')
        if len(columns) != 3:
            raise lines.error(path, number, f'{len(columns)} columns where id, name and description are wanted')
        entity, name, description = int(columns[0]), *columns[1:]
        entities[entity], descriptions[entity] = name or entities[entity], description
    return Names(entities, short_names(graph.relations), descriptions)


def short_names(labels: Sequence[str]) -> list[str]:
    """Labels as they are, but of addresses the last part, or as many of the last parts as tell them apart."""
    parts = [_parts(label) for label in labels]
    depth = [1] * len(parts)
    while True:
        short = [''.join(part[-number:])[number < len(part) :] for part, number in zip(parts, depth, strict=True)]
        count = Counter(short)
        unclear = [i for i, name in enumerate(short) if count[name] > 1 and depth[i] < len(parts[i])]
        if not unclear:
            break
        for i in unclear:
            depth[i] += 1
    # Two labels that only differ in what was left out are told apart by all of it.
    return [label if count[name] > 1 else name for name, label in zip(short, labels, strict=True)]


def _parts(label):
    """The parts of an address, each but the first with what parts it from the one before; else the label alone."""
    found = _ADDRESS.fullmatch(label)
    return re.split(r'(?=[/#])', found[1].replace('_', ' ')) if found else [label]
