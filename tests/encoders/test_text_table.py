"""Tests of texts in columns: what is joined, what is empty, and what is refused."""

import gzip

import pytest

from mans_jax.encoders import text_table
from mans_jax.errors import InputError


def write(tmp_path, text):
    path = tmp_path / 'texts.tsv'
    path.write_text(text, encoding='utf-8')
    return path


def test_columns_are_joined_and_blank_ones_left_out(tmp_path):
    path = write(tmp_path, 'a\tname\tmore\r\nשלום\t\tonly\nc\tname\t \n\n')
    found = text_table.read(path)
    assert found == (['a', 'שלום', 'c'], ['name. more', 'only', 'name'], [])
    assert text_table.read(path, separator=' | ').texts[0] == 'name | more'


def test_entities_without_a_text_are_named(tmp_path):
    found = text_table.read(write(tmp_path, 'a\t\t\nb\tname\t\nc\t \t \n'))
    assert found == (['b'], ['name'], ['a', 'c'])


def test_the_first_column_may_hold_ids(tmp_path):
    path = write(tmp_path, '2\tthree\n0\tone\n')
    assert text_table.read(path, ids_of=['x', 'y', 'z']).labels == ['z', 'x']


def test_compressed_files_are_read(tmp_path):
    path = tmp_path / 'texts.tsv.gz'
    path.write_bytes(gzip.compress(b'a\tname\n'))
    assert text_table.read(path).texts == ['name']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a\tx\nb\n', ', line 2: \'b\' has no text behind a tab, expected "label<TAB>text"'),
        ('a\tx\n\nb\ty\n', ', line 2: \'\' has no label, expected "label<TAB>text"'),
        ('\tx\n', ', line 1: \'\\tx\' has no label, expected "label<TAB>text"'),
        ('a\tx\nb\ty\tz\n', ", line 2: 'b\\ty\\tz' has 3 columns, the first line 2; keep empty ones too"),
        ('a\tx\ty\nb\tz\n', ", line 2: 'b\\tz' has 2 columns, the first line 3; keep empty ones too"),
        ('a\tx\nb\ty\na\tz\n', ", line 3: 'a' stands in line 1 already; keep one"),
        ('a\t\nb\t \n', ': no text in it; a line is "label<TAB>text"'),
        ('', ': no text in it; a line is "label<TAB>text"'),
    ],
)
def test_bad_lines_are_refused(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as error:
        text_table.read(path)
    assert str(error.value) == f'{path}{message}'


@pytest.mark.parametrize('key', ['2', '-1', 'x', '１', '0x0', ''])
def test_bad_ids_are_refused(tmp_path, key):
    path = write(tmp_path, f'0\tx\n{key}\ty\n')
    with pytest.raises(InputError) as error:
        text_table.read(path, ids_of=['a', 'b'])
    reason = f'{key!r} is not an entity id, a number in [0, 2)' if key else "'\\ty' has no label, expected"
    assert str(error.value).startswith(f'{path}, line 2: {reason}')


def test_text_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / 'x.tsv').write_bytes(b'a\tx\nb\t\xff\n')
    with pytest.raises(InputError, match=r'x.tsv, line 2: byte 0xff is not UTF-8; save the file as UTF-8$'):
        text_table.read(tmp_path / 'x.tsv')


def test_an_id_of_any_length_is_refused_in_one_line(tmp_path):
    path = tmp_path / 'x.tsv'
    path.write_text('9' * 5000 + '\ttext\n')
    with pytest.raises(InputError, match=r"line 1: '9+\.\.\.' is not an entity id, a number in \[0, 2\)$"):
        text_table.read(path, ids_of=['a', 'b'])
