"""Tests of vectors by image id, as MMKG publishes those of VGG16."""

import h5py
import numpy as np
import pytest

from mans_jax.encoders import image_vectors
from mans_jax.errors import InputError

VECTORS = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)


@pytest.fixture
def files(tmp_path):
    path, index = tmp_path / 'FB15K_ImageData.h5', tmp_path / 'FB15K_ImageIndex.txt'
    with h5py.File(path, 'w') as file:
        for i, vector in enumerate(VECTORS):
            file[f'FBIMG0000{i}'] = vector[None]
    index.write_text('/m/b\tFBIMG00001\n/m/a\tFBIMG00000\n/m/b\tFBIMG00003\n/m/c\tFBIMG00009\n/m/b\tFBIMG00001\n')
    return path, index


def refusal(*arguments, **options):
    with pytest.raises(InputError) as error:
        image_vectors.encode(*arguments, **options)
    return str(error.value)


def test_the_mean_of_an_entitys_images(files, caplog):
    path, index = files
    labels, values, record = image_vectors.encode(path, index)
    assert labels == ['/m/b', '/m/a'] and values.dtype == np.float32
    np.testing.assert_allclose(values, [(VECTORS[1] + VECTORS[3]) / 2, VECTORS[0]], rtol=1e-6)
    assert record['skipped'] == {'missing': ['FBIMG00009'], 'without_image': 1, 'not_in_graph': 0}
    assert caplog.messages == [
        f"{path}: 1 images are not there: 'FBIMG00009'",
        f"{path}: 1 entities have no image: '/m/c'",
    ]


def test_rows_of_a_graph(files):
    labels, values, _ = image_vectors.encode(*files, entities=['/m/a', '/m/b'])
    assert labels == ['/m/a', '/m/b']
    np.testing.assert_array_equal(values[0], VECTORS[0])


def test_files_that_cannot_be_used_are_refused(files, tmp_path):
    path, index = files
    assert refusal(tmp_path / 'x.h5', index) == f'{tmp_path / "x.h5"}: no such file'
    (tmp_path / 'x.h5').write_bytes(b'no HDF5')
    said = refusal(tmp_path / 'x.h5', index)
    assert said.startswith(f'{tmp_path / "x.h5"}: not a whole HDF5 file (') and said.endswith(
        'copy or download it again'
    )
    index.write_text('a\tx\n')
    assert refusal(path, index) == f"{path}: none of the 1 images of {index} is in it: 'x'"


def test_vectors_that_cannot_be_used_are_refused(files):
    path, index = files
    with h5py.File(path, 'a') as file:
        file['FBIMG00009'] = np.zeros(5, np.float32)
    message = f"{path}: 'FBIMG00001' has 6 features, 'FBIMG00009' has 5; one width is needed"
    assert refusal(path, index) == message
    with h5py.File(path, 'a') as file:
        del file['FBIMG00009']
        file['FBIMG00009'] = np.zeros(6, np.uint8)
    assert refusal(path, index) == f"{path}: 'FBIMG00009' is uint8, features are floats"


def test_links_to_other_files_are_not_followed(files, tmp_path):
    path, index = files
    with h5py.File(tmp_path / 'other.h5', 'w') as other:
        other['x'] = np.zeros(6, np.float32)
    with h5py.File(path, 'a') as file:
        file['FBIMG00009'] = h5py.ExternalLink(tmp_path / 'other.h5', '/x')
        file['group/x'] = np.zeros(6, np.float32)
    assert image_vectors.encode(path, index).record['skipped']['missing'] == ['FBIMG00009']
    index.write_text('a\tFBIMG00000\nb\tgroup\n')
    assert image_vectors.encode(path, index).record['skipped']['missing'] == ['group']
