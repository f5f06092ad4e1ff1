"""Tests of the text files under every reader."""

import pytest

from mans_jax.data import lines
from mans_jax.errors import InputError


@pytest.mark.parametrize(
    ('data', 'text'),
    [
        (b'', ''),
        (b'\n\n', ''),
        (b'a\nb', 'a\nb\n'),
        (b'a\r\nb\r\n\r\n', 'a\nb\n'),
        (b'\xef\xbb\xbfa\n', 'a\n'),
        (b'a\n\nb\n', 'a\n\nb\n'),
        ('a\u2028b\x85c\x0bd\n'.encode(), 'a\u2028b\x85c\x0bd\n'),
    ],
)
def test_read_makes_line_ends_plain_and_changes_nothing_else(tmp_path, data, text):
    path = tmp_path / 'file.txt'
    path.write_bytes(data)
    assert lines.read(path) == text


@pytest.mark.parametrize('mark', [b'', b'\xef\xbb\xbf'])
def test_read_names_the_line_that_is_not_utf8(tmp_path, mark):
    path = tmp_path / 'file.txt'
    path.write_bytes(mark + b'one\r\ntwo\r\nM\xfcnchen\r\n')
    with pytest.raises(InputError) as error:
        lines.read(path)
    assert str(error.value) == f'{path}, line 3: byte 0xfc is not UTF-8; save the file as UTF-8'


def test_read_refuses_what_is_no_file(tmp_path):
    with pytest.raises(InputError, match=r'absent\.txt: no such file$'):
        lines.read(tmp_path / 'absent.txt')
    with pytest.raises(InputError, match='Is a directory'):
        lines.read(tmp_path)


def test_quote_keeps_any_text_on_one_short_line():
    assert lines.quote('a\nb\t') == r"'a\nb\t'"
    assert len(lines.quote('x' * 1000)) == 62
    assert lines.quote('x' * 60) == repr('x' * 60)


def test_only_a_line_feed_ends_a_line(tmp_path):
    path = tmp_path / 'x.txt'
    path.write_bytes('a\u2028b\tc\x0bd\r\n\x85e\n\nf'.encode())
    assert list(lines.numbered(path)) == [(1, 'a\u2028b\tc\x0bd'), (2, '\x85e'), (3, ''), (4, 'f')]
    path.write_bytes(b'')
    assert list(lines.numbered(path)) == []
