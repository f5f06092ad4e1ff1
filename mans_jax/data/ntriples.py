"""Triples of IRIs in the N-Triples form of RDF."""

from collections.abc import Iterator
from pathlib import Path

from absl import logging

from mans_jax.data import lines
from mans_jax.data.extras import import_for
from mans_jax.data.labels import Spans, spans

_TRIPLES = 500_000


def read_ntriples(path: Path) -> Iterator[Spans]:
    """Reads the statements of an N-Triples file; the IRI is the label, and '_:name' that of a blank node.

    A statement about a literal (a text, a number, a date) links no two entities. It is left out; a warning says how
    many were. See "RDF 1.1 N-Triples", W3C, 2014.

    Args:
        path: the file.

    Yields:
        Blocks of labels [N, 3], in columns head, relation, tail.

    Raises:
        InputError: a line is malformed, or the library that reads the format is not installed.
    """
    rdf = import_for(path, 'pyoxigraph')
    labels, literals = [], 0
    with lines.open_binary(path) as file:
        try:
            for statement in rdf.parse(file, rdf.RdfFormat.N_TRIPLES):
                head, relation, tail = statement.subject, statement.predicate, statement.object
                if isinstance(tail, rdf.Literal):
                    literals += 1
                    continue
                labels += (_label(rdf, head), relation.value, _label(rdf, tail))
                if len(labels) == 3 * _TRIPLES:
                    yield spans(labels)
                    labels = []
        except SyntaxError as error:
            cure = 'expected "<IRI> <IRI> <IRI> ."'
            # The library's own message begins with the line and the columns.
            reason = error.msg.partition(': ')[2]
            # A statement that lacks its end is found out where the next line begins.
            unended = error.offset == 1 and ('line jumps' in reason or 'followed by a dot' in reason)
            raise lines.error(
                path, error.lineno - unended, f'not a statement of N-Triples ({reason}), {cure}'
            ) from None
    if labels:
        yield spans(labels)
    if literals:
        logging.warning('%s: %d statements about a literal left out', path, literals)


def _label(rdf, term) -> str:
    return f'_:{term.value}' if isinstance(term, rdf.BlankNode) else term.value
