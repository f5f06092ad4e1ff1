"""Graphs of any size whose geometry is known: entities are points, relations translations, features linear images.

Entity e is a point x_e in the unit cube, relation r a translation v_r. A triple (head, relation, tail) holds where the
tail is the entity whose cell holds x_head + v_r: the cube is cut into one cell an entity, so that this is one of the
nearest. Modality m shows A_m x_e plus noise. So TransE can represent the graph, features alone tell roughly where an
entity is, and structure tells it better the more triples there are. Everything is drawn by the seed alone.
"""

import dataclasses
import difflib
import math
from collections.abc import Iterator

import numpy as np

from mans_jax.errors import InputError

PREFIX = 'synthetic:'
"""What a source that asks for such a graph begins with."""

RATIOS = (0.8, 0.1, 0.1)
"""The shares of train, valid and test."""

DIMENSIONS = 3
"""Of the points."""

WIDTH = 16
"""F, of the features of each modality."""

_ROWS = 1 << 16
"""Features and triples are drawn so many rows at a time, each block by a generator of its own."""

_POINTS, _RELATIONS, _TRIPLES, _MAPS, _FEATURES = range(5)
"""What a random number is drawn for: a part of each generator's seed."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a synthetic graph is made from.

    Attributes:
        entities: E.
        relations: R.
        triples: the distinct triples of all splits; at most a quarter of E x R.
        modalities: how many features there are, named view_1, view_2, ...
        noise: standard deviation of what is added to each feature, which without it has a variance of about 1.
        seed: a natural number; other seeds give other graphs.
    """

    entities: int = 10_000
    relations: int = 20
    triples: int = 50_000
    modalities: int = 2
    noise: float = 0.1
    seed: int = 0


def parse(source: str) -> Recipe:
    """Reads 'synthetic:entities=10000,relations=20,triples=50000,modalities=2,noise=0.1,seed=0'.

    Every setting may be left out; those are the defaults.

    Raises:
        InputError: a setting is unknown, said twice, or has a value that cannot be used.
    """
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    values = {}
    for setting in filter(None, source.removeprefix(PREFIX).split(',')):
        name, _, value = setting.partition('=')
        if name not in fields:
            nearest = difflib.get_close_matches(name, fields, n=1)
            hint = f'did you mean {nearest[0]!r}? ' if nearest else ''
            raise InputError(f'{source}: {name!r} is not a setting; {hint}Known: {", ".join(fields)}')
        if name in values:
            raise InputError(f'{source}: {name} is given twice')
        try:
            values[name] = fields[name].type(value)
        except ValueError:
            raise InputError(f'{source}: {name}={value} is not of type {fields[name].type.__name__}') from None
    return _check(source, Recipe(**values))


def _check(source: str, recipe: Recipe) -> Recipe:
    lowest = {'entities': 100, 'relations': 1, 'triples': 10, 'modalities': 0, 'noise': 0, 'seed': 0}
    for name, low in lowest.items():
        value = getattr(recipe, name)
        if not low <= value < math.inf:
            raise InputError(f'{source}: {name}={value}, but must be finite and at least {low}')
    if recipe.entities >= 2**31:
        raise InputError(f'{source}: entities={recipe.entities}, but ids are int32: below {2**31}')
    if recipe.triples > recipe.entities * recipe.relations // 4:
        most = recipe.entities * recipe.relations // 4
        raise InputError(f'{source}: triples={recipe.triples}, but so many entities and relations have at most {most}')
    return recipe


