"""Metrics of ranks beside what chance would give, and how far other test triples would have moved them.

Every metric here is a function of means over ranks. A rank is turned into its terms once, and groups, resamples and
macro averages are sums of them.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

TERMS = 7
"""Reciprocal rank, rank, hits at 1, 3 and 10, and the first two as a random order would have them."""

METRICS = (
    'mrr',
    'mean_rank',
    'hits_at_1',
    'hits_at_3',
    'hits_at_10',
    'adjusted_mean_rank_index',
    'adjusted_mrr',
)

CONFIDENCE = 0.95
_DRAWS_AT_ONCE = 1 << 22


def terms(ranks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What the metrics are means of.

    Args:
        ranks: float[...], 1 is best.
        others: int[...], how many candidates each rank had besides the target.

    Returns:
        float64[..., TERMS].
    """
    harmonic = np.cumsum(1 / np.arange(1, int(others.max(initial=0)) + 2))
    hits = [(ranks <= k).astype(np.float64) for k in (1, 3, 10)]
    return np.stack([1 / ranks, ranks, *hits, harmonic[others] / (others + 1), 1 + others / 2], axis=-1)


def metrics_of(means: np.ndarray) -> np.ndarray:
    """Metrics from the means of terms.

    The adjusted mean rank index is 1 - (mean rank - 1) / (expected mean rank - 1): 1 is best and 0 is chance, see "On
    the Ambiguity of Rank-Based Evaluation of Entity Alignment or Link Prediction Methods", Berrendorf et al., 2020
    (arXiv 2002.06914). The adjusted MRR is (MRR - expected MRR) / (1 - expected MRR), see "A Unified Framework for
    Rank-based Evaluation Metrics for Link Prediction in Knowledge Graphs", Hoyt et al., 2022 (arXiv 2203.07544). What
    is expected is that of a uniformly random order of each rank's own candidates, n of them: (n + 1) / 2, and the n-th
    harmonic number divided by n.

    Args:
        means: float64[..., TERMS].

    Returns:
        float64[..., 7] in the order of METRICS; NaN for the adjusted ones where no rank had another candidate.
    """
    mrr, mean_rank, expected_mrr, expected_rank = means[..., 0], means[..., 1], means[..., 5], means[..., 6]
    with np.errstate(divide='ignore', invalid='ignore'):
        index = 1 - (mean_rank - 1) / (expected_rank - 1)
        adjusted_mrr = (mrr - expected_mrr) / (1 - expected_mrr)
    choice = expected_rank > 1
    adjusted = [np.where(choice, values, np.nan) for values in (index, adjusted_mrr)]
    return np.concatenate([means[..., :5], np.stack(adjusted, axis=-1)], axis=-1)


class Group(NamedTuple):
    """The ranks of a group.

    Attributes:
        triples: how many triples it has a rank of.
        ranks: how many ranks.
        metrics: float64[..., 7].
        samples: float64[resamples, ..., 7], NaN where a resample has none of its triples.
    """

    triples: int
    ranks: int
    metrics: np.ndarray
    samples: np.ndarray

    def describe(self, *index: int) -> dict:
        """`describe` of one of the rankings that stand on the axes between triples and terms."""
        return describe(self.metrics[index], self.samples[(slice(None), *index)])


def groups_of(
    terms: np.ndarray, members: Mapping[Hashable, np.ndarray], resamples: int, rng: np.random.Generator | None = None
) -> dict[Hashable, Group]:
    """The metrics of groups of ranks, and those of the same groups in resamples of all triples.

    The bootstrap draws as many triples as there are, with replacement (Efron, 1979). The ranks of a triple are drawn
    together, as they answer for the same fact; and all groups are told by the same draws.

    Args:
        terms: float64[S, N, ..., TERMS], of S ranks of each of N triples.
        members: for each group bool[S, N], which ranks are in it; at least one.
        resamples: how often all triples are drawn.
        rng: consumed; not needed for no resamples.

    Returns:
        The groups, by the same names.
    """
    shape, number = terms.shape[2:], terms.shape[1]
    samples = {name: np.empty((resamples, *shape[:-1], len(METRICS))) for name in members}
    for start in range(0, resamples, max(_DRAWS_AT_ONCE // number, 1)):
        times = _times_drawn(number, min(max(_DRAWS_AT_ONCE // number, 1), resamples - start), rng)
        for name, member in members.items():
            has, sums = _sums(terms, member)
            drawn = (times if len(has) == number else times.take(has, axis=0)).T @ sums.astype(np.float32)
            with np.errstate(invalid='ignore'):
                means = (drawn[:, :-1] / drawn[:, -1:]).reshape(-1, *shape)
            samples[name][start : start + len(means)] = metrics_of(means)
    groups = {}
    for name, member in members.items():
        has, sums = _sums(terms, member)
        total = sums.sum(axis=0)
        metrics = metrics_of((total[:-1] / total[-1]).reshape(shape))
        groups[name] = Group(len(has), int(total[-1]), metrics, samples[name])
    return groups


def _sums(terms, member):
    """The triples that a group has ranks of, int64[n], and their sums over these and numbers of them, [n, K + 1]."""
    sizes = member.sum(axis=0)
    has = np.flatnonzero(sizes)
    weights = member[:, has].astype(np.float64)
    sums = np.einsum('sn,sn...->n...', weights, terms[:, has]).reshape(len(has), -1)
    return has, np.concatenate([sums, sizes[has, None]], axis=1)


def _times_drawn(number, resamples, rng):
    """How often each of a number of units comes in as many draws, float32[number, resamples].

    In single precision, which is exact for these and enough for the ends of an interval, products take half the time.
    """
    times = np.empty((number, resamples), dtype=np.float32)
    for i in range(resamples):
        times[:, i] = np.bincount(rng.integers(number, size=number, dtype=np.uint32), minlength=number)
    return times


def describe(metrics: np.ndarray, samples: np.ndarray) -> dict:
    """Metrics by name, with the percentile interval of their resamples where there are any.

    Args:
        metrics: float64[7], from `metrics_of`.
        samples: float64[resamples, 7]; rows of NaN are left out.

    Returns:
        {name: value, ..., 'intervals': {name: [low, high]}}; None for what is not defined.
    """
    found = dict(zip(METRICS, map(number_or_none, metrics.tolist()), strict=True))
    samples = samples[~np.isnan(samples[:, 0])]
    if len(samples):
        tail = 50 * (1 - CONFIDENCE)
        bounds = np.percentile(np.ascontiguousarray(samples.T), [tail, 100 - tail], axis=1)
        found['intervals'] = {
            name: [number_or_none(low), number_or_none(high)]
            for name, (low, high) in zip(METRICS, bounds.T.tolist(), strict=True)
        }
    return found


def number_or_none(value: float) -> float | None:
    """The number, or None for NaN, which JSON does not have."""
    return None if math.isnan(value) else float(value)


def macro(groups: Iterable[Group], *index: int) -> dict:
    """The mean over groups, each counted alike; values that are not defined are left out."""

    def mean(values):
        defined = ~np.isnan(values)
        with np.errstate(invalid='ignore'):
            return np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0)

    groups = list(groups)
    metrics = np.stack([group.metrics[index] for group in groups])
    samples = np.stack([group.samples[(slice(None), *index)] for group in groups])
    return describe(mean(metrics), mean(samples))
