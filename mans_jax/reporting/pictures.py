"""Small pictures of entities, as addresses that hold the picture itself."""

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from absl import logging

from mans_jax.data import lines
from mans_jax.data.extras import import_for_report
from mans_jax.encoders import image_files
from mans_jax.encoders.image_files import BrokenImage
from mans_jax.runs import Run

MOST_BYTES = 2_000_000
"""Of the pictures of a page, so that it can be sent by mail."""

_WIDTH = 96


def images_by_label(root: Path | None, index: Path | None = None) -> dict[str, Path]:
    """The first image of each entity, by label; nothing without a folder.

    Args:
        root: a folder with a folder of images for each entity; with `index`, images as that names them.
        index: lines 'label<TAB>image id'.

    Raises:
        InputError: the folder or the index cannot be used.
    """
    if root is None:
        return {}
    images, missing = (image_files.in_folders(root), []) if index is None else image_files.by_index(root, index)
    if missing:
        logging.warning('%s: %d images are not there: %s', index, len(missing), lines.name_some(missing))
    return {image.label: root / image.name for image in reversed(images)}


def pictures(run: Run, entities: Iterable[int], images: Mapping[str, Path], most_bytes: int) -> dict[int, str]:
    """Pictures of entities as data URIs: their image, or for the embedded digits the pixels themselves.

    Images that cannot be used are left out; a warning counts and names them.

    Args:
        run: the run.
        entities: ids, the most wanted first.
        images: label to file.
        most_bytes: of all pictures; those that come when it is used up are left out.
    """
    found, broken, used = {}, {}, 0
    pixels = run.graph.features.get('pixels') if run.config.data == 'digits' else None
    for entity in dict.fromkeys(entities):
        file = images.get(run.graph.entities[entity])
        try:
            if file is not None:
                picture = _thumbnail(image_files.open_image(file))
            elif pixels is not None and run.graph.present[entity, run.graph.modalities.index('pixels')]:
                picture = _digit(pixels[entity])
            else:
                continue
        except BrokenImage as error:
            broken[str(file)] = str(error)
            continue
        used += len(picture)
        if used > most_bytes:
            break
        found[entity] = picture
    if broken:
        named = ', '.join(f'{lines.quote(file)} ({reason})' for file, reason in list(broken.items())[:3])
        logging.warning('%d images are left out: %s%s', len(broken), named, ', ...' if len(broken) > 3 else '')
    return found


def _thumbnail(image) -> str:
    image.thumbnail((_WIDTH, _WIDTH))
    return _address(image, 'jpeg', quality=80)


def _digit(pixels) -> str:
    """8 x 8 pixels in [0, 1] as black ink on nothing."""
    ink = np.zeros((8, 8, 2), np.uint8)
    ink[..., 1] = np.round(255 * pixels).reshape(8, 8)
    return _address(import_for_report('PIL.Image').fromarray(ink, 'LA'), 'png', optimize=True)


def _address(image, form, **options) -> str:
    file = io.BytesIO()
    image.save(file, form, **options)
    return f'data:image/{form};base64,{base64.b64encode(file.getvalue()).decode()}'
