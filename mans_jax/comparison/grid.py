"""A grid: its rows, its score functions, its seeds, and whether all of it makes sense."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence

import ml_collections

from mans_jax.comparison.budget import Budget, parse_budget
from mans_jax.comparison.rows import OF_THE_GRID, row_fields, where
from mans_jax.config import Config, default_config, from_fields
from mans_jax.errors import InputError, check_name
from mans_jax.scoring import SCORES

WITH_MARGIN = ('margin_ranking', 'self_adversarial')
"""The losses that have a margin."""


@dataclasses.dataclass(frozen=True)
class Search:
    """What is searched for, for each cell, on valid.

    Attributes:
        trials: how many, 0 for no search.
        learning_rate: the least and the greatest, searched on a logarithmic scale; empty where the recipe's stays.
        margin: likewise, on a linear scale.
        seed: decides what is tried, and is the seed of each trial's training.
    """

    trials: int = 0
    learning_rate: tuple = ()
    margin: tuple = ()
    seed: int = 0

    def ranges(self) -> dict[str, tuple[float, float]]:
        """(least, greatest) by the field of the recipe."""
        found = {name: getattr(self, name) for name in ('learning_rate', 'margin')}
        return {name: tuple(map(float, bounds)) for name, bounds in found.items() if bounds}


@dataclasses.dataclass(frozen=True)
class Cell:
    """A row of the grid with a score function.

    Attributes:
        label: of the row.
        score: the name of the score function.
        config: the recipe of both. Its seed and its epochs do not matter yet.
        name: of the cell's folder; other for every other cell.
    """

    label: str
    score: str
    config: Config
    name: str


@dataclasses.dataclass(frozen=True)
class Grid:
    """The settings of a comparison. Frozen, and valid once `from_config_dict` has returned it.

    Attributes:
        samplers: the rows, each a text as `row_fields` reads it.
        scores: names of score functions. Every row is trained with each.
        seeds: of every cell.
        baseline: the label of the row that the others of the same score function are tested against.
        budget: what every seed of every cell may take.
        seeds_at_once: how many seeds of a cell train together in one program, 0 for all of them.
        search: what is searched for before a cell is trained.
        recipe: the fields that all rows have in common.
    """

    samplers: tuple
    scores: tuple
    seeds: tuple
    baseline: str
    budget: Budget
    seeds_at_once: int
    search: Search
    recipe: Mapping

    def cells(self) -> list[Cell]:
        """Every row with every score function, in order.

        Raises:
            InputError: a combination makes no sense.
        """
        return [self._cell(text, score) for score in self.scores for text in self.samplers]

    def shared(self) -> dict:
        """What must be the same whenever a workdir is used again, as JSON has it: all but rows, seeds and baseline."""
        content = {'budget': str(self.budget), 'search': dataclasses.asdict(self.search), 'recipe': dict(self.recipe)}
        return json.loads(json.dumps(content))

    def seed_groups(self) -> list[tuple[int, ...]]:
        """The seeds that train together."""
        size = self.seeds_at_once or len(self.seeds)
        return [self.seeds[start : start + size] for start in range(0, len(self.seeds), size)]

    def _cell(self, text, score) -> Cell:
        label, own = row_fields(text, self.recipe)
        try:
            config = from_fields({**self.recipe, **own, 'score': score, 'num_epochs': 1})
        except InputError as error:
            raise InputError(f'{where(label)} with {score}: {error}') from None
        for name in self.search.ranges():
            if name in own:
                raise InputError(f'{where(label)} sets {name}, which is searched for; leave one of the two out')
        if 'margin' in self.search.ranges() and config.loss not in WITH_MARGIN:
            raise InputError(
                f'{where(label)} has no margin to search for: its loss is {config.loss}; empty search.margin'
            )
        return Cell(label, score, config, _folder_name(label, score))


def comparison_config(
    samplers: Sequence[str],
    baseline: str,
    scores: Sequence[str] = ('transe_l1',),
    seeds: Sequence[int] = (0, 1, 2),
    budget: str = '100 epochs',
    seeds_at_once: int = 0,
    search: Mapping = {},
    **recipe,
) -> ml_collections.ConfigDict:
    """A grid with every field, as the locked ConfigDict that a file in configs/ returns.

    Args:
        samplers: the rows. A row is the text of a sampler, with a label before it and fields of the recipe behind it
            where there are any: 'normal: bernoulli', 'alone: bernoulli; features=; num_negatives=16'.
        baseline: the label of a row; of one without, its text.
        scores: names of score functions.
        seeds: of every cell.
        budget: of every seed, as '40000 steps', '100 epochs', '60 seconds' or '1e8 triples'.
        seeds_at_once: how many of them train together, 0 for all.
        search: fields of `Search`.
        **recipe: fields of the recipe that differ from the default, but for those of OF_THE_GRID.
    """
    fields = dict(default_config(**recipe).items())
    for name in OF_THE_GRID:
        del fields[name]
    own = {'samplers': tuple(samplers), 'scores': tuple(scores), 'seeds': tuple(seeds), 'baseline': baseline}
    own |= {'budget': budget, 'seeds_at_once': seeds_at_once}
    searched = ml_collections.ConfigDict({**dataclasses.asdict(Search()), **search})
    return ml_collections.ConfigDict({**fields, **own, 'search': searched}).lock()


def from_config_dict(config: ml_collections.ConfigDict) -> Grid:
    """The validated grid of a ConfigDict.

    Raises:
        InputError: a field is unknown, has the wrong type or a value that cannot be used, or a combination of them
            makes no sense.
    """
    own = {field.name for field in dataclasses.fields(Grid)} - {'recipe'}
    recipe_names = [field.name for field in dataclasses.fields(Config) if field.name not in OF_THE_GRID]
    values = dict(config.items())
    for name in values:
        check_name('config', name, [*own, *recipe_names], kind='field of a comparison')
    for name in sorted(own - set(values)):
        raise InputError(f'config.{name} is missing: make the config with mans_jax.comparison.grid.comparison_config')
    recipe = {name: value for name, value in values.items() if name in recipe_names}
    recipe['features'] = dict(recipe.get('features', {}))
    _check_types(values)
    grid = Grid(
        samplers=tuple(values['samplers']),
        scores=tuple(values['scores']),
        seeds=tuple(values['seeds']),
        baseline=values['baseline'],
        budget=parse_budget(values['budget']),
        seeds_at_once=values['seeds_at_once'],
        search=_search(values['search']),
        recipe=recipe,
    )
    _check(grid)
    return grid


def _folder_name(label, score):
    """What a file system takes, and still other for labels that differ in more than spaces."""
    plain = re.sub('[^A-Za-z0-9.+=-]+', '_', label).strip('_')[:60]
    if plain != label.replace(' ', '_'):
        plain += '-' + hashlib.sha256(label.encode()).hexdigest()[:6]
    return f'{plain}.{score}'


_TYPES = {'samplers': tuple, 'scores': tuple, 'seeds': tuple, 'baseline': str, 'budget': str, 'seeds_at_once': int}


def _check_types(values):
    for name, kind in _TYPES.items():
        if not isinstance(values[name], list if kind is tuple else kind) and not isinstance(values[name], kind):
            raise InputError(f'config.{name} is {values[name]!r}, but must be of type {kind.__name__}')


def _search(values) -> Search:
    if not isinstance(values, Mapping | ml_collections.ConfigDict):
        raise InputError(f'config.search is {values!r}, but has the fields trials, learning_rate, margin and seed')
    fields = {field.name: field for field in dataclasses.fields(Search)}
    for name, value in values.items():
        check_name('config.search', name, fields, kind='field')
        if not isinstance(value, fields[name].type):
            raise InputError(f'config.search.{name} is {value!r}, but must be of type {fields[name].type.__name__}')
    search = Search(**dict(values.items()))
    if search.trials < 0:
        raise InputError(f'config.search.trials is {search.trials}, but must be at least 0')
    for name, lowest in (('learning_rate', 'above 0'), ('margin', 'at least 0')):
        bounds = getattr(search, name)
        numbers = all(isinstance(bound, int | float) and math.isfinite(bound) for bound in bounds)
        sound = numbers and len(bounds) == 2 and 0 <= bounds[0] < bounds[1] and (name == 'margin' or bounds[0] > 0)
        if bounds and not sound:
            raise InputError(
                f'config.search.{name} is {bounds}, but must be the least and the greatest, {lowest} and finite, or ()'
            )
    if search.trials and not search.ranges():
        raise InputError('config.search.trials is set, but nothing to search for: set search.learning_rate or .margin')
    return search


def _check(grid: Grid) -> None:
    """What concerns several fields; the cells check the rest."""
    for name in ('samplers', 'scores', 'seeds'):
        values = getattr(grid, name)
        if not values:
            raise InputError(f'config.{name} is empty: a comparison needs at least one')
        for value in values:
            if values.count(value) > 1:
                raise InputError(f'config.{name}: {value!r} stands there {values.count(value)} times; once is enough')
    for score in grid.scores:
        check_name('config.scores', score, SCORES)
    for seed in grid.seeds:
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise InputError(f'config.seeds: {seed!r} is no seed: a whole number from 0, below 2**32')
    if grid.seeds_at_once < 0:
        raise InputError(f'config.seeds_at_once is {grid.seeds_at_once}, but must be at least 0 (all of them)')
    labels = [row_fields(text, grid.recipe)[0] for text in grid.samplers]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(
                f'config.samplers: {labels.count(label)} rows are called {label!r}; give each its own label'
            )
        alike = [other for other in labels if other != label and _folder_name(other, '') == _folder_name(label, '')]
        if alike:
            raise InputError(f'{where(label)}: its folder would be that of {alike[0]!r}; give it another label')
    check_name('config.baseline', grid.baseline, labels, kind='row')
    grid.cells()
