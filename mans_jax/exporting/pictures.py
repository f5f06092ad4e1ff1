"""Pictures of entities, small and square, and the sprite images that TensorBoard shows them from."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from mans_jax.data import digits, lines
from mans_jax.data.extras import import_for_export
from mans_jax.encoders import image_files
from mans_jax.encoders.image_files import BrokenImage
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph

SPRITE_SIDE = 8192
"""The most pixels that TensorBoard takes in either direction."""

TILE_SIDE = 32
"""The pixels of a picture: the projector draws one about as large."""


class Pictures(NamedTuple):
    """Where the pictures of entities come from.

    Attributes:
        draw: entity id -> a `PIL.Image`, or None for an entity without one that can be used.
        broken: file name to what is wrong with it, of those that `draw` has found so far.
    """

    draw: Callable[[int], Any]
    broken: Mapping[str, str]


def of_digits() -> Pictures:
    """The images of the embedded digits, ink on paper; the numbers have none."""
    pillow, graph = import_for_export('PIL.Image'), digits.load()
    (pixels,) = graph.features.values()

    def draw(entity):
        ink = pixels[entity].reshape(8, 8)
        return pillow.fromarray((255 * (1 - ink)).astype(np.uint8)) if graph.present[entity, 1] else None

    return Pictures(draw, {})


def of_files(graph: KnowledgeGraph, root: Path, index: Path | None = None) -> Pictures:
    """The first image of each entity in a folder, as ``mans_jax.features image`` finds them.

    Warnings count the labels that are no entity.

    Raises:
        InputError: the folder cannot be read, or has no image of any entity.
    """
    import_for_export('PIL.Image')
    images, missing = (image_files.in_folders(root), []) if index is None else image_files.by_index(root, index)
    if missing:
        logging.warning('%s: %d images are not there: %s', index, len(missing), lines.name_some(missing))
    ids = {label: i for i, label in enumerate(graph.entities)}
    files: dict[int, list[str]] = {}
    for image in images:
        if image.label in ids:
            files.setdefault(ids[image.label], []).append(image.name)
    strangers = list(dict.fromkeys(image.label for image in images if image.label not in ids))
    if not files:
        raise InputError(
            f'--images={root}: none of its labels is an entity of {graph.name}: {lines.name_some(strangers)}'
        )
    if strangers:
        logging.warning(
            '%s: %d labels are no entity and left out: %s', root, len(strangers), lines.name_some(strangers)
        )
    broken: dict[str, str] = {}

    def draw(entity):
        for name in files.get(entity, ()):
            try:
                return image_files.open_image(root / name)
            except BrokenImage as error:
                broken[name] = str(error)
        return None

    return Pictures(draw, broken)


def tile_side(most_points: int) -> int:
    """The pixels of a picture, so that so many of them fit into one sprite image."""
    return max(1, min(TILE_SIDE, SPRITE_SIDE // math.ceil(math.sqrt(most_points))))


def make_tiles(pictures: Pictures, entities: Iterable[int], side: int) -> dict[int, np.ndarray]:
    """Pictures as uint8[side, side, 4] by entity, whole and in the middle; a grey disc for an entity without one."""
    operations, pillow = import_for_export('PIL.ImageOps'), import_for_export('PIL.Image')
    tiles, disc = {}, _disc(side)
    for entity in entities:
        picture = pictures.draw(int(entity))
        if picture is None:
            tiles[int(entity)] = disc
            continue
        # A few large pixels stay pixels.
        way = pillow.Resampling.NEAREST if max(picture.size) < side else pillow.Resampling.LANCZOS
        tile = operations.pad(picture.convert('RGBA'), (side, side), method=way, color=(0, 0, 0, 0))
        tiles[int(entity)] = np.asarray(tile)
    return tiles


def write_sprite(path: Path, tiles: Sequence[np.ndarray]) -> None:
    """Writes pictures uint8[side, side, 4] row by row into a square image.

    The projector finds a picture by the number of pictures in a row, and takes that for the number of rows too, so that
    there must be as many of both; what is left over is transparent.
    """
    side, across = tiles[0].shape[0], math.ceil(math.sqrt(len(tiles)))
    grid = np.zeros((across * across, side, side, 4), np.uint8)
    grid[: len(tiles)] = tiles
    whole = grid.reshape(across, across, side, side, 4).swapaxes(1, 2).reshape(across * side, across * side, 4)
    import_for_export('PIL.Image').fromarray(whole).save(path)


def _disc(side: int) -> np.ndarray:
    distance = np.abs(np.arange(side) - (side - 1) / 2)
    inside = distance[:, None] ** 2 + distance**2 <= (side / 4) ** 2
    return np.where(inside[..., None], np.uint8([128, 128, 128, 255]), np.uint8(0))
