"""Tests of feature matrices: what is missing is marked, what is wrong is refused."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mans_jax.data import features
from mans_jax.errors import InputError

NAN = np.nan


def read(path, num_entities):
    return features.read(path, [f'e{i}' for i in range(num_entities)])


def save(path, array, **options):
    np.save(path, array, **options)
    return path


@pytest.mark.parametrize('dtype', ['<f2', '<f4', '<f8', '>f4'])
@pytest.mark.parametrize('order', ['C', 'F'])
def test_values_are_read_and_rows_with_nan_are_missing(tmp_path, dtype, order):
    stored = np.array([[1.5, -2.0, 0.25], [NAN, NAN, NAN], [0.0, 0.0, 0.0], [1.0, NAN, 3.0]], dtype=dtype, order=order)
    matrix, present = read(save(tmp_path / 'x.npy', stored), 4)
    assert matrix.dtype == np.float32 and matrix.flags.c_contiguous and matrix.flags.writeable
    assert type(matrix) is np.ndarray  # Not a map of the file, which may change or vanish.
    assert matrix.tolist() == [[1.5, -2.0, 0.25], [0.0] * 3, [0.0] * 3, [0.0] * 3]
    assert present.dtype == bool and present.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ('dtype', 'changed', 'labels', 'stays'),
    [
        ('<f4', 1.0, None, True),
        ('<f4', 1.0, 'e0 e1 e2', True),
        ('<f4', NAN, None, False),
        ('<f4', 1.0, 'e0 e2 e1', False),
        ('<f4', 1.0, 'e0 e1 e2 other', False),
        ('>f4', 1.0, None, False),
        ('<f2', 1.0, None, False),
    ],
    ids=['whole', 'labels', 'missing', 'other_order', 'another_label', 'other_bytes', 'float16'],
)
def test_features_stay_in_the_file_only_where_it_has_them_as_they_are_returned(tmp_path, dtype, changed, labels, stays):
    number = len(labels.split()) if labels else 3
    stored = np.arange(2 * number, dtype=dtype).reshape(number, 2)
    stored[1, 0] = changed
    path = save(tmp_path / 'x.npy', stored)
    if labels:
        (tmp_path / 'x.labels.txt').write_text(labels.replace(' ', '\n') + '\n')
    entities = ['e0', 'e1', 'e2']
    matrix, present = features.read(path, entities, mapped=True)
    expected, expected_present = features.read(path, entities)
    np.testing.assert_array_equal(matrix, expected)
    np.testing.assert_array_equal(present, expected_present)
    assert isinstance(matrix, np.memmap) == stays and matrix.dtype == np.float32


def test_an_infinite_value_is_refused_where_features_stay_in_the_file(tmp_path):
    path = save(tmp_path / 'x.npy', np.array([[1, 2], [3, np.inf]], np.float32))
    with pytest.raises(InputError, match='row 1, column 1: inf is infinite in float32'):
        features.read(path, ['e0', 'e1'], mapped=True)


@pytest.mark.parametrize(
    ('stored', 'message'),
    [
        (np.ones((4, 2), np.float32), '{path}: 4 rows for 3 entities'),
        (np.ones((2, 2), np.float32), '{path}: 2 rows for 3 entities'),
        (np.ones((0, 2), np.float32), '{path}: 0 rows for 3 entities'),
        (np.ones((3, 0), np.float32), '{path}: shape (3, 0)'),
        (np.ones(3, np.float32), '{path}: shape (3,)'),
        (np.ones((3, 1, 2), np.float32), '{path}: shape (3, 1, 2)'),
        (np.float32(1), '{path}: shape ()'),
        (np.ones((3, 2), np.int64), '{path}: dtype int64'),
        (np.ones((3, 2), bool), '{path}: dtype bool'),
        (np.ones((3, 2), np.complex64), '{path}: dtype complex64'),
        (np.full((3, 2), 'x'), '{path}: dtype <U1'),
        (np.full((3, 2), NAN, np.float16), '{path}: no usable row, each of the 3 holds a NaN'),
        (np.array([[1, 1], [1, np.inf], [1, 1]], np.float32), '{path}: row 1, column 1: inf is infinite'),
        (np.array([[1, 1], [1, 1], [-np.inf, NAN]], np.float16), '{path}: row 2, column 0: -inf is infinite'),
        (np.array([[1, 1], [NAN, NAN], [1, 1e300]]), '{path}: row 2, column 1: 1e+300 is infinite in float32'),
    ],
)
def test_bad_matrices_are_refused(tmp_path, stored, message):
    path = save(tmp_path / 'x.npy', stored)
    with pytest.raises(InputError) as error:
        read(path, 3)
    assert str(error.value).startswith(message.format(path=path))
    assert '\n' not in str(error.value)


class Bomb:
    """Unpickling one is an error that no reader catches."""

    def __reduce__(self):
        return (pytest.fail, ('a pickle was run',))


def test_pickles_are_refused_unread(tmp_path):
    objects = np.array([[Bomb()], [Bomb()]], dtype=object)
    path = save(tmp_path / 'x.npy', objects, allow_pickle=True)
    with pytest.raises(InputError, match=r'x\.npy: not a whole \.npy file of numbers'):
        read(path, 2)
    objects.dump(path)
    with pytest.raises(InputError, match=r'x\.npy: not a whole \.npy file of numbers'):
        read(path, 2)


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, np.ones((3, 2)))
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(6, dtype=np.float32).reshape(3, 2))
    return buffer.getvalue()


@pytest.mark.parametrize('data', [b'', b'0.1 0.2\n0.3 0.4\n', npz(), npy()[:-1], npy()[:20]])
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / 'x.npy'
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        read(path, 3)
    assert str(error.value).startswith(f'{path}: not a whole .npy file of numbers')
    assert '\n' not in str(error.value)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r'absent\.npy: no such file'):
        read(tmp_path / 'absent.npy', 3)
    (tmp_path / 'folder.npy').mkdir()
    with pytest.raises(InputError, match='Is a directory'):
        read(tmp_path / 'folder.npy', 3)
    (tmp_path / 'x.txt').touch()
    with pytest.raises(InputError, match=r'x\.txt: the ending tells no format of features; known: \.npy, '):
        read(tmp_path / 'x.txt', 3)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 90), st.integers(0, 3), st.binary(max_size=4))
def test_a_damaged_header_is_refused_or_harmless(tmp_path, position, length, patch):
    path = tmp_path / 'x.npy'
    path.write_bytes(npy()[:position] + patch + npy()[position + length :])
    try:
        matrix, present = read(path, 3)
    except InputError as error:
        assert '\n' not in str(error)
    else:
        assert matrix.shape[0] == 3 and np.isfinite(matrix).all() and present.any()
