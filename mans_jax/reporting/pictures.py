"""Small pictures of entities, as addresses that hold the picture itself."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path

from absl import logging

from mans_jax.data import lines
from mans_jax.data.extras import import_for_report
from mans_jax.exporting.pictures import Pictures, of_digits, of_files
from mans_jax.runs import Run

MOST_BYTES = 2_000_000
"""Of the pictures of a page, so that it can be sent by mail."""

_WIDTH = 96


def source(run: Run, root: Path | None, index: Path | None = None) -> Pictures | None:
    """Where the pictures of a run's entities come from: a folder, the embedded digits themselves, or nowhere.

    Args:
        run: the run.
        root: a folder with a folder of images for each entity; with `index`, images as that names them.
        index: lines 'label<TAB>image id'.

    Raises:
        InputError: the folder or the index cannot be used, or has no image of any entity.
    """
    if root is not None:
        return of_files(run.graph, root, index)
    return of_digits() if run.config.data == 'digits' else None


def addresses(pictures: Pictures, entities: Iterable[int], most_bytes: int) -> dict[int, str]:
    """Pictures of entities as data URIs, at most 96 pixels wide and high.

    Images that cannot be used are left out; a warning counts and names them.

    Args:
        pictures: from `source`.
        entities: ids, the most wanted first.
        most_bytes: of all pictures; those that come when it is used up are left out.
    """
    found, used = {}, 0
    for entity in dict.fromkeys(entities):
        picture = pictures.draw(entity)
        if picture is not None:
            address = _ink(picture) if picture.mode == 'L' else _thumbnail(picture)
            used += len(address)
            if used > most_bytes:
                break
            found[entity] = address
    if pictures.broken:
        several = [f'{lines.quote(file)} ({reason})' for file, reason in pictures.broken.items()]
        named = ', '.join(several[:3]) + (', ...' if several[3:] else '')
        logging.warning('%d images are left out: %s', len(several), named)
    return found


def _thumbnail(picture) -> str:
    picture.thumbnail((_WIDTH, _WIDTH))
    return _address(picture, 'jpeg', quality=80)


def _ink(picture) -> str:
    """The grey of a digit as black ink on nothing, so that it may lie on any colour."""
    pillow, invert = import_for_report('PIL.Image'), import_for_report('PIL.ImageOps').invert
    ink = pillow.merge('LA', [pillow.new('L', picture.size), invert(picture)])
    return _address(ink, 'png', optimize=True)


def _address(picture, form, **options) -> str:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return f'data:image/{form};base64,{base64.b64encode(file.getvalue()).decode()}'
