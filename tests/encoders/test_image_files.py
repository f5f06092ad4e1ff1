"""Tests of images on disk: found by folder or index, never outside the source, and opened without harm."""

import io
import os
import struct
import zlib

import numpy as np
import pytest

from mans_jax.encoders import image_files
from mans_jax.encoders.image_files import BrokenImage, ImageFile
from mans_jax.errors import InputError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def refusal(function, *arguments):
    with pytest.raises(InputError) as error:
        function(*arguments)
    assert '\n' not in str(error.value)
    return str(error.value)


# In folders.


def test_a_folder_for_each_entity(tmp_path, caplog):
    touch(tmp_path, 'שלום/2.JPG', 'שלום/1.png', '<a b>/x.webp', 'b/notes.txt', 'stray.png', '.hidden/1.png', 'b/.x.png')
    images = [ImageFile('<a b>', '<a b>/x.webp'), ImageFile('שלום', 'שלום/1.png'), ImageFile('שלום', 'שלום/2.JPG')]
    assert image_files.in_folders(tmp_path) == images
    assert caplog.messages == [f"{tmp_path}: 2 files are not taken for images: 'b/notes.txt', 'stray.png'"]


def test_folders_without_images_are_refused(tmp_path):
    cure = 'it needs a folder for each entity with images in it, or name an --index'
    assert refusal(image_files.in_folders, tmp_path) == f'{tmp_path}: no images in its folders; {cure}'
    assert refusal(image_files.in_folders, tmp_path / 'x') == f'{tmp_path / "x"}: no such folder'
    (tmp_path / 'x').touch()
    assert refusal(image_files.in_folders, tmp_path / 'x') == f'{tmp_path / "x"}: cannot be read (Not a directory)'


def test_links_out_of_the_folder_are_refused(tmp_path):
    root = touch(tmp_path / 'root', 'a/1.png')
    outside = touch(tmp_path / 'outside', '1.png')
    (root / 'a' / '2.png').symlink_to(root / 'a' / '1.png')
    assert len(image_files.in_folders(root)) == 2
    (root / 'a' / '3.png').symlink_to('../../outside/1.png')
    message = f'{root}/a/3.png leads out of {root}; copy the image into the folder'
    assert refusal(image_files.in_folders, root) == message
    (root / 'a' / '3.png').unlink()
    (root / 'b').symlink_to(outside)
    message = f'{root}/b/1.png leads out of {root}; copy the image into the folder'
    assert refusal(image_files.in_folders, root) == message
    # The source itself may be a link.
    (root / 'b').unlink()
    (tmp_path / 'link').symlink_to(root)
    assert len(image_files.in_folders(tmp_path / 'link')) == 2


def test_names_that_are_not_utf8_are_refused(tmp_path):
    try:
        os.mkdir(os.path.join(os.fsencode(tmp_path), b'\xff'))
    except OSError:
        pytest.skip('this file system has only names in UTF-8')
    assert refusal(image_files.in_folders, tmp_path) == f"{tmp_path}: the name b'\\xff' is not UTF-8; rename it"


# By index.


def write_index(tmp_path, text):
    path = tmp_path / 'index.txt'
    path.write_text(text, encoding='utf-8')
    return path


def test_an_index_names_images_with_any_ending(tmp_path):
    root = touch(tmp_path / 'root', 'DBIMG1.jpg', 'DBIMG2.PNG', 'm.01/google_3.jpeg', 'v1.2.gif', 'DBIMG1.txt')
    text = '<http://x/A>\tDBIMG2\n/m/01\tm.01/google_3\n<http://x/A>\tDBIMG1\nb\tv1.2.gif\nc\tDBIMG9\nd\tno/where\n'
    images, missing = image_files.by_index(root, write_index(tmp_path, text))
    assert images == [
        ImageFile('<http://x/A>', 'DBIMG2.PNG'),
        ImageFile('/m/01', 'm.01/google_3.jpeg'),
        ImageFile('<http://x/A>', 'DBIMG1.jpg'),
        ImageFile('b', 'v1.2.gif'),
    ]
    assert missing == ['DBIMG9', 'no/where']


