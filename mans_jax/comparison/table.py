"""The results of a comparison as rows of numbers, and these as Markdown, LaTeX and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np

from mans_jax.comparison.results import METRICS, CellResult
from mans_jax.comparison.significance import Test, paired_tests

HEADINGS = {
    'mrr': 'MRR',
    'hits_at_1': 'hits_at_1',
    'hits_at_3': 'hits_at_3',
    'hits_at_10': 'hits_at_10',
    'head_mrr': 'MRR head side',
    'tail_mrr': 'MRR tail side',
}

_OF_DEGREE = 'mrr_degree_'

_SPECIAL = {'\\': r'\textbackslash{}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}'}
_SPECIAL |= {character: '\\' + character for character in '&%$#_{}'}


def tests_of(results: Sequence[CellResult], baseline: str, seeds: Sequence[int]) -> dict[tuple[str, str], Test]:
    """Tests every row against the baseline with its score function.

    A row is tested where it and the baseline have all seeds: to leave those out that have diverged would flatter it.

    Args:
        results: of the cells.
        baseline: the label of the row that the others are tested against.
        seeds: that every cell should have.

    Returns:
        By label and score.
    """
    complete = {
        (result.plan.label, result.plan.score): np.mean([seed.reciprocal for seed in result.seeds], axis=1).T
        for result in results
        if [seed.seed for seed in result.seeds] == list(seeds)
    }
    return paired_tests(
        {
            (label, score): values - complete[baseline, score]
            for (label, score), values in complete.items()
            if label != baseline and (baseline, score) in complete
        }
    )


def rows_of(
    results: Sequence[CellResult], tests: Mapping[tuple[str, str], Test], degrees: Mapping[str, np.ndarray]
) -> list[dict]:
    """A row for each cell, of plain values; None where there is none.

    Args:
        results: of the cells.
        tests: by label and score.
        degrees: the positions of the answers of a degree among all 2 N, heads first, by what the degree is called.
    """
    return [_row(result, tests.get((result.plan.label, result.plan.score)), degrees) for result in results]


def _row(result, test, degrees) -> dict:
    plan, costs, tested = result.plan, result.plan.costs, bool(result.seeds)
    config = plan.config()
    row = {
        'row': plan.label,
        'sampler': config.sampler,
        'strategy': config.strategy,
        'score': plan.score,
        'seeds': [seed.seed for seed in result.seeds],
        'diverged': sorted(result.failures),
    }
    for metric in METRICS:
        row[f'{metric}_mean'] = result.mean(metric) if tested else None
        row[f'{metric}_std'] = result.deviation(metric) if tested else None
    for name, positions in degrees.items():
        both = result.mrr_of(positions) if tested else (None, None)
        row |= zip((f'{_OF_DEGREE}{name}_mean', f'{_OF_DEGREE}{name}_std'), both, strict=True)
    row |= dict(zip(('difference', 'low', 'high', 'p', 'p_holm'), test or [None] * 5, strict=True))
    return row | {
        'learning_rate': config.learning_rate,
        'margin': config.margin,
        'epochs': plan.num_epochs,
        'steps': result.steps,
        'scored_triples': result.steps * costs['triples_per_step'],
        'seconds_per_step': result.seconds_per_step if tested else None,
        'training_seconds': result.seconds_per_step * result.steps if tested else None,
        'sampler_parameters': costs['parameters'],
        'sampler_state_bytes': costs['state_bytes'],
        'sampler_table_bytes': costs['table_bytes'],
    }


def quality_columns(rows: Sequence[Mapping], baseline: str, searched: Sequence[str]) -> list[list[str]]:
    """The table of qualities, its heading first."""
    several = len({row['score'] for row in rows}) > 1
    heading = ['row', *['score'] * several, *HEADINGS.values(), 'MRR − baseline', 'p', *searched]
    lines = []
    for row in rows:
        numbers = [_spread(row[f'{name}_mean'], row[f'{name}_std']) for name in HEADINGS]
        found = [format(row[name], '.4g') for name in searched]
        difference = 'baseline' if row['row'] == baseline else _difference(row)
        lines.append([row['row'], *[row['score']] * several, *numbers, difference, _p(row['p_holm']), *found])
    return [heading, *lines]


def degree_columns(rows: Sequence[Mapping], degrees: Mapping[str, np.ndarray]) -> list[list[str]]:
    """The table of MRR by the degree of the answer, its heading first and how many answers there are second."""
    several = len({row['score'] for row in rows}) > 1
    heading = ['row', *['score'] * several, *degrees]
    counts = ['answers', *[''] * several, *(f'{len(positions):,}' for positions in degrees.values())]
    lines = []
    for row in rows:
        numbers = [_spread(row[f'{_OF_DEGREE}{name}_mean'], row[f'{_OF_DEGREE}{name}_std']) for name in degrees]
        lines.append([row['row'], *[row['score']] * several, *numbers])
    return [heading, counts, *lines]


def cost_columns(rows: Sequence[Mapping]) -> list[list[str]]:
    """The table of costs, its heading first."""
    several = len({row['score'] for row in rows}) > 1
    heading = ['row', *['score'] * several, 'epochs', 'steps', 'triples scored', 'ms a step', 'training']
    heading += ['extra parameters', "sampler's state", "sampler's tables"]
    lines = []
    for row in rows:
        counts = [f'{row["epochs"]:,}', f'{row["steps"]:,}', f'{row["scored_triples"]:,}']
        times = [_number(row['seconds_per_step'], 1000, '.3g', ''), _number(row['training_seconds'], 1, '.1f', ' s')]
        memory = [_size(row['sampler_state_bytes']), _size(row['sampler_table_bytes'])]
        own = [*counts, *times, f'{row["sampler_parameters"]:,}', *memory]
        lines.append([row['row'], *[row['score']] * several, *own])
    return [heading, *lines]


def markdown(table: Sequence[Sequence[str]]) -> str:
    """A table of text in Markdown, the first line its heading."""
    heading, *lines = [[cell.replace('|', r'\|') for cell in line] for line in table]
    return '\n'.join(f'| {" | ".join(line)} |' for line in [heading, ['---'] * len(heading), *lines]) + '\n'


def latex(table: Sequence[Sequence[str]]) -> str:
    """A table of text as a LaTeX tabular, which needs the package booktabs."""
    heading, *lines = [' & '.join(_escaped(cell) for cell in line) + r' \\' for line in table]
    columns = 'l' + 'r' * (len(table[0]) - 1)
    parts = [rf'\begin{{tabular}}{{{columns}}}', r'\toprule', heading, r'\midrule', *lines, r'\bottomrule']
    return '\n'.join([*parts, r'\end{tabular}']) + '\n'


def comma_separated(rows: Sequence[Mapping]) -> str:
    """All numbers of the rows as CSV, with a heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator='\n')
    writer.writeheader()
    for row in rows:
        lists = {name: ' '.join(map(str, value)) for name, value in row.items() if isinstance(value, list)}
        writer.writerow({**row, **lists})
    return text.getvalue()


def _spread(mean, deviation):
    return '-' if mean is None else f'{mean:.3f}' + ('' if deviation is None else f' ± {deviation:.3f}')


def _difference(row):
    if row['difference'] is None:
        return '-'
    return f'{row["difference"]:+.3f} ({row["low"]:+.3f} to {row["high"]:+.3f})'


def _p(p):
    return '' if p is None else '< 0.001' if p < 0.001 else f'{p:.3f}'


def _number(value, times, form, unit):
    return '-' if value is None else format(value * times, form) + unit


def _size(count):
    for unit, size in (('GB', 10**9), ('MB', 10**6), ('kB', 10**3)):
        if count >= size:
            return f'{count / size:.3g} {unit}'
    return f'{count} B' if count else '0'


def _escaped(text):
    escaped = ''.join(_SPECIAL.get(character, character) for character in text)
    return escaped.replace(' ± ', r' $\pm$ ').replace('−', '$-$').replace('<', '$<$')
