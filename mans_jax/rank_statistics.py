"""What ranks amount to: means, indices that a random order would give zero, and how sure they are.

Everything follows from the means of seven columns, so that a group of ranks and a resample of it are treated alike.
"""

from typing import NamedTuple

import numpy as np

from mans_jax.ranking import ranks

METRICS = (
    'mrr',
    'mean_rank',
    'hits_at_1',
    'hits_at_3',
    'hits_at_10',
    'adjusted_mean_rank_index',
    'adjusted_mrr',
)
"""The names of the metrics of a group of ranks."""

RESAMPLES, LEVEL = 1000, 0.95
"""How often a group is drawn anew for its intervals, and the share of the draws that an interval holds."""

_DRAWS_AT_ONCE = 1 << 17


def rank_columns(better: np.ndarray, tied: np.ndarray, others: np.ndarray, ties: str = 'realistic') -> np.ndarray:
    """The columns whose means are all that a metric needs.

    Args:
        better: int[...], candidates that score higher than the target.
        tied: int[...], other candidates that score the same.
        others: int[...], candidates besides the target.
        ties: one of `mans_jax.ranking.TIES`.

    Returns:
        float64[..., 7]: 1 / rank, rank, whether it is at most 1, 3 and 10, and what a random order of the candidates
        gives on average for the rank and for 1 / rank.
    """
    rank, count = ranks(better, tied, ties), np.asarray(others) + 1
    inverse_mean = np.cumsum(1 / np.arange(1, count.max(initial=1) + 1)) / np.arange(1, count.max(initial=1) + 1)
    hits = [rank <= k for k in (1, 3, 10)]
    return np.stack([1 / rank, rank, *hits, (count + 1) / 2, inverse_mean[count - 1]], axis=-1).astype(np.float64)


def metrics_of_means(means: np.ndarray) -> np.ndarray:
    """The METRICS of means of `rank_columns`.

    The adjusted mean rank index is 1 - (mean rank - 1) / (expected mean rank - 1), and the adjusted MRR is
    (MRR - expected MRR) / (1 - expected MRR). Both are 1 where every target comes first and, on average, 0 where the
    order is random, however many candidates there are. NaN where there are no other candidates.

    See "On the Ambiguity of Rank-Based Evaluation of Entity Alignment or Link Prediction Methods", Berrendorf et al.,
    2020 (arXiv 2002.06914), and "A Unified Framework for Rank-based Evaluation Metrics for Link Prediction in Knowledge
    Graphs", Hoyt et al., 2022 (arXiv 2203.07544).

    Args:
        means: float64[..., 7].

    Returns:
        float64[..., 7], in the order of METRICS.
    """
    mrr, mean_rank, hits, expected_rank, expected_mrr = np.split(means, [1, 2, 5, 6], axis=-1)
    # Without other candidates both denominators are zero.
    is_open = expected_rank > 1
    rank_range, mrr_range = np.where(is_open, expected_rank - 1, np.nan), np.where(is_open, 1 - expected_mrr, np.nan)
    indices = [1 - (mean_rank - 1) / rank_range, (mrr - expected_mrr) / mrr_range]
    return np.concatenate([mrr, mean_rank, hits, *indices], axis=-1)


class Estimate(NamedTuple):
    """Means of a group, and of RESAMPLES draws from it.

    Attributes:
        means: float64[..., 7], of `rank_columns`.
        drawn: float64[RESAMPLES, ..., 7], or None.
        count: N, the rows of the group.
    """

    means: np.ndarray
    drawn: np.ndarray | None
    count: int

    def map(self, change) -> 'Estimate':
        """An estimate of what `change` makes of the leading axes: an index, or a mean over some."""
        return Estimate(change(self.means), None if self.drawn is None else change(self.drawn), self.count)

    def describe(self) -> dict:
        """The metrics; `means` must be float64[7].

        Returns:
            {metric: value for METRICS, 'count': N}, and where something was drawn 'intervals': {metric: [low, high]},
            the range of the middle LEVEL of the draws. None stands for a value that is not defined.
        """
        result = dict(zip(METRICS, _plain(metrics_of_means(self.means)), strict=True))
        result['count'] = self.count
        if self.drawn is not None:
            tail = (1 - LEVEL) / 2
            bounds = np.quantile(metrics_of_means(self.drawn), [tail, 1 - tail], axis=0).T
            result['intervals'] = dict(zip(METRICS, map(_plain, bounds), strict=True))
        return result


def estimate(columns: np.ndarray, seed: int | None = None) -> Estimate:
    """Means of a group's columns, and the bootstrap of them.

    Args:
        columns: float64[N, ..., 7], N > 0; a row is drawn as a whole, with all that stands in it.
        seed: of the bootstrap; None for no draws, which a single row cannot give either.
    """
    drawn = None if seed is None or len(columns) < 2 else bootstrap_means(columns, seed)
    return Estimate(columns.mean(axis=0), drawn, len(columns))


def bootstrap_means(columns: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Means over rows drawn with replacement, as many as there are.

    Args:
        columns: float64[N, ...].
        seed: decides the draws.
        resamples: how often.

    Returns:
        float64[resamples, ...].
    """
    rng, n = np.random.default_rng(seed), len(columns)
    flat, means = columns.reshape(n, -1), []
    at_once = max(_DRAWS_AT_ONCE // n, 1)
    for start in range(0, resamples, at_once):
        number = min(at_once, resamples - start)
        drawn = rng.integers(0, n, (number, n)) + n * np.arange(number)[:, None]
        # How often each row is drawn: a product of matrices, instead of so many rows to read.
        counts = np.bincount(drawn.ravel(), minlength=number * n).reshape(number, n)
        means.append(counts.astype(np.float64) @ flat / n)
    return np.concatenate(means).reshape(resamples, *columns.shape[1:])


def _plain(values):
    """Numbers for JSON, which has no NaN."""
    return [None if np.isnan(value) else float(value) for value in values]
