"""Tests of CSV, headings, N-Triples and compression: one graph in every form, and what is wrong is named."""

import csv
import gzip
import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mans_jax.data import extras, labelled, load_graph, openke
from mans_jax.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROWS = [('a b', 'r', 'ü'), ('ü', 's', 'שלום עולם'), ('a b', 's', 'ü'), ('مرحبا', 'r', 'a b')]
COMPRESS = {'': bytes, '.gz': gzip.compress, '.zst': zstd.compress}
LABEL = st.text(st.characters(codec='utf-8', exclude_characters='\n\r\x00'), min_size=1, max_size=6)


def tsv(rows):
    return ''.join('\t'.join(row) + '\n' for row in rows).encode()


def csv_of(rows):
    buffer = io.StringIO(newline='')
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def labels_of(read):
    entities, relations, rows = read
    return [(entities[h], relations[r], entities[t]) for h, r, t in rows]


def refusal(path, data):
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        labelled.read_file(path)
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('compression', COMPRESS)
@pytest.mark.parametrize(('suffix', 'write'), [('.tsv', tsv), ('.txt', tsv), ('.csv', csv_of)])
def test_every_form_holds_the_same_triples(tmp_path, suffix, write, compression):
    path = tmp_path / f'graph{suffix}{compression}'
    path.write_bytes(COMPRESS[compression](write(ROWS)))
    entities, relations, rows = labelled.read_file(path)
    assert labels_of((entities, relations, rows)) == ROWS and rows.dtype == np.int32
    assert entities == ('a b', 'ü', 'שלום עולם', 'مرحبا') and relations == ('r', 's')