@pytest.mark.parametrize('image', ['../1', 'a/../../1', '/etc/passwd', '/1.png', 'a/..', '\0'])
def test_an_index_that_leads_out_of_the_folder_is_refused(tmp_path, image):
    root = touch(tmp_path / 'root', '1.png')
    touch(tmp_path, '1.png')
    index = write_index(tmp_path, f'a\t1\nb\t{image}\n')
    message = f'{index}, line 2: {image!r} leads out of {root}; name images below it'
    assert refusal(image_files.by_index, root, index) == message


def test_an_indexed_link_out_of_the_folder_is_refused(tmp_path):
    root = touch(tmp_path / 'root', '1.png')
    (root / '2.png').symlink_to(touch(tmp_path, 'outside.png') / 'outside.png')
    index = write_index(tmp_path, 'a\t1\nb\t2\n')
    message = f'{index}, line 2: {root}/2.png leads out of {root}; copy the image into the folder'
    assert refusal(image_files.by_index, root, index) == message


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', '{index}: empty; a line is "entity<TAB>image"'),
        ('a\t1\nb 1\n', '{index}, line 2: \'b 1\' is not "entity<TAB>image"'),
        ('a\t\n', '{index}, line 1: \'a\\t\' is not "entity<TAB>image"'),
        ('a\t1\t2\n', '{index}, line 1: \'a\\t1\\t2\' is not "entity<TAB>image"'),
        ('a\t1\nb\t2\n', "{index}, line 2: '2' could be 2.gif or 2.png; keep one"),
        ('a\t7\nb\t8\n', "{root}: none of the 2 images of {index} is there: '7', '8'"),
    ],
)
def test_bad_indexes_are_refused(tmp_path, text, message):
    root, index = touch(tmp_path / 'root', '1.png', '2.png', '2.gif'), write_index(tmp_path, text)
    assert refusal(image_files.by_index, root, index) == message.format(index=index, root=root)


def test_the_digest_tells_names_labels_and_contents_apart(tmp_path):
    root = touch(tmp_path, 'a/1.png', 'a/2.png')
    images = image_files.in_folders(root)
    digests = {image_files.digest(root, some) for some in (images, images[:1], [images[0]._replace(label='b')])}
    (root / 'a' / '1.png').write_bytes(b'other')
    digests.add(image_files.digest(root, images))
    (root / 'a' / '1.png').unlink()
    digests.add(image_files.digest(root, images))
    assert len(digests) == 5


# Opened.


@pytest.fixture
def pillow():
    return pytest.importorskip('PIL.Image', reason="needs Pillow: pip install '.[features]'")


COLOURS = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)


def refusal_of(path):
    with pytest.raises(BrokenImage) as error:
        image_files.open_image(path)
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('form', ['PNG', 'BMP', 'TIFF', 'PPM', 'GIF', 'WEBP', 'JPEG'])
def test_images_become_rgb(tmp_path, pillow, form):
    pillow.fromarray(COLOURS).save(tmp_path / 'x', form)
    image = image_files.open_image(tmp_path / 'x')
    assert image.mode == 'RGB' and image.size == (5, 6)
    if form in ('PNG', 'BMP', 'TIFF', 'PPM'):
        np.testing.assert_array_equal(np.asarray(image), COLOURS)


@pytest.mark.parametrize('mode', ['L', 'LA', 'P', 'RGBA', '1', 'CMYK'])
def test_other_modes_become_rgb(tmp_path, pillow, mode):
    pillow.fromarray(COLOURS).convert(mode).save(tmp_path / 'x', 'TIFF')
    assert image_files.open_image(tmp_path / 'x').mode == 'RGB'


