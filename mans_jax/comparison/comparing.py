"""From a grid to its tables: checks every cell, trains what is left of each, and writes what came of all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from absl import logging

from mans_jax.comparison.cells import cell_folder, is_done, read_plan, train_cell
from mans_jax.comparison.grid import Grid
from mans_jax.comparison.output import write_outputs
from mans_jax.comparison.results import CellResult, read_results
from mans_jax.comparison.rows import where
from mans_jax.comparison.search import check_installed
from mans_jax.config import Config
from mans_jax.data import load_graph
from mans_jax.errors import InputError, NotServable
from mans_jax.graph import KnowledgeGraph
from mans_jax.run_log import write_json
from mans_jax.runs import make_run
from mans_jax.training import writable

_GRID = 'grid.json'


class Checked(NamedTuple):
    """The cells of a grid before any is trained.

    Attributes:
        graphs: the graph of each cell that can be trained, by the cell's name.
        not_served: why a cell cannot be, by its name.
    """

    graphs: Mapping[str, KnowledgeGraph]
    not_served: Mapping[str, str]


def compare(grid: Grid, workdir) -> str:
    """Trains a grid, going on where an earlier call stopped, and writes its tables.

    Args:
        grid: a validated grid.
        workdir: the folder of the comparison, made where it is missing. It receives cells/, grid.json, table.md,
            table.tex, table.csv, comparison.json, quality_against_time.png and .svg, and commands.sh.

    Returns:
        The content of table.md.

    Raises:
        InputError: the grid, its data or the workdir cannot be used.
        Interrupted: SIGTERM came; what has been trained is saved.
    """
    if grid.search.trials:
        check_installed()
    workdir = writable(Path(workdir))
    _check_grid(grid, workdir)
    checked = check_cells(grid, workdir)
    write_json(workdir / _GRID, grid.shared())
    cells = [cell for cell in grid.cells() if cell.name in checked.graphs]
    for number, cell in enumerate(cells, start=1):
        folder, graph = cell_folder(workdir, cell), checked.graphs[cell.name]
        if all(is_done(folder, seed) for seed in grid.seeds):
            continue
        logging.info('cell %d of %d: %s, %s', number, len(cells), cell.label, cell.score)
        train_cell(grid, cell, graph, workdir)
        # Whoever stops a long comparison has a table of what is done.
        write_outputs(grid, _results(grid, workdir, checked), checked.not_served, graph, workdir)
    graph = next(iter(checked.graphs.values()))
    return write_outputs(grid, _results(grid, workdir, checked), checked.not_served, graph, workdir)


def check_cells(grid: Grid, workdir: Path) -> Checked:
    """Reads the graphs, and makes every cell's model and sampler without training.

    Raises:
        InputError: a combination makes no sense, a file cannot be used, the workdir holds a cell with other settings,
            or the graph cannot serve the baseline.
    """
    graphs, served, not_served = {}, {}, {}
    for cell in grid.cells():
        try:
            graph = _graph_of(cell.config, graphs)
            if read_plan(cell_folder(workdir, cell), cell, graph) is None:
                make_run(cell.config, graph)
            served[cell.name] = graph
        except NotServable as reason:
            not_served[cell.name] = str(reason)
            logging.warning('%s, %s is left out: %s', cell.label, cell.score, reason)
            if cell.label == grid.baseline:
                raise InputError(f'config.baseline: {cell.label!r} cannot be trained: {reason}') from None
        except InputError as error:
            raise InputError(f'{where(cell.label)} with {cell.score}: {error}') from None
    return Checked(served, not_served)


def _graph_of(config: Config, graphs: dict) -> KnowledgeGraph:
    """The graph of a recipe, read once for all that have the same modalities."""
    key = json.dumps(dict(config.features), sort_keys=True)
    if key not in graphs:
        graph, report = load_graph(config.data, config.features, splits=config.splits, ratios=config.split_ratios)
        if not graphs and report.line():
            logging.warning('%s: %s', graph.name, report.line())
        logging.info('%s: %d entities seen through %s', graph.name, graph.num_entities, ', '.join(graph.modalities))
        graphs[key] = graph
    return graphs[key]


def _check_grid(grid: Grid, workdir: Path) -> None:
    """Refuses the workdir of a comparison on other terms."""
    path = workdir / _GRID
    if not path.exists():
        return
    try:
        before = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f'{path}: cannot be read ({error}); choose another --workdir') from None
    now = _flat(grid.shared())
    # A field that has come since then had its default, whose meaning is always that of before.
    before = {f'recipe.{name}': value for name, value in json.loads(Config().to_json()).items()} | _flat(before)
    for name, value in now.items():
        if before.get(name) != value:
            raise InputError(
                f'config.{name.removeprefix("recipe.")} is {value!r}, but the comparison in {workdir} has '
                f'{before.get(name)!r}: set it back, or choose another --workdir'
            )


def _flat(shared: Mapping) -> dict:
    parts = {f'{part}.{name}': value for part in ('search', 'recipe') for name, value in shared[part].items()}
    return {'budget': shared['budget'], **parts}


def _results(grid: Grid, workdir: Path, checked: Checked) -> list[CellResult]:
    """Of the cells that have been begun, in order."""
    found = []
    for cell in grid.cells():
        folder = cell_folder(workdir, cell)
        plan = read_plan(folder, cell, checked.graphs[cell.name]) if cell.name in checked.graphs else None
        if plan is not None:
            found.append(read_results(folder, plan, grid.seeds))
    return found