@pytest.mark.parametrize(('suffix', 'write'), [('.tsv', tsv), ('.csv', csv_of)])
@pytest.mark.parametrize(
    'heading',
    [
        ('head', 'relation', 'tail'),
        ('Tail', ' HEAD', 'relation'),
        ('object', 'subject', 'Predicate'),
        ('r', 'h', 't'),
        ('weight', 'tail', 'head', 'note', 'relation'),
    ],
)
def test_a_heading_tells_the_columns(tmp_path, suffix, write, heading):
    names = [name.strip().lower() for name in heading]
    position = {'head': 0, 'subject': 0, 'h': 0, 'relation': 1, 'predicate': 1, 'r': 1, 'tail': 2, 'object': 2, 't': 2}
    table = [[row[position[name]] if name in position else '' for name in names] for row in ROWS]
    path = tmp_path / f'graph{suffix}'
    path.write_bytes(b'\xef\xbb\xbf' + write([heading, *table]))
    assert labels_of(labelled.read_file(path)) == ROWS


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(LABEL, LABEL, LABEL), min_size=1, max_size=20))
def test_csv_keeps_tabs_commas_and_quotes(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp('csv') / 'graph.csv'
    path.write_bytes(csv_of(rows))
    assert labels_of(labelled.read_file(path)) == rows


@pytest.mark.parametrize(
    ('name', 'data', 'message'),
    [
        ('x.csv', b'a,r,b\na,r\n', "line 2: 'a,r' has 2 columns separated by commas"),
        ('x.csv', b'head,relation,tail\na,r,b\nc,r\n', "line 3: 'c,r' has 2 columns separated by commas"),
        ('x.csv', b'head,relation\na,r\n', "line 1: the heading has no column 'tail'"),
        ('x.csv', b'head,relation,head,tail\n', "line 1: the heading names 'head' 2 times"),
        ('x.csv', b'a,r,b\na,,b\n', "line 2: 'a,,b' has an empty label"),
        ('x.csv', b'a,r,"b\nc"\n', "line 2: 'a,r,b\\nc' has a line break in a label"),
        ('x.csv', b'a,r,b\na,r,"b"c\n', 'line 2: not a row of CSV'),
        ('x.csv', b'a,r,b\na,r,"b\n', 'line 2: not a row of CSV'),
        ('x.csv', b'', 'no triple'),
        ('x.csv', b'head,relation,tail\n', 'no triple'),
        ('x.csv', b'a,r,b\n\xff,r,b\n', 'line 2: byte 0xff is not UTF-8'),
        ('x.tsv', b'head\trelation\ttail\n', 'no triple'),
        ('x.tsv', b'tail\thead\trelation\na\tr\tb\na\tr\n', r"line 3: 'a\tr' has 2 columns separated by tabs"),
        ('x.tsv', b'a\tb\tr\tc\n', r"line 1: 'a\tb\tr\tc' has 4 columns separated by tabs"),
        ('x.nt', b'<http://a> <http://r> <http://b> .\n<http://a> b c .\n', 'line 2: not a statement of N-Triples'),
        (
            'x.nt',
            b'<http://a> <http://r> <http://b> .\n<http://a> <http://r>\n',
            'line 2: not a statement of N-Triples',
        ),
        ('x.nt', b'<http://a> <http://r> <http://b>\n' * 2, 'line 1: not a statement of N-Triples'),
        ('x.nt', b'<http://a> <http://r> "text" .\n', 'no triple'),
        ('x.nt', b'<http://a> <http://r> <http://\xff> .\n', 'line 1: not a statement of N-Triples'),
    ],
)
def test_bad_lines_are_named_with_their_place(tmp_path, name, data, message):
    path = tmp_path / name
    said = refusal(path, data)
    assert said.startswith(f'{path}, {message}' if message.startswith('line') else f'{path}: {message}')


@pytest.mark.parametrize('suffix', ['.tsv', '.csv', '.nt'])
@pytest.mark.parametrize('compression', ['.gz', '.zst'])
def test_damaged_compression_is_refused(tmp_path, suffix, compression):
    statement = '<http://{0}> <http://r> <http://{0}> .' if suffix == '.nt' else '{0}\tr\t{0}'
    text = '\n'.join(statement.format(i) for i in range(3000))
    data = COMPRESS[compression]((text.replace('\t', ',') if suffix == '.csv' else text).encode())
    path = tmp_path / f'x{suffix}{compression}'
    for cut in (len(data) - 3, len(data) // 2, 9):
        assert refusal(path, data[:cut]).startswith(f'{path}: the compressed data is cut off')
    assert refusal(path, b'a\tr\tb\n').startswith(f'{path}: not a whole {compression} file')


def test_ntriples_keep_blank_nodes_and_count_literals(tmp_path, caplog):
    path = tmp_path / 'x.nt.gz'
    statements = [
        '<http://a> <http://r> <http://b\\u00fc> .',
        '# nothing',
        '<http://a> <http://name> "A"@en .',
        '_:x <http://r> <http://a> . # said',
        '<http://a> <http://age> "3"^^<http://www.w3.org/2001/XMLSchema#integer> .',
    ]
    path.write_bytes(gzip.compress('\n'.join(statements).encode()))
    with caplog.at_level('WARNING'):
        read = labelled.read_file(path)
    assert labels_of(read) == [('http://a', 'http://r', 'http://bü'), ('_:x', 'http://r', 'http://a')]
    assert read[1] == ('http://r',)
    assert f'{path}: 2 statements about a literal left out' in caplog.text


def test_blocks_of_a_file_are_read_as_one(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [tuple(f'{kind}{i}' for kind, i in zip('ere', ids, strict=True)) for ids in rng.integers(40, size=(500, 3))]
    path = tmp_path / 'x.tsv'
    path.write_bytes(b'head\trelation\ttail\r\n' + tsv(rows).replace(b'\n', b'\r\n') + b'\r\n\r\n')
    whole = labelled.read_file(path)
    monkeypatch.setattr('mans_jax.data.lines._BLOCK_BYTES', 17)
    parts = labelled.read_file(path)
    assert whole[:2] == parts[:2] and labels_of(whole) == labels_of(parts) == rows
    path.write_bytes(tsv(rows) + b'\n\n\na\tr\n')
    with pytest.raises(InputError, match=r"x\.tsv, line 501: '' has 1 columns"):
        labelled.read_file(path)
    path.write_bytes(tsv(rows) + b'a\tr\t\xff\n')
    with pytest.raises(InputError, match=r'x\.tsv, line 501: byte 0xff is not UTF-8'):
        labelled.read_file(path)


def test_labels_with_the_same_hash_are_told_apart(tmp_path, monkeypatch):
    from mans_jax.data import labels

    honest = labels._hashes
    seeds = []

    def colliding(block, seed):
        seeds.append(seed)
        first, second = honest(block, seed)
        return first % np.uint64(3 if seed < 2 else 2**63), second

    monkeypatch.setattr(labels, '_hashes', colliding)
    path = tmp_path / 'x.tsv'
    path.write_bytes(tsv(ROWS))
    assert labels_of(labelled.read_file(path)) == ROWS
    assert set(seeds) == {0, 1, 2}


def test_labels_of_every_length_are_told_apart(tmp_path, monkeypatch):
    # Lengths around the size of a word, and labels that differ in one byte, hashed a few at a time.
    monkeypatch.setattr('mans_jax.data.labels._LABELS', 7)
    texts = ['x' * n for n in range(1, 36)]
    texts += [('x' * n)[:place] + 'y' + ('x' * n)[place + 1 :] for n in (1, 7, 8, 9, 24, 25) for place in range(n)]
    rows = [(text, f'r{i % 3}', texts[i - 7]) for i, text in enumerate(texts)]
    path = tmp_path / 'x.tsv'
    path.write_bytes(tsv(rows))
    assert len(texts) == len(set(texts)) == len(labelled.read_file(path)[0])
    assert labels_of(labelled.read_file(path)) == rows
    # Labels that all have whole words alone, the shortest path.
    rows = [(text.rjust(40), 'r' * 8, text.rjust(40)) for text in texts]
    path.write_bytes(tsv(rows))
    assert labels_of(labelled.read_file(path)) == rows


def test_openke_may_be_compressed(tmp_path):
    files = {
        'entity2id': '2\na 0\nb 1\n',
        'relation2id': '1\nr 0\n',
        'train2id': '1\n0 1 0\n',
        'valid2id': '1\n1 0 0\n',
    }
    for i, (name, text) in enumerate((files | {'test2id': '1\n1 1 0\n'}).items()):
        compression = list(COMPRESS)[i % 3]
        (tmp_path / f'{name}.txt{compression}').write_bytes(COMPRESS[compression](text.encode()))
    entities, relations, triples = openke.read(tmp_path)
    assert (entities, relations) == (('a', 'b'), ('r',)) and triples['test'].tolist() == [[1, 0, 1]]
    assert load_graph(tmp_path)[0].entities == ('a', 'b')
    (tmp_path / 'entity2id.txt.zst').write_bytes(b'')
    with pytest.raises(InputError, match=r'entity2id\.txt and entity2id\.txt\.zst both exist'):
        openke.read(tmp_path)


def test_a_missing_library_is_one_line_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyoxigraph', None)
    path = tmp_path / 'x.nt'
    said = refusal(path, b'<http://a> <http://r> <http://b> .\n')
    assert said == f"{path}: pyoxigraph is needed to read it: pip install '.[formats]'"
    assert set(extras._INSTALL) >= {'h5py', 'pyarrow', 'backports.zstd', 'torch'}
