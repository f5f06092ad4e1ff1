"""Quality against time: what each row of a comparison has reached after how many seconds of training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mans_jax.comparison.results import CellResult
from mans_jax.data.extras import import_for_comparison

_COLOURS = 10
_LINES = ('-', '--', ':', '-.')


def plot(results: Sequence[CellResult], path: Path) -> None:
    """Writes a plot as PNG and SVG: MRR on valid against seconds of training, and at their end that on test.

    A line is the mean over seeds with its standard deviation; each score function has a panel.

    Args:
        results: of the cells; those without a tested seed are left out.
        path: of the files, without their suffix.

    Raises:
        InputError: matplotlib is not installed.
    """
    figures = import_for_comparison('matplotlib.figure')
    results = [result for result in results if result.seeds]
    scores = list(dict.fromkeys(result.plan.score for result in results))
    if not scores:
        return
    figure = figures.Figure(figsize=(2 + 5 * len(scores), 4.5), layout='constrained')
    axes = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    labels = list(dict.fromkeys(result.plan.label for result in results))
    for axis, score in zip(axes, scores, strict=True):
        for result in results:
            if result.plan.score == score:
                _draw(axis, result, labels.index(result.plan.label))
        axis.set(title=score, xlabel='seconds of training, one seed', xlim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel('MRR on valid (line), on test (mark)')
    axes[-1].legend(loc='upper left', bbox_to_anchor=(1.02, 1), frameon=False)
    for suffix, metadata in (('.png', {}), ('.svg', {'Date': None})):
        figure.savefig(path.with_suffix(suffix), dpi=150, metadata=metadata)


def _draw(axis, result, number):
    colour, line = f'C{number % _COLOURS}', _LINES[number // _COLOURS % len(_LINES)]
    curves = [dict(seed.curve) for seed in result.seeds]
    steps = sorted(set.intersection(*map(set, curves)))
    seconds = result.seconds_per_step * np.array(steps)
    values = np.array([[curve[step] for step in steps] for curve in curves])
    if steps:
        axis.plot(seconds, values.mean(axis=0), color=colour, linestyle=line)
        if len(curves) > 1:
            spread = values.std(axis=0, ddof=1)
            low, high = values.mean(axis=0) - spread, values.mean(axis=0) + spread
            axis.fill_between(seconds, low, high, color=colour, alpha=0.12, linewidth=0)
    end = result.seconds_per_step * result.steps
    deviation = result.deviation('mrr')
    axis.errorbar(
        [end],
        [result.mean('mrr')],
        yerr=None if deviation is None else [deviation],
        color=colour,
        linestyle=line,
        marker='o',
        capsize=3,
        label=result.plan.label,
    )
