"""`python -m mans_jax.predict`: what it prints, and how it answers bad input."""

import json
import re
import shutil

import numpy as np
import pytest

from tests.graphs import quick_programs, train_short_run
from tests.processes import command_line_of, refusal

COLUMNS = ['head', 'relation', 'tail', 'asked', 'rank', 'score', 'probability', 'known']
LOOK = ('--head=entity_1', '--relation=relation_0')


@pytest.fixture(scope='module')
def programs(tmp_path_factory):
    return tmp_path_factory.getbasetemp() / 'programs'


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, programs):
    return train_short_run(tmp_path_factory.mktemp('trained'), programs)


@pytest.fixture(scope='module')
def predict(workdir, programs):
    """(*arguments, workdir) -> Done."""
    with command_line_of('mans_jax.predict', 'mans_jax.prediction.predictor', programs) as run:
        yield lambda *arguments, workdir=workdir: run(f'--workdir={workdir}', *arguments)


@pytest.fixture(scope='module')
def predictor(workdir, programs):
    from mans_jax.prediction.predictor import Predictor

    with quick_programs(programs):
        return Predictor.load(workdir)


def table(done):
    assert done.code == 0, done.stderr
    heading, *rows = (line.split('\t') for line in done.stdout.splitlines())
    assert heading == COLUMNS
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def test_a_table_of_the_best_answers(predict, predictor):
    rows = table(predict(*LOOK, '--top=3'))
    want = predictor.tails('entity_1', 'relation_0', 3)
    assert [row['tail'] for row in rows] == want.labels[0].tolist()
    assert [row['rank'] for row in rows] == ['1', '2', '3']
    assert [float(row['score']) for row in rows] == pytest.approx(want.scores[0].tolist(), abs=1e-5)
    assert [float(row['probability']) for row in rows] == pytest.approx(want.probabilities[0].tolist(), abs=1e-5)
    assert [row['known'] for row in rows] == [str(x).lower() for x in want.known[0]]
    assert {(row['head'], row['relation'], row['asked']) for row in rows} == {('entity_1', 'relation_0', 'tail')}


def test_json_lines_say_the_same_and_novel_leaves_facts_out(predict, predictor):
    query = ('--relation=relation_0', '--tail=entity_2')
    lines = [json.loads(line) for line in predict(*query, '--format=jsonl', '--top=40').stdout.splitlines()]
    assert [list(line) for line in lines] == [COLUMNS] * 40
    assert [(str(line['rank']), line['head']) for line in lines] == [
        (row['rank'], row['head']) for row in table(predict(*query, '--top=40'))
    ]
    novel = [json.loads(line) for line in predict(*query, '--format=jsonl', '--top=40', '--novel').stdout.splitlines()]
    assert any(line['known'] for line in lines)
    assert [line['head'] for line in novel] == [line['head'] for line in lines if not line['known']]


def test_a_file_is_answered_in_its_order(predict, tmp_path):
    queries = [('entity_3', 'relation_1', '?'), ('', 'relation_1', 'entity_3'), ('entity_3', '?', 'entity_4')]
    queries = [*queries, queries[0], ('entity_5', 'relation_2', '')]
    lines = ['\t'.join(query) for query in queries]
    (tmp_path / 'plain.tsv').write_text('\n'.join(lines) + '\n')
    (tmp_path / 'heading.tsv').write_text('\r\n'.join(['Head\tRelation\ttail', *lines, '', '']))
    done = predict(f'--queries={tmp_path / "plain.tsv"}', '--top=2')
    rows = table(done)
    assert [row['asked'] for row in rows[::2]] == ['tail', 'head', 'relation', 'tail', 'tail']
    assert [row['rank'] for row in rows] == ['1', '2'] * 5
    for query, row in zip(queries, rows[::2], strict=True):
        assert all(label in ('', '?', row[place]) for place, label in zip(COLUMNS, query, strict=False))
    assert rows[0:2] == rows[6:8]
    assert predict(f'--queries={tmp_path / "heading.tsv"}', '--top=2').stdout == done.stdout


