"""Pictures of entities as data URIs."""

import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest

from mans_jax.data import load_graph
from mans_jax.errors import InputError
from mans_jax.reporting.pictures import addresses, source

pillow = pytest.importorskip('PIL.Image', reason='pillow is not installed; the extra report has it')


def run_on(graph, data='somewhere'):
    return SimpleNamespace(graph=graph, config=SimpleNamespace(data=data))


def picture(address):
    form, content = re.fullmatch('data:image/(png|jpeg);base64,([A-Za-z0-9+/=]+)', address).groups()
    return form, pillow.open(io.BytesIO(base64.b64decode(content)))


@pytest.fixture
def folder(tmp_path):
    """Images of three entities of the digits: large, small and broken."""
    for label, size in (('image_0000', (300, 150)), ('number_3', (20, 10))):
        (tmp_path / label).mkdir()
        pillow.new('RGB', size, (200, 30, 30)).save(tmp_path / label / 'a.png')
    (tmp_path / 'number_4').mkdir()
    (tmp_path / 'number_4' / 'broken.png').write_bytes(b'no image')
    return tmp_path


def test_digits_are_their_pixels_as_ink():
    graph, _ = load_graph('digits', {'pixels': 'embedded'})
    found = addresses(source(run_on(graph, 'digits'), None), [0, 10, 11], 10**6)
    assert list(found) == [10, 11]  # The number itself has no picture.
    form, image = picture(found[10])
    assert form == 'png' and image.size == (8, 8)
    ink = np.asarray(image.convert('RGBA'))
    assert not ink[..., :3].any()
    np.testing.assert_allclose(ink[..., 3].ravel(), 255 * graph.features['pixels'][10], atol=1)


def test_images_of_a_folder_are_small_and_broken_ones_are_named(folder, caplog):
    graph, _ = load_graph('digits')
    found = addresses(source(run_on(graph, 'digits'), folder), [3, 10, 3, 4, 5], 10**6)
    assert list(found) == [3, 10]
    assert [picture(found[entity])[1].size for entity in (3, 10)] == [(20, 10), (96, 48)]
    assert picture(found[3])[0] == 'jpeg'
    assert "1 images are left out: 'number_4/broken.png' (not an image)" in caplog.text


def test_no_more_bytes_than_may_be(folder):
    graph, _ = load_graph('digits')
    pictures = source(run_on(graph), folder)
    size = len(addresses(pictures, [3], 10**6)[3])
    assert addresses(pictures, [3, 10], size) == addresses(pictures, [3], size) and addresses(pictures, [3], 9) == {}


def test_an_index_names_images(folder, tmp_path):
    graph, _ = load_graph('digits')
    (tmp_path / 'index.tsv').write_text('number_7\tnumber_3/a\n')
    assert list(addresses(source(run_on(graph), folder, tmp_path / 'index.tsv'), range(10), 10**6)) == [7]


def test_other_graphs_have_pictures_only_of_a_folder_that_has_some(folder, tmp_path):
    graph, _ = load_graph('synthetic:entities=100,triples=200')
    assert source(run_on(graph), None) is None
    with pytest.raises(InputError, match='none of its labels is an entity of '):
        source(run_on(graph), folder)
    with pytest.raises(InputError, match='none: no such folder$'):
        source(run_on(graph), tmp_path / 'none')
