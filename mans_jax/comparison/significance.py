"""Whether a row is better than the baseline, or only luckier with its seeds and its test triples."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mans_jax.rank_statistics import LEVEL, bootstrap_means

RESAMPLES = 10_000
"""How often test triples and seeds are drawn anew."""

WHAT_IS_TESTED = (
    'Tested is, for each row, whether its difference of test MRR to the baseline is zero: the mean over seeds and test '
    'triples of the difference of reciprocal ranks, of both sides of a triple, between the row and the baseline with '
    'the same seed. Test triples and seeds are drawn with replacement {resamples:,} times, the same triples for all '
    "rows and seeds; the seeds' part of a draw is stretched by sqrt(S / chi2), S seeds and chi2 of S - 1 degrees of "
    "freedom, so that a spread known from few seeds is as unsure as it is in Student's t. p is the share of draws "
    'that differ from their mean by at least the difference itself (two-sided), corrected for the {tests} rows tested '
    "by Holm's method. The interval is that of {level:.0%}, not corrected."
)
WITH_ONE_SEED = (
    ' With one seed only the test triples are drawn: the test is then about these trained models, not about the '
    'samplers.'
)


class Test(NamedTuple):
    """What the draws say of a difference.

    Attributes:
        difference: of the row's test MRR to the baseline's.
        low: the lower end of its interval.
        high: the upper end.
        p: two-sided, not corrected.
        corrected_p: by Holm's method.
    """

    difference: float
    low: float
    high: float
    p: float
    corrected_p: float


def paired_tests(differences: Mapping, seed: int = 0, resamples: int = RESAMPLES) -> dict:
    """Tests differences to a baseline.

    The bootstrap over seeds alone would be far too sure of itself: with three seeds and no true difference it calls up
    to a third of the rows different at a level of 5 %. See `drawn_differences` for what is done about it.

    Args:
        differences: by name, float64[N, S]: a row's value minus the baseline's, for N test triples and S seeds, the
            same N for all.
        seed: of the draws.
        resamples: how often is drawn.

    Returns:
        A Test by name.
    """
    if not differences:
        return {}
    # Drawn together, so that all rows see the same triples.
    sizes = [columns.shape[1] for columns in differences.values()]
    means = bootstrap_means(np.concatenate(list(differences.values()), axis=1), seed, resamples)
    found = {}
    for name, own in zip(differences, np.split(means, np.cumsum(sizes)[:-1], axis=1), strict=True):
        drawn, difference = drawn_differences(own, seed), float(differences[name].mean())
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        as_far = np.sum(np.abs(drawn - difference) >= abs(difference))
        # The difference itself counts as one of the draws, so that p is never zero.
        found[name] = (difference, float(low), float(high), float((1 + as_far) / (1 + resamples)))
    corrected = holm([p for *_, p in found.values()])
    return {name: Test(*values, p) for (name, values), p in zip(found.items(), corrected, strict=True)}


def drawn_differences(means: np.ndarray, seed: int) -> np.ndarray:
    """Means over seeds that are drawn, too.

    A mean over S drawn seeds has S - 1 S-ths of the variance that it should have, and a spread that is known from S
    values is itself unsure. The deviation of each draw from the mean over all seeds is therefore stretched by
    sqrt(S / (S - 1)) * sqrt((S - 1) / chi2), chi2 drawn with S - 1 degrees of freedom: were the seeds' values normal
    and nothing else random, the draws were those of Student's t.

    Args:
        means: float64[resamples, S], means over drawn test triples by seed.
        seed: of the draws.

    Returns:
        float64[resamples].
    """
    resamples, num_seeds = means.shape
    if num_seeds == 1:
        return means[:, 0]
    rng = np.random.default_rng([seed, num_seeds])
    counts = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=resamples)
    stretch = np.sqrt(num_seeds / rng.chisquare(num_seeds - 1, size=(resamples, 1)))
    weights = 1 / num_seeds + stretch * (counts - 1) / num_seeds
    return np.sum(weights * means, axis=1)


def holm(values) -> list[float]:
    """p-values corrected for their number, in the order given.

    The chance that any true null hypothesis has a corrected value at most a is at most a. See "A Simple Sequentially
    Rejective Multiple Test Procedure", Holm, 1979.
    """
    values = np.asarray(values, dtype=float)
    order = np.argsort(values, kind='stable')
    steps = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    corrected = np.empty_like(steps)
    corrected[order] = steps
    return corrected.tolist()
