"""Tests of feature files: what is written is read again, by other libraries too, and is whole or not there."""

import hashlib
import json
import os

import numpy as np
import pytest
import safetensors

from mans_jax.data import features
from mans_jax.encoders import feature_writer
from mans_jax.encoders.rows import Encoded
from mans_jax.errors import InputError

LABELS = ['a', 'b\tc', 'é', 'שלום', '"']
VALUES = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
ENCODED = Encoded(LABELS, VALUES, {'kind': 'text', 'skipped': {'without_text': 1}})


@pytest.mark.parametrize('dtype', ['float32', 'float16'])
def test_both_readers_find_what_was_written(tmp_path, dtype):
    path = tmp_path / 'x.safetensors'
    feature_writer.write(path, ENCODED, dtype=dtype)
    expected = VALUES.astype(dtype)
    read, present = features.read(path, LABELS[::-1])
    np.testing.assert_array_equal(read, expected[::-1])
    assert present.all()
    with safetensors.safe_open(path, 'numpy') as file:
        np.testing.assert_array_equal(file.get_tensor('features'), expected)
        assert json.loads(file.metadata()['labels']) == LABELS
        provenance = json.loads(file.metadata()['provenance'])
    assert {'kind': 'text', 'rows': 5, 'width': 3, 'dtype': dtype}.items() <= provenance.items()
    assert provenance['skipped'] == {'without_text': 1}
    assert provenance['command'][:3] == ['python', '-m', 'mans_jax.features']
    assert os.listdir(tmp_path) == ['x.safetensors']


def test_more_rows_than_are_written_at_once(tmp_path):
    values = np.arange(40_000, dtype=np.float32)[:, None]
    feature_writer.write(tmp_path / 'x.safetensors', Encoded([str(i) for i in range(40_000)], values, {}))
    with safetensors.safe_open(tmp_path / 'x.safetensors', 'numpy') as file:
        np.testing.assert_array_equal(file.get_tensor('features'), values)


@pytest.mark.parametrize(
    ('value', 'dtype', 'message'),
    [
        (np.nan, 'float32', "column 2 of 'é' is nan, not finite in float32; the model or its input is at fault"),
        (-np.inf, 'float16', "column 2 of 'é' is -inf, not finite in float16; the model or its input is at fault"),
        (70000, 'float16', "column 2 of 'é' is 70000, not finite in float16; write float32"),
    ],
)
def test_values_that_are_not_finite_are_refused(tmp_path, value, dtype, message):
    values = VALUES.copy()
    values[2, 2] = value
    with pytest.raises(InputError) as error:
        feature_writer.write(tmp_path / 'x.safetensors', Encoded(LABELS, values, {}), dtype=dtype)
    assert str(error.value) == message
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    path = tmp_path / 'x.safetensors'
    path.mkdir()
    with pytest.raises(InputError) as error:
        feature_writer.write(path, ENCODED)
    assert str(error.value) == f'{path}: cannot be written (Is a directory); free space, then do the same again'
    assert os.listdir(tmp_path) == ['x.safetensors']


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('x.npy', 'the name must end in .safetensors'),
        ('x.safetensors', 'is there already; delete it or choose another name'),
        ('nowhere/x.safetensors', 'no such folder {folder}/nowhere; make it first'),
    ],
)
def test_bad_outputs_are_refused_before_the_work(tmp_path, name, message):
    (tmp_path / 'x.safetensors').touch()
    with pytest.raises(InputError) as error:
        feature_writer.check_output(tmp_path / name)
    assert str(error.value) == f'--output={tmp_path / name}: {message.format(folder=tmp_path)}'
    feature_writer.check_output(tmp_path / 'y.safetensors')


def test_digests(tmp_path):
    (tmp_path / 'x').write_bytes(b'content')
    assert feature_writer.file_digest(tmp_path / 'x') == hashlib.sha256(b'content').hexdigest()
    with pytest.raises(InputError, match=r'nowhere: cannot be read \(No such file or directory\)$'):
        feature_writer.file_digest(tmp_path / 'nowhere')
    digests = {feature_writer.labels_digest(labels) for labels in (None, [], ['ab'], ['a', 'b'], ['b', 'a'])}
    assert len(digests) == 5 and None in digests


def test_versions_of_what_is_not_installed():
    assert feature_writer.versions('numpy', 'no-such-library') == {
        **feature_writer.versions(),
        'numpy': np.__version__,
        'no-such-library': None,
    }