def test_more_answers_than_there_are_is_said_once(predict, tmp_path):
    (tmp_path / 'q.tsv').write_text('entity_3\trelation_1\t?\nentity_3\t?\tentity_4\nentity_4\trelation_1\t?\n')
    done = predict(f'--queries={tmp_path / "q.tsv"}', '--top=50')
    assert len(table(done)) == 40 + 8 + 40
    assert re.findall('.*returned.*', done.stderr) == [
        'warning: --top=50: there are only 40 entities and 8 relations, and all of them are returned'
    ]
    # Nobody asked for 10 of 8 relations.
    done = predict('--head=entity_1', '--tail=entity_2')
    assert len(table(done)) == 8 and 'returned' not in done.stderr


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((), 'of head, relation and tail exactly one must be open, but head and relation and tail are open: give'),
        (('--head=entity_1',), 'of head, relation and tail exactly one must be open, but relation and tail are open:'),
        ((*LOOK, '--tail=entity_2'), 'of head, relation and tail exactly one must be open, but none is: '),
        ((*LOOK, '--queries=q.tsv'), '--queries comes with none of --head, --relation and --tail'),
        ((*LOOK, '--top=0'), '--top=0: at least 1 answer'),
        ((*LOOK, '--top=x'), 'flag --top=x: invalid literal'),
        ((*LOOK, '--format=csv'), 'flag --format=csv: value should be one of <table|tsv|jsonl>'),
        ((*LOOK, '--mesh=entity=8'), "config.mesh is 'entity=8', which has 8 places, but there are 1 devices: "),
        (('--queries=no/such.tsv',), 'no/such.tsv: no such file'),
        (('--head=entity_99', '--relation=relation_0'), "no entity is called 'entity_99'; did you mean 'entity_9'"),
        (('--head=entity_1', '--relation=relaton_0'), "no relation is called 'relaton_0'; did you mean 'relation_0'"),
    ],
)
def test_bad_flags(predict, arguments, message):
    assert refusal(predict(*arguments)).startswith(message)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', "FILE: no query in it; write head, relation and tail, parted by tabs, one of them '?'"),
        ('\n\n', 'FILE: no query in it; '),
        ('head\trelation\ttail\n', 'FILE: no query in it; '),
        (
            'entity_1\trelation_0\t?\nentity_1\trelation_0\n',
            'FILE, line 2: 2 columns where head, relation and tail are',
        ),
        ('entity_1\n', 'FILE, line 1: 1 column where head, relation and tail are wanted, parted by tabs'),
        ('a\tb\tc\td\n', 'FILE, line 1: 4 columns where'),
        ('entity_1\trelation_0\t?\n\nentity_1\trelation_0\t?\n', 'FILE, line 2: 1 column where'),
        ('entity_1\t?\t\n', 'FILE, line 1: of head, relation and tail exactly one must be open, but relation and tail'),
        ('head\trelation\ttail\nentity_1\trelation_0\tentity_2\n', 'FILE, line 2: of head, relation and tail exactly'),
        (
            'entity_1\trelation_0\t?\n?\trelation_0\tentty_2\n',
            "FILE, line 2: no entity is called 'entty_2'; did you mean 'entity_2'",
        ),
        ('entity_1\trelation_0\t\xff\n', 'FILE, line 1: byte 0xff is not UTF-8; save the file as UTF-8'),
    ],
)
def test_bad_query_files(predict, tmp_path, text, message):
    path = tmp_path / 'queries.tsv'
    path.write_bytes(text.encode('latin-1'))
    found = refusal(predict(f'--queries={path}'))
    assert found.startswith(message.replace('FILE', str(path))), found


def spoil_version(workdir):
    for path in workdir.glob('checkpoints/*/record/metadata'):
        path.write_text(json.dumps({**json.loads(path.read_text()), 'version': 99}))


