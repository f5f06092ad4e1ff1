"""Tables of labels come back as they were, a line a row whatever stands in a label."""

from hypothesis import given
from hypothesis import strategies as st

from mans_jax.data.lines import cell
from mans_jax.exporting.tables import write_labels, write_table
from tests.exporting.conftest import ODD, cells, unescaped


def test_labels_come_back(tmp_path):
    write_labels(tmp_path, ODD, ('likes', 'to\tand fro'))
    heading, *rows = cells(tmp_path / 'entities.tsv')
    assert heading == ['id', 'label']
    assert [(int(i), unescaped(label)) for i, label in rows] == list(enumerate(ODD))
    assert cells(tmp_path / 'relations.tsv')[1:] == [['0', 'likes'], ['1', 'to\\tand fro']]


def test_numbers_truth_and_nothing(tmp_path):
    write_table(tmp_path / 'x.tsv', ('a', 'b', 'c'), [(1, True, None), (0.5, False, 'x')])
    assert (tmp_path / 'x.tsv').read_text() == 'a\tb\tc\n1\ttrue\t\n0.5\tfalse\tx\n'


@given(st.text())
def test_any_label_is_one_cell_and_comes_back(label):
    assert not set('\t\n\r') & set(cell(label))
    assert unescaped(cell(label)) == label
