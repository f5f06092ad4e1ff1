"""Pictures of entities, and where they stand in a sprite image."""

import math

import numpy as np
import pytest

from mans_jax.data import digits
from mans_jax.errors import InputError
from mans_jax.exporting import pictures, projector
from mans_jax.exporting.pictures import SPRITE_SIDE

pillow = pytest.importorskip('PIL.Image', reason="needs Pillow: pip install '.[export]'")

RED, GREEN = (200, 0, 0), (0, 200, 0)


@pytest.fixture
def graph(make_graph):
    return make_graph(0)


def save(path, colour, size=(40, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pillow.new('RGB', size, colour).save(path)


@pytest.mark.parametrize('number', [1, 4, 5, 7, 9])
def test_a_sprite_is_a_square_of_pictures_row_by_row(tmp_path, number):
    tiles = [np.full((3, 3, 4), 10 * (i + 1), np.uint8) for i in range(number)]
    pictures.write_sprite(tmp_path / 'x.png', tiles)
    image = np.asarray(pillow.open(tmp_path / 'x.png'))
    across = math.ceil(math.sqrt(number))
    assert image.shape == (3 * across, 3 * across, 4)
    for i in range(across**2):
        row, column = divmod(i, across)
        part = image[3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
        assert (part == (10 * (i + 1) if i < number else 0)).all()


@pytest.mark.parametrize('number', [1, 2, 10_000, 65_536, 65_537, 100_000, 1_000_000])
def test_a_sprite_is_never_larger_than_tensorboard_takes(number):
    side = pictures.tile_side(number)
    assert 1 <= side <= 32 and side * math.ceil(math.sqrt(number)) <= SPRITE_SIDE
    assert side == 32 or (side + 1) * math.ceil(math.sqrt(number)) > SPRITE_SIDE


def test_pictures_are_whole_and_in_the_middle(tmp_path, graph):
    save(tmp_path / 'entity 3' / '1.png', RED)
    found = pictures.of_files(graph, tmp_path)
    tiles = pictures.make_tiles(found, [3, 4], 16)
    wide = np.zeros((16, 16, 4), np.uint8)
    wide[4:12] = (*RED, 255)
    np.testing.assert_array_equal(tiles[3], wide)
    assert tiles[4][8, 8].tolist() == [128, 128, 128, 255] and not tiles[4][0, 0].any()
    assert set(map(tuple, tiles[4].reshape(-1, 4).tolist())) == {(128, 128, 128, 255), (0, 0, 0, 0)}


def test_the_first_image_that_can_be_used_is_taken(tmp_path, graph, caplog):
    (tmp_path / 'entity 3').mkdir()
    (tmp_path / 'entity 3' / '0.png').write_bytes(b'no image')
    save(tmp_path / 'entity 3' / '1.png', GREEN)
    save(tmp_path / 'entity 3' / '2.png', RED)
    save(tmp_path / 'somebody' / '1.png', RED)
    found = pictures.of_files(graph, tmp_path)
    assert found.draw(3).getpixel((0, 0)) == GREEN and found.draw(4) is None
    assert found.broken == {'entity 3/0.png': 'not an image'}
    assert f"{tmp_path}: 1 labels are no entity and left out: 'somebody'" in caplog.text


def test_an_index_names_images(tmp_path, graph, caplog):
    save(tmp_path / 'images' / 'm.7.png', RED)
    (tmp_path / 'index.tsv').write_text('entity 2\tm.7\nentity 5\tm.8\n')
    found = pictures.of_files(graph, tmp_path / 'images', tmp_path / 'index.tsv')
    assert found.draw(2).getpixel((0, 0)) == RED and found.draw(5) is None
    assert "1 images are not there: 'm.8'" in caplog.text


def test_images_of_other_entities_are_refused(tmp_path, graph):
    save(tmp_path / 'Entity_3' / '1.png', RED)
    with pytest.raises(InputError) as error:
        pictures.of_files(graph, tmp_path)
    assert str(error.value) == f"--images={tmp_path}: none of its labels is an entity of random: 'Entity_3'"


def test_digits_are_ink_on_paper_in_large_pixels():
    found = pictures.of_digits()
    tiles = pictures.make_tiles(found, [0, 10], 32)
    assert found.draw(0) is None and tiles[0][16, 16].tolist() == [128, 128, 128, 255]
    ink = 1 - tiles[10][2::4, 2::4, 0] / 255
    np.testing.assert_allclose(ink, digits.load().features['pixels'][10].reshape(8, 8), atol=0.01)
    assert (tiles[10][..., 3] == 255).all()


def test_every_point_of_a_tensor_has_the_picture_of_its_entity(tmp_path, missing, caplog):
    def draw(entity):
        if entity == 1:
            broken['x.png'] = 'not an image'
            return None
        return pillow.new('RGB', (9, 9), (entity // 100, entity % 100, 0))

    broken = {}
    said = projector.write(tmp_path, missing, pictures.Pictures(draw, broken), 0, 0)
    assert "1 images are left out: 'x.png' (not an image)" in caplog.text
    text, side = (tmp_path / 'projector_config.pbtxt').read_text(), said['sprite_tile']
    for stem in ('all', '0_structure', '2_text'):
        entry = f'sprite {{ image_path: "{stem}.png" single_image_dim: {side} single_image_dim: {side} }}'
        assert entry in text
        image = np.asarray(pillow.open(tmp_path / f'{stem}.png'))
        ids = [int(line.split('\t')[1]) for line in (tmp_path / f'{stem}.metadata.tsv').read_text().split('\n')[1:-1]]
        for i, entity in enumerate(ids):
            row, column = divmod(i, image.shape[0] // side)
            pixel = image[row * side + side // 2, column * side + side // 2].tolist()
            assert pixel == ([128, 128, 128, 255] if entity == 1 else [entity // 100, entity % 100, 0, 255])
    assert 'relations.png' not in text
