"""Images of entities: found in folders or by an index, and opened with care."""

import hashlib
import os
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from absl import logging

from mans_jax.data import lines, mmkg
from mans_jax.data.extras import import_for_features
from mans_jax.encoders.feature_writer import file_digest
from mans_jax.errors import InputError

ENDINGS = ('.jpg', '.jpeg', '.png', '.gif', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
"""What the name of an image ends in, in small or capital letters."""

# Others that Pillow knows start other programs (EPS) or are hardly used.
_FORMATS = ('JPEG', 'PNG', 'GIF', 'BMP', 'WEBP', 'TIFF', 'PPM')


class ImageFile(NamedTuple):
    """An image of an entity.

    Attributes:
        label: the entity's.
        name: the file, relative to the folder of all images.
    """

    label: str
    name: str


class BrokenImage(Exception):
    """A file that is no image which can be used; the message says why."""


def in_folders(root: Path) -> list[ImageFile]:
    """The images in a folder that has a folder for each entity, whose name is the label; in the order of names.

    A warning counts and names the files that are not taken for images.

    Raises:
        InputError: the folder cannot be read or has no image, a name is not UTF-8, or a link leads out of it.
    """
    images, others = [], []
    for folder in _listing(root):
        if not (root / folder).is_dir():
            others.append(folder)
            continue
        for file in _listing(root / folder):
            name = f'{folder}/{file}'
            if Path(file).suffix.lower() in ENDINGS:
                _check_inside(root, name, f'{root / name}')
                images.append(ImageFile(folder, name))
            else:
                others.append(name)
    if others:
        logging.warning('%s: %d files are not taken for images: %s', root, len(others), lines.name_some(others))
    if not images:
        cure = 'it needs a folder for each entity with images in it, or name an --index'
        raise InputError(f'{root}: no images in its folders; {cure}')
    return images


def by_index(root: Path, index: Path) -> tuple[list[ImageFile], list[str]]:
    """The images that an index names, in its order.

    Args:
        root: the folder of the images, below which an image's file is its id with any of `ENDINGS`.
        index: lines 'label<TAB>image id', compressed or not; an entity may have several.

    Returns:
        (images, the ids without a file).

    Raises:
        InputError: a file or folder cannot be read, a line is malformed, leads out of the folder or could mean two
            files, or no image is there.
    """
    names: dict[Path, dict[str, list[str]]] = {}
    images, missing = [], []
    for number, (label, image) in enumerate(mmkg.read_images(index), start=1):
        inside = PurePosixPath(image)
        if inside.is_absolute() or '..' in inside.parts or '\0' in image:
            raise lines.error(index, number, f'{lines.quote(image)} leads out of {root}; name images below it')
        folder = root / inside.parent
        if folder not in names:
            names[folder] = _by_stem(folder)
        found = names[folder].get(inside.name, [])
        # A whole name means that file, whatever else begins with it.
        found = [inside.name] if inside.name in found else found
        if len(found) > 1:
            raise lines.error(index, number, f'{lines.quote(image)} could be {" or ".join(found)}; keep one')
        if found:
            name = str(inside.parent / found[0])
            _check_inside(root, name, f'{index}, line {number}: {root / name}')
            images.append(ImageFile(label, name))
        else:
            missing.append(image)
    if not images and not missing:
        raise InputError(f'{index}: empty; a line is "entity<TAB>image"')
    if not images:
        raise InputError(f'{root}: none of the {len(missing)} images of {index} is there: {lines.name_some(missing)}')
    return images, missing


def _by_stem(folder: Path) -> dict[str, list[str]]:
    """The images of a folder by name, with and without the ending."""
    found: dict[str, list[str]] = {}
    for name in _listing(folder) if os.path.isdir(folder) else ():
        if Path(name).suffix.lower() in ENDINGS:
            found.setdefault(name, []).append(name)
            found.setdefault(Path(name).stem, []).append(name)
    return found


def _listing(folder: Path) -> list[str]:
    """The names in a folder, sorted, but for hidden ones."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith('.'))
    except FileNotFoundError:
        raise InputError(f'{folder}: no such folder') from None
    except OSError as error:
        raise InputError(f'{folder}: cannot be read ({error.strerror})') from None
    for name in names:
        if any('\ud800' <= letter <= '\udfff' for letter in name):
            raise InputError(f'{folder}: the name {os.fsencode(name)!r} is not UTF-8; rename it')
    return names


def _check_inside(root: Path, name: str, place: str) -> None:
    if not (root / name).resolve().is_relative_to(root.resolve()):
        raise InputError(f'{place} leads out of {root}; copy the image into the folder')


def digest(root: Path, images: Sequence[ImageFile]) -> str:
    """The SHA-256 of the labels, the names and the contents of images."""
    total = hashlib.sha256()
    for label, name in images:
        content = file_digest(root / name) if (root / name).is_file() else None
        total.update(f'{label}\t{name}\t{content}\n'.encode())
    return total.hexdigest()


def open_image(path: Path) -> Any:
    """Decodes an image, upright and as a `PIL.Image` in RGB.

    Raises:
        BrokenImage: the file is no whole image, or one that no screen could show.
    """
    pillow = import_for_features('PIL.Image')
    upright = import_for_features('PIL.ImageOps').exif_transpose
    pillow.init()
    try:
        with warnings.catch_warnings(), open(path, 'rb', opener=_open_regular) as file:
            warnings.simplefilter('ignore')
            # Small files that unpack to huge images: Pillow only warns of those that are not twice as large as allowed.
            warnings.simplefilter('error', pillow.DecompressionBombWarning)
            image = pillow.open(file, formats=[form for form in _FORMATS if form in pillow.OPEN])
            if image.mode in ('I', 'F') or image.mode.startswith('I;'):
                raise BrokenImage(f'its mode {image.mode} has no scale of colours')
            return upright(image).convert('RGB')
    except BrokenImage:
        raise
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError):
        raise BrokenImage(f'more than {pillow.MAX_IMAGE_PIXELS:,} pixels') from None
    except import_for_features('PIL').UnidentifiedImageError:
        raise BrokenImage('not an image') from None
    # What else a decoder raises over a damaged file depends on the damage.
    except Exception as error:
        raise BrokenImage(f'damaged ({" ".join(str(error).split())[:200] or type(error).__name__})') from None


def _open_regular(path: str, flags: int) -> int:
    """Opens a file, but nothing that one could wait for in vain, as for a pipe."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise BrokenImage('not a file')
    return os.open(path, flags)
