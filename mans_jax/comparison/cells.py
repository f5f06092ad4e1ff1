"""One cell of a grid: what it is trained with, its training, and what that leaves in its folder."""

import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from absl import logging

from mans_jax.checkpoints import Checkpoints
from mans_jax.comparison.budget import epochs_of
from mans_jax.comparison.costs import bytes_of_a_seed, costs_of, seconds_of_a_step
from mans_jax.comparison.grid import Cell, Grid
from mans_jax.comparison.search import search
from mans_jax.config import Config, from_fields
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph
from mans_jax.run_log import write_bytes, write_json, write_text
from mans_jax.runs import Run, check_graph, make_run, on_mesh
from mans_jax.training import FAILURE, judge, programs_of, train_seeds, writable

RESULTS, RANKS, PLAN, RECIPE = 'results.json', 'test_ranks.npz', 'cell.json', 'recipe.py'

_MEASURED_SHARE, _MEASURED_SECONDS = 0.05, 1.0
"""How long a step is measured for a budget in seconds: this share of it, and at least so many seconds."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a cell is trained with, decided once and kept in cell.json.

    Attributes:
        label: of the row.
        score: of the cell.
        asked: the recipe of the cell as the grid has it.
        graph: checksum of the graph.
        num_epochs: that the budget pays for.
        steps_per_epoch: of the recipe.
        costs: the fields of `Costs`.
        seconds_per_step: as measured for a budget in seconds, or None.
        found: what the search has found, None before it is done.
    """

    label: str
    score: str
    asked: Mapping
    graph: str
    num_epochs: int
    steps_per_epoch: int
    costs: Mapping
    seconds_per_step: float | None = None
    found: Mapping | None = None

    def config(self) -> Config:
        """The recipe that is trained."""
        return from_fields({**self.asked, **(self.found or {}), 'num_epochs': self.num_epochs})


def cell_folder(workdir: Path, cell: Cell) -> Path:
    """Where a cell is kept."""
    return workdir / 'cells' / cell.name


def seed_folder(folder: Path, seed: int) -> Path:
    """Where a seed of the cell in a folder is kept; it is the workdir of an ordinary run."""
    return folder / f'seed_{seed}'


def is_done(folder: Path, seed: int) -> bool:
    """Whether a seed has been tested, or has diverged."""
    return any((seed_folder(folder, seed) / name).exists() for name in (RESULTS, FAILURE))


def read_plan(folder: Path, cell: Cell, graph: KnowledgeGraph) -> Plan | None:
    """The plan of a cell, None where it has not been begun.

    Raises:
        InputError: the folder holds a cell with other settings or of another graph.
    """
    path = folder / PLAN
    try:
        plan = Plan(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f'{path}: cannot be read ({error}); delete the folder to train the cell anew') from None
    now = _as_json(cell.config)
    for name in now:
        if plan.asked.get(name, _as_json(Config()).get(name)) != now[name]:
            raise InputError(
                f'row {cell.label!r}: its {name} is {now[name]!r}, but the cell in {folder} has '
                f'{plan.asked.get(name)!r}: set it back, give the row another label, or choose another --workdir'
            )
    check_graph(graph, plan.graph, folder)
    return plan


def train_cell(grid: Grid, cell: Cell, graph: KnowledgeGraph, workdir: Path) -> None:
    """Trains and tests what is left of a cell: its search, then its seeds.

    Args:
        grid: the grid.
        cell: one of its cells.
        graph: of the cell.
        workdir: of the comparison.

    Raises:
        InputError: the budget does not pay for an epoch, nothing is found, or a folder cannot be used.
        Interrupted: SIGTERM came; what has been trained is saved.
    """
    folder = writable(cell_folder(workdir, cell))
    plan = read_plan(folder, cell, graph) or _begin(grid, cell, graph, folder)
    if plan.found is None:
        found = search(plan.config(), graph, grid.search, folder / 'search') if grid.search.trials else {}
        plan = _write(folder, dataclasses.replace(plan, found=found))
    config = plan.config()
    write_text(folder / RECIPE, recipe_file(cell.label, config))
    run = on_mesh(make_run(config, graph))
    program_of = programs_of(run)
    for seeds in grid.seed_groups():
        if all(is_done(folder, seed) for seed in seeds):
            continue
        # One that has diverged keeps its place, so that a resume has the same program.
        left = {seed: seed_folder(folder, seed) for seed in seeds if not (seed_folder(folder, seed) / RESULTS).exists()}
        for place in left.values():
            writable(place)
        logging.info(
            'seeds %s together: %d x %.1f MB of parameters and states', [*left], len(left), bytes_of_a_seed(run) / 1e6
        )
        for member in train_seeds(run, left, program_of):
            if member.failure is None:
                _test(member.run, member.workdir)


def recipe_file(label: str, config: Config) -> str:
    """A file for --config of `mans_jax.train` that holds a recipe."""
    fields = {name: value for name, value in dataclasses.asdict(config).items() if name != 'seed'}
    lines = ''.join(f'        {name}={value!r},\n' for name, value in fields.items())
    return (
        f'"""{label.replace(chr(34), chr(39))}: written by mans_jax.compare."""\n\n'
        f'from mans_jax.config import default_config\n\n\n'
        f'def get_config():\n    return default_config(\n{lines}    )\n'
    )


def _begin(grid, cell, graph, folder) -> Plan:
    """What the budget pays for, and what the sampler costs."""
    run, seconds = on_mesh(make_run(cell.config, graph)), None
    costs = costs_of(run)
    if grid.budget.unit == 'seconds':
        seeds = grid.seed_groups()[0]
        at_least = max(_MEASURED_SECONDS, _MEASURED_SHARE * grid.budget.amount * len(seeds))
        seconds = seconds_of_a_step(run, seeds, at_least)
        logging.info('a step takes %.3g ms for each of %d seeds', 1000 * seconds, len(seeds))
    try:
        num_epochs = epochs_of(grid.budget, run.steps_per_epoch, costs.triples_per_step, seconds)
    except InputError as error:
        raise InputError(f'row {cell.label!r} with {cell.score}: {error}') from None
    plan = Plan(
        label=cell.label,
        score=cell.score,
        asked=_as_json(cell.config),
        graph=graph.checksum(),
        num_epochs=num_epochs,
        steps_per_epoch=run.steps_per_epoch,
        costs=costs._asdict(),
        seconds_per_step=seconds,
    )
    return _write(folder, plan)


def _write(folder, plan) -> Plan:
    write_json(folder / PLAN, dataclasses.asdict(plan))
    return plan


def _test(run: Run, workdir: Path) -> None:
    """Tests a seed; results.json comes last, since it says that all is there."""
    state, results, counts = judge(run, workdir)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, better=counts.better.astype(np.int32), tied=counts.tied.astype(np.int32))
    write_bytes(workdir / RANKS, buffer.getvalue())
    write_json(workdir / RESULTS, results)
    with Checkpoints(workdir / 'checkpoints') as checkpoints:
        checkpoints.keep_only(int(state.step))


def _as_json(config: Config) -> dict:
    """The fields of a recipe but for those that a cell has no say in."""
    fields = json.loads(config.to_json())
    return {name: value for name, value in fields.items() if name not in ('seed', 'num_epochs')}