def labels(recipe: Recipe) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels of entities and of relations."""
    return tuple(map('e{}'.format, range(recipe.entities))), tuple(map('r{}'.format, range(recipe.relations)))


def modality_names(recipe: Recipe) -> tuple[str, ...]:
    """The names of the features."""
    return tuple(f'view_{m + 1}' for m in range(recipe.modalities))


def points(recipe: Recipe) -> np.ndarray:
    """Where the entities are, float32[E, DIMENSIONS] in [0, 1): one in each cell; an id tells nothing of the place."""
    cell = _cells_of_entities(recipe)
    located = np.empty((recipe.entities, DIMENSIONS), dtype=np.float32)
    for block, rows in _blocks(recipe.entities):
        located[rows] = _point_in_cell(cell[rows], recipe.entities, _rng(recipe, _POINTS, 1, block))
    return located


def translations(recipe: Recipe) -> np.ndarray:
    """How far each relation leads, float32[R, DIMENSIONS] in [-0.25, 0.25)."""
    return _rng(recipe, _RELATIONS).random((recipe.relations, DIMENSIONS), dtype=np.float32) / 2 - np.float32(0.25)


def triples(recipe: Recipe) -> np.ndarray:
    """Distinct triples int32[N, 3] of all splits, drawn among those whose tail would stand within the cube."""
    located, translation = points(recipe), translations(recipe)
    entity_in_cell = np.argsort(_cells_of_entities(recipe)).astype(np.int32)
    pairs, block, wanted = np.empty(0, dtype=np.int64), 0, recipe.triples
    while len(pairs) < wanted:
        # Twice what is missing: a third points out of the cube, and some pairs come again.
        drawn = [pairs]
        for _ in range(2 * (wanted - len(pairs)) // _ROWS + 1):
            drawn.append(_draw_pairs(recipe, block, located, translation))
            block += 1
        pairs = np.unique(np.concatenate(drawn))
    head, relation = np.divmod(_rng(recipe, _TRIPLES, 1).permutation(pairs)[:wanted], recipe.relations)
    rows = np.empty((wanted, 3), dtype=np.int32)
    for _, part in _blocks(wanted):
        target = located[head[part]] + translation[relation[part]]
        rows[part] = np.stack([head[part], relation[part], entity_in_cell[cells(target, recipe.entities)]], axis=1)
    return rows


def features(recipe: Recipe, modality: int) -> np.ndarray:
    """The features of one modality, float32[E, WIDTH]."""
    matrix = np.empty((recipe.entities, WIDTH), dtype=np.float32)
    for rows, values in feature_blocks(recipe, modality):
        matrix[rows] = values
    return matrix


def feature_blocks(recipe: Recipe, modality: int) -> Iterator[tuple[slice, np.ndarray]]:
    """The same some rows at a time, for what does not fit into memory: (rows, float32[n, WIDTH])."""
    located = points(recipe)
    image = _rng(recipe, _MAPS, modality).standard_normal((DIMENSIONS, WIDTH), dtype=np.float32)
    # A coordinate, uniform in [0, 1), has a variance of 1 / 12, and DIMENSIONS of them are added up.
    image *= np.float32(math.sqrt(12 / DIMENSIONS))
    for block, rows in _blocks(recipe.entities):
        values = (located[rows] - np.float32(0.5)) @ image
        noise = _rng(recipe, _FEATURES, modality, block).standard_normal(values.shape, dtype=np.float32)
        yield rows, values + np.float32(recipe.noise) * noise


def cells(located: np.ndarray, num_cells: int) -> np.ndarray:
    """The cell, of `num_cells` of equal volume or nearly so, that holds each point.

    The cube is cut into slabs, these into bars, and these into cells, each along the next axis; a slab or bar that has
    one cell more than another cuts itself a little finer.

    Args:
        located: float[N, DIMENSIONS] in [0, 1).
        num_cells: any number, not only cubes.

    Returns:
        int64[N] in [0, num_cells).
    """
    first, size = np.zeros(len(located), dtype=np.int64), np.full(len(located), num_cells)
    for axis in range(DIMENSIONS):
        parts = _parts(size, axis)
        part = np.minimum((located[:, axis].astype(np.float64) * parts).astype(np.int64), parts - 1)
        start, stop = part * size // parts, (part + 1) * size // parts
        first, size = first + start, stop - start
    return first


def _point_in_cell(cell: np.ndarray, num_cells: int, rng: np.random.Generator) -> np.ndarray:
    """A point in each cell, float32[N, DIMENSIONS]; `cells` is the inverse."""
    located = np.empty((len(cell), DIMENSIONS), dtype=np.float32)
    index, size = cell.astype(np.int64), np.full(len(cell), num_cells)
    for axis in range(DIMENSIONS):
        parts = _parts(size, axis)
        # The part whose cells begin at part * size // parts and hold index.
        part = ((index + 1) * parts - 1) // size
        # Away from the walls, which rounding to float32 could cross.
        located[:, axis] = (part + rng.uniform(0.01, 0.99, len(cell))) / parts
        start, stop = part * size // parts, (part + 1) * size // parts
        index, size = index - start, stop - start
    return located


def _parts(size: np.ndarray, axis: int) -> np.ndarray:
    """Into how many parts `size` cells are cut along an axis, so that cells become cubes."""
    return np.maximum(np.rint(size ** (1 / (DIMENSIONS - axis))).astype(np.int64), 1)


def _draw_pairs(recipe, block, located, translation):
    """Codes head * R + relation, int64, of pairs that lead to a point within the cube."""
    rng = _rng(recipe, _TRIPLES, 0, block)
    head, relation = rng.integers(recipe.entities, size=_ROWS), rng.integers(recipe.relations, size=_ROWS)
    target = located[head] + translation[relation]
    inside = ((target >= 0) & (target < 1)).all(axis=1)
    return head[inside] * recipe.relations + relation[inside]


def _cells_of_entities(recipe: Recipe) -> np.ndarray:
    return _rng(recipe, _POINTS, 0).permutation(np.arange(recipe.entities, dtype=np.int32))


def _rng(recipe: Recipe, *purpose: int) -> np.random.Generator:
    return np.random.default_rng([recipe.seed, *purpose])


def _blocks(number: int):
    """(block, rows) for `number` rows."""
    for block, start in enumerate(range(0, number, _ROWS)):
        yield block, slice(start, min(start + _ROWS, number))
