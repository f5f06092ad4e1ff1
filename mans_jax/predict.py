"""Answers from a trained run: `python -m mans_jax.predict --workdir=RUN --head=LABEL --relation=LABEL`.

Of head, relation and tail the one that is left out is asked for. `--queries=FILE` answers many at once.
"""

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import flags

from mans_jax import command_line
from mans_jax.aligned_text import aligned
from mans_jax.data.lines import cell
from mans_jax.errors import InputError
from mans_jax.prediction.query_file import PLACES, Query, make_query, read_queries

_COLUMNS = (*PLACES, 'asked', 'rank', 'score', 'probability', 'known')
FORMATS = ('table', 'tsv', 'jsonl')
_LABELS = (0, 1, 2, 3)
"""The columns of a table that are no numbers."""
_QUERIES_AT_ONCE = 1024


def define_flags() -> None:
    """Defines the flags; not on import, since flags of one name cannot be defined by two modules."""
    flags.DEFINE_string('workdir', None, 'The folder of the run.')
    for place in PLACES:
        flags.DEFINE_string(place, None, f'The label of the {place}; leave it out to ask for it.')
    flags.DEFINE_string('queries', None, "A TSV file of head, relation and tail, one of them '?', a query a line.")
    flags.DEFINE_integer('top', 10, 'How many answers a query gets.')
    flags.DEFINE_bool('novel', False, 'Leaves known facts out.')
    flags.DEFINE_string('mesh', '', 'Where the tables lie meanwhile, as entity=8; by default on one device.')
    flags.DEFINE_enum(
        'format',
        None,
        FORMATS,
        'What is printed: by default a table on a terminal, and TSV elsewhere.',
    )


def main(_) -> int:
    """Answers the query of the flags or those of a file, on stdout."""
    queries = _queries()
    if flags.FLAGS.top < 1:
        raise InputError(f'--top={flags.FLAGS.top}: at least 1 answer')
    # Imported late: a mistyped flag is answered at once.
    from mans_jax.prediction.predictor import Predictor

    predictor = Predictor.load(flags.FLAGS.workdir, flags.FLAGS.mesh)
    if flags.FLAGS['top'].present:
        _warn_of_too_many(predictor.run.graph, queries, flags.FLAGS.top)
    form = flags.FLAGS.format or ('table' if sys.stdout.isatty() else 'tsv')
    for line in format_lines(answer(predictor, queries, flags.FLAGS.top, flags.FLAGS.novel), form):
        print(line)
    return 0


def answer(predictor, queries: Sequence[Query], k: int, novel: bool) -> Iterator[dict]:
    """The answers to queries in their order, each a dict with the keys of a printed line.

    A query to which no answer is left, which only happens with `novel`, has one with None in place of the answer.

    Args:
        predictor: a `Predictor`.
        queries: labels, checked before the first answer is given.
        k: answers a query.
        novel: whether known facts are left out.

    Raises:
        InputError: a label does not exist, naming where it stands.
    """
    ids = np.array([_ids(predictor, query) for query in queries])
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        yield from _answer_part(predictor, queries[part], ids[part], k, novel)


def _answer_part(predictor, queries, ids, k, novel):
    answers, row_of, largest = {}, {}, _largest(predictor.run.graph)
    asked = np.array([query.asked for query in queries])
    ask: dict[str, Callable] = {'head': predictor.heads, 'relation': predictor.relations, 'tail': predictor.tails}
    for place in np.unique(asked).tolist():
        rows = np.flatnonzero(asked == place)
        given = [ids[rows, i] for i, other in enumerate(PLACES) if other != place]
        answers[place] = ask[place](*given, min(k, largest[place]), novel=novel)
        row_of.update(zip(rows.tolist(), range(len(rows)), strict=True))
    for i, query in enumerate(queries):
        found, row = answers[query.asked], row_of[i]
        of_query = dict(zip(PLACES, query.labels, strict=True)) | {'asked': query.asked}
        places = np.flatnonzero(found.ids[row] >= 0)
        for j in places:
            yield {
                **of_query,
                query.asked: found.labels[row, j],
                'rank': int(found.ranks[row, j]),
                'score': round(float(found.scores[row, j]), 6),
                'probability': round(float(found.probabilities[row, j]), 6),
                'known': bool(found.known[row, j]),
            }
        if not len(places):
            yield of_query | dict.fromkeys(_COLUMNS[len(of_query) :])


def format_lines(answers: Iterator[dict], form: str) -> Iterator[str]:
    """Answers as lines of text in one of FORMATS; all but JSON lines begin with a heading.

    The columns of a table are as wide as all of its lines ask for, so that it is printed when the last answer is there.
    """
    if form == 'jsonl':
        yield from (json.dumps(found, ensure_ascii=False) for found in answers)
        return
    # The first answer before the heading: what is wrong with a query is said before anything is printed.
    cells = ([cell(found[name]) for name in _COLUMNS] for found in answers)
    first = list(itertools.islice(cells, 1))
    lines = itertools.chain([_COLUMNS], first, cells)
    yield from ('\t'.join(line) for line in lines) if form == 'tsv' else [aligned(list(lines), left=_LABELS)]


def _largest(graph) -> dict[str, int]:
    """How many answers there are to a query for each place."""
    return {'head': graph.num_entities, 'relation': graph.num_relations, 'tail': graph.num_entities}


def _warn_of_too_many(graph, queries, k):
    asked = {query.asked for query in queries if k > _largest(graph)[query.asked]}
    there = [f'{graph.num_entities} entities'] if asked & {'head', 'tail'} else []
    there += [f'{graph.num_relations} relations'] if 'relation' in asked else []
    if there:
        print(
            f'warning: --top={k}: there are only {" and ".join(there)}, and all of them are returned', file=sys.stderr
        )


def _queries() -> list[Query]:
    given = [flags.FLAGS[place].value for place in PLACES]
    if flags.FLAGS.queries is None:
        try:
            return [make_query(given)]
        except InputError as error:
            raise InputError(
                f'{error}: give the two others as --head, --relation and --tail, or --queries=FILE'
            ) from None
    if any(value is not None for value in given):
        raise InputError('--queries comes with none of --head, --relation and --tail; write that query into the file')
    return read_queries(Path(flags.FLAGS.queries))


def _ids(predictor, query):
    """The ids of a query's labels, 0 for the one that is asked for."""
    find = (predictor.entity_id, predictor.relation_id, predictor.entity_id)
    try:
        return [0 if label is None else look_up(label) for look_up, label in zip(find, query.labels, strict=True)]
    except InputError as error:
        raise InputError(f'{query.where}{error}') from None


if __name__ == '__main__':
    define_flags()
    command_line.run(main, required=('workdir',))
