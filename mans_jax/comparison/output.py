"""The files that a comparison writes: tables, a plot, and the commands that repeat its rows."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import logging

from mans_jax.comparison.cells import RECIPE
from mans_jax.comparison.grid import Grid
from mans_jax.comparison.plot import plot
from mans_jax.comparison.results import CellResult
from mans_jax.comparison.significance import RESAMPLES, WHAT_IS_TESTED, WITH_ONE_SEED
from mans_jax.comparison.table import (
    comma_separated,
    cost_columns,
    degree_columns,
    latex,
    markdown,
    quality_columns,
    rows_of,
    tests_of,
)
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph
from mans_jax.rank_statistics import LEVEL
from mans_jax.run_log import write_json, write_text
from mans_jax.tasks.breakdowns import answer_groups

BY_DEGREE = 'MRR by how many distinct train triples the answer is in:'


def write_outputs(
    grid: Grid,
    results: Sequence[CellResult],
    not_served: Mapping[str, str],
    graph: KnowledgeGraph,
    workdir: Path,
) -> str:
    """Writes table.md, table.tex, table.csv, comparison.json, commands.sh and the plot.

    Args:
        grid: the grid.
        results: of the cells that have been begun.
        not_served: why a cell was left out, by its name.
        graph: of any of its cells, for its name and its number of test triples.
        workdir: where the files go.

    Returns:
        The content of table.md.
    """
    tests = tests_of(results, grid.baseline, grid.seeds)
    degrees = answer_groups(graph, graph.test)['degree']
    rows = rows_of(results, tests, degrees)
    searched = list(grid.search.ranges()) if grid.search.trials else []
    quality, costs = quality_columns(rows, grid.baseline, searched), cost_columns(rows)
    by_degree = degree_columns(rows, degrees)
    about, notes = _about(grid, graph), _notes(grid, results, not_served, len(tests))
    commands = commands_of(grid, results, workdir)
    first = '\n'.join(f'# {label}\n{own[0]}' for label, own in commands.items())
    text = (
        f'{about}\n\n{markdown(quality)}\n{BY_DEGREE}\n\n{markdown(by_degree)}\n{markdown(costs)}\n'
        + '\n\n'.join(notes)
        + '\n\n'
        f'To repeat the first seed of a row (commands.sh has all seeds):\n\n```sh\n{first}\n```\n'
    )
    write_text(workdir / 'table.md', text)
    comments = ''.join(f'% {line}\n' for line in [about, *notes, 'Needs \\usepackage{booktabs}.'])
    write_text(workdir / 'table.tex', f'{comments}{latex(quality)}\n% {BY_DEGREE}\n{latex(by_degree)}\n{latex(costs)}')
    write_text(workdir / 'table.csv', comma_separated(rows))
    described = {'about': about, 'notes': notes, 'shared': grid.shared(), 'baseline': grid.baseline}
    write_json(workdir / 'comparison.json', {**described, 'not_served': dict(not_served), 'rows': rows})
    lines = [f'# {label}\n' + ''.join(f'{command}\n' for command in own) for label, own in commands.items()]
    write_text(workdir / 'commands.sh', '\n'.join(['#!/bin/sh', *lines]))
    try:
        plot(results, workdir / 'quality_against_time')
    except InputError as reason:
        logging.warning('the plot of quality against time is left out: %s', reason)
    return text


def commands_of(grid: Grid, results: Sequence[CellResult], workdir: Path) -> dict[str, list[str]]:
    """The commands that repeat the seeds of each row, by its label and score."""

    def command(folder, seed):
        config, again = folder / RECIPE, workdir / 'repeated' / folder.name / f'seed_{seed}'
        parts = ['python', '-m', 'mans_jax.train', f'--config={config}', f'--config.seed={seed}', f'--workdir={again}']
        return shlex.join(parts)

    return {
        f'{result.plan.label}, {result.plan.score}': [command(result.folder, seed) for seed in grid.seeds]
        for result in results
    }


def _about(grid, graph):
    seeds = ', '.join(map(str, grid.seeds))
    return (
        f'{graph.name}: {len(graph.test):,} test triples, {len(graph.valid):,} valid; splits {grid.recipe["splits"]}, '
        f'ties {grid.recipe["ties"]}. Budget of every seed: {grid.budget}, in whole epochs. Seeds {seeds}. '
        f'Scores {", ".join(grid.scores)}. Means and standard deviations over seeds, on test.'
    )


def _notes(grid, results, not_served, num_tests):
    notes = []
    if num_tests:
        said = WHAT_IS_TESTED.format(resamples=RESAMPLES, tests=num_tests, level=LEVEL)
        notes.append(said + (WITH_ONE_SEED if len(grid.seeds) == 1 else ''))
    together = [len(seeds) for seeds in grid.seed_groups()]
    notes.append(
        f'A step is that of one seed, {max(together)} of them in one program; training is all its steps, without '
        f'compilation, validation and checkpoints. Triples scored are those that the model scores: positives, '
        f'negatives, and what the sampler asks it for.'
    )
    if grid.search.trials:
        ranges = ', '.join(f'{name} in {low:g} to {high:g}' for name, (low, high) in grid.search.ranges().items())
        notes.append(f'Searched on valid with {grid.search.trials} trials for each row: {ranges}.')
    for result in results:
        name = f'{result.plan.label}, {result.plan.score}'
        for seed, why in result.failures.items():
            notes.append(f'{name}: seed {seed} has diverged and is in no mean; the row is not tested ({why}).')
        missing = len(grid.seeds) - len(result.seeds) - len(result.failures)
        if missing:
            notes.append(f'{name}: {missing} of {len(grid.seeds)} seeds are still to be trained.')
    notes += [f'{cell.label}, {cell.score} is left out: {not_served[cell.name]}' for cell in grid.cells()
              if cell.name in not_served]  # fmt: skip
    return notes
