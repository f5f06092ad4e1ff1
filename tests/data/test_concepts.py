"""Concepts from a file: what is written is read, and what is wrong is named with its place."""

import pytest

from mans_jax.data import concepts
from mans_jax.errors import InputError

ENTITIES = ('a', 'b', 'c c')


def write(folder, text):
    (folder / 'concepts.tsv').write_text(text)
    return folder / 'concepts.tsv'


def test_what_is_written_is_read_and_strangers_are_named(tmp_path, caplog):
    path = write(tmp_path, 'c c\tcity\na\ttown\nz\tcity\nc c\ttown\na\ttown\ny\triver\n')
    entity, concept = concepts.read(path, ENTITIES)
    assert list(zip(entity.tolist(), concept.tolist(), strict=True)) == [(2, 0), (0, 1), (2, 1)]
    said = f"{path}: 2 labels are no entity and left out: 'z', 'y'; 1 of 3 entities have no concept"
    assert said in caplog.text


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a\tx\nb\n', ', line 2: \'b\', expected "entity<TAB>concept"'),
        ('a\tx\ty\n', ', line 1: \'a\\tx\\ty\', expected "entity<TAB>concept"'),
        ('\tx\n', ', line 1: \'\\tx\', expected "entity<TAB>concept"'),
        ('a\t\n', ', line 1: \'a\\t\', expected "entity<TAB>concept"'),
        ('z\tx\n', ": no line is about an entity of the graph: the file has 'z'; the graph has 'a', 'b', 'c c'"),
        ('', ": no line is about an entity of the graph: the graph has 'a', 'b', 'c c'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as error:
        concepts.read(path, ENTITIES)
    assert str(error.value) == f'{path}{message}'


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match='none.tsv: no such file'):
        concepts.read(tmp_path / 'none.tsv', ENTITIES)