def test_photos_are_turned_upright(tmp_path, pillow):
    exif = pillow.Exif()
    exif[0x0112] = 6
    pillow.fromarray(COLOURS).save(tmp_path / 'x', 'PNG', exif=exif)
    np.testing.assert_array_equal(np.asarray(image_files.open_image(tmp_path / 'x')), np.rot90(COLOURS, -1))


def test_a_scale_that_is_unknown_is_refused(tmp_path, pillow):
    pillow.fromarray(np.full((2, 2), 60000, np.uint16)).save(tmp_path / 'x', 'PNG')
    assert refusal_of(tmp_path / 'x') == 'its mode I;16 has no scale of colours'


def png_of_zeros(width, height):
    """A small file of a large image."""

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + width)
    data = b''.join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + head + chunk(b'IDAT', data) + chunk(b'IEND', b'')


@pytest.mark.parametrize('pixels', [1001, 3001], ids=['above the limit', 'far above it'])
def test_image_bombs_are_not_unpacked(tmp_path, pillow, monkeypatch, pixels):
    monkeypatch.setattr(pillow, 'MAX_IMAGE_PIXELS', 1000)
    (tmp_path / 'x.png').write_bytes(png_of_zeros(pixels, 1))
    assert refusal_of(tmp_path / 'x.png') == 'more than 1,000 pixels'
    (tmp_path / 'x.png').write_bytes(png_of_zeros(1000, 1))
    assert image_files.open_image(tmp_path / 'x.png').size == (1000, 1)


def test_a_real_bomb(tmp_path, pillow):
    (tmp_path / 'x.png').write_bytes(png_of_zeros(20_000, 4_500))
    assert (tmp_path / 'x.png').stat().st_size < 100_000
    assert refusal_of(tmp_path / 'x.png') == 'more than 89,478,485 pixels'


@pytest.mark.parametrize(
    'content', [b'', b'no image at all', b'\x89PNG\r\n\x1a\n', b'<svg></svg>', b'%!PS-Adobe-3.0 EPSF-3.0']
)
def test_files_that_only_claim_to_be_images(tmp_path, pillow, content):
    (tmp_path / 'x.png').write_bytes(content)
    assert refusal_of(tmp_path / 'x.png') == 'not an image'


@pytest.mark.parametrize(('form', 'reason'), [('PNG', 'image file is truncated'), ('JPEG', 'image file is truncated')])
def test_truncated_images(tmp_path, pillow, form, reason):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pillow.fromarray(noise).save(buffer := io.BytesIO(), form)
    (tmp_path / 'x').write_bytes(buffer.getvalue()[:-2000])
    assert refusal_of(tmp_path / 'x').startswith(f'damaged ({reason}')


def test_what_is_no_file_is_not_waited_for(tmp_path, pillow):
    os.mkfifo(tmp_path / 'x.png')
    assert refusal_of(tmp_path / 'x.png') == 'not a file'
    (tmp_path / 'y.png').mkdir()
    assert refusal_of(tmp_path / 'y.png') == 'not a file'
    (tmp_path / 'z.png').symlink_to(tmp_path / 'nowhere.png')
    assert refusal_of(tmp_path / 'z.png').startswith('damaged ([Errno 2] No such file')


def test_a_whole_name_in_an_index_means_that_file(tmp_path):
    for name in ('a.png', 'a.png.png'):
        (tmp_path / name).write_bytes(b'')
    index = tmp_path / 'index.txt'
    index.write_text('x\ta.png\n')
    images, missing = image_files.by_index(tmp_path, index)
    assert [image.name for image in images] == ['a.png'] and missing == []


def test_an_image_id_that_no_file_can_have_is_missing(tmp_path):
    (tmp_path / 'a.png').write_bytes(b'')
    index = tmp_path / 'index.txt'
    long = 'a' * 300 + '/x'
    index.write_text(f'x\t{long}\ny\ta\n')
    images, missing = image_files.by_index(tmp_path, index)
    assert [image.label for image in images] == ['y'] and missing == [long]