def spoil_half(workdir):
    """As a process that is killed in its first save leaves it."""
    for path in workdir.glob('checkpoints/*'):
        path.rename(f'{path}.orbax-checkpoint-tmp')


def spoil_bytes(workdir):
    for path in workdir.glob('checkpoints/*/state'):
        largest = max(path.rglob('*'), key=lambda path: path.stat().st_size)
        largest.write_bytes(largest.read_bytes()[:-100])


SPOILT_RUNS = {
    'no run': (shutil.rmtree, 'RUN: no run in this folder, as it has no config.json; name the --workdir of one'),
    'no checkpoint': (
        lambda workdir: shutil.rmtree(workdir / 'checkpoints'),
        'RUN: no checkpoint of this run is there; train it first',
    ),
    'half written': (spoil_half, 'RUN: no checkpoint of this run is there; train it first'),
    'cut off': (spoil_bytes, 'RUN/checkpoints/STEP: the checkpoint is damaged or not of mans_jax ('),
    'newer version': (
        spoil_version,
        'RUN/checkpoints/STEP: the checkpoint has format version 99 and this mans_jax reads up to 1; install a newer',
    ),
    'newer config': (
        lambda workdir: (workdir / 'config.json').write_text('{"data": "digits", "flux": 1}'),
        "RUN/config.json: 'flux' is not a known field; ",
    ),
}
"""What may be wrong with the workdir of a run: how it is made so, and what the line says."""


@pytest.mark.parametrize('fault', SPOILT_RUNS)
def test_bad_runs(predict, workdir, tmp_path, fault):
    spoil, message = SPOILT_RUNS[fault]
    spoilt = shutil.copytree(workdir, tmp_path / 'run')
    spoil(spoilt)
    found = refusal(predict(*LOOK, workdir=spoilt))
    assert re.match(re.escape(message).replace('RUN', re.escape(str(spoilt))).replace('STEP', '[0-9]+'), found), found


def test_a_query_without_an_answer_left_is_told_so():
    """In a graph where every entity is known to answer it."""
    from types import SimpleNamespace

    from mans_jax.predict import answer, format_lines
    from mans_jax.prediction.query_file import make_query

    nothing = SimpleNamespace(ids=np.full((1, 2), -1))
    predictor = SimpleNamespace(
        run=SimpleNamespace(graph=SimpleNamespace(num_entities=2, num_relations=1)),
        **dict.fromkeys(('heads', 'relations', 'tails'), lambda *ids, novel: nothing),
        entity_id=lambda label: 0,
        relation_id=lambda label: 0,
    )
    found = list(answer(predictor, [make_query(['a', 'r', '?'])], 2, novel=True))
    assert [list(line) for line in found] == [COLUMNS]
    assert found[0] == dict.fromkeys(COLUMNS) | {'head': 'a', 'relation': 'r', 'asked': 'tail'}
    assert list(format_lines(iter(found), 'tsv'))[1].split('\t') == ['a', 'r', '', 'tail', '', '', '', '']


def test_a_table_for_a_terminal(predict):
    lines = predict(*LOOK, '--top=12', '--format=table').stdout.splitlines()
    rows = [line.split('\t') for line in predict(*LOOK, '--top=12').stdout.splitlines()]
    assert [line.split() for line in lines] == rows
    # Labels begin, and numbers end, in the same place.
    for place, name in ((1, 'relation'), (2, 'tail'), (3, 'asked')):
        assert {line.index(row[place], 9) for line, row in zip(lines, rows, strict=True)} == {lines[0].index(name)}
    assert len({len(line) for line in lines[1:]}) <= 2


def test_a_label_cannot_end_a_cell_or_a_line():
    from mans_jax.predict import format_lines

    found = dict.fromkeys(COLUMNS, 0) | {'head': 'a\tb\nc\\d', 'known': True}
    heading, line = format_lines(iter([found]), 'tsv')
    assert heading.split('\t') == COLUMNS
    assert line.split('\t') == ['a\\tb\\nc\\\\d', *['0'] * 6, 'true']
