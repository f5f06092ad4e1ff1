"""Numbers and sentences of the page."""

from collections.abc import Sequence
from typing import NamedTuple

from mans_jax.reporting.gather import RunReport

METRIC_NAMES = {
    'mrr': 'MRR',
    'hits_at_1': 'Hits@1',
    'hits_at_3': 'Hits@3',
    'hits_at_10': 'Hits@10',
    'mean_rank': 'Mean rank',
    'adjusted_mrr': 'Adjusted MRR',
    'adjusted_mean_rank_index': 'Adjusted mean rank index',
}
"""What the metrics are called, in the order of tables."""

CURVE_NAMES = {
    'loss': 'Loss',
    'gradient_norm': 'Gradient norm',
    'update_norm': 'Update norm',
    'triples_per_second': 'Triples a second',
}
"""What the curves of training are called."""

_STRATEGIES = {
    'normal': 'normal negatives',
    'mans_v': 'MANS-V',
    'mans_t': 'MANS-T',
    'mans_h': 'MANS-H',
    'mans_a': 'MANS-A',
}
_SCORES = {
    'transe_l1': 'TransE (L1)',
    'transe_l2': 'TransE (L2)',
    'distmult': 'DistMult',
    'complex': 'ComplEx',
    'rotate': 'RotatE',
}


_PERCENT = '\u00a0%'


class Part(NamedTuple):
    """A piece of a sentence; the strong ones are what to look at."""

    text: str
    is_strong: bool = False


def number(metric: str, value: float | None) -> str:
    """A metric as people write it: '0.878', '84.1 %', '5.8', '1,204'; a dash where it is not defined."""
    if value is None:
        return '\u2013'
    if metric.startswith('hits'):
        return f'{100 * value:.1f}{_PERCENT}'
    if metric == 'mean_rank':
        return f'{value:,.1f}' if value < 1000 else f'{value:,.0f}'
    return f'{value:.3f}'


def interval(metrics: dict, metric: str) -> str:
    """The interval of a metric as 'low to high', or nothing."""
    low, high = metrics.get('intervals', {}).get(metric, (None, None))
    if low is None:
        return ''
    text = number(metric, high)
    # The unit once is enough.
    return f'{number(metric, low).removesuffix(_PERCENT)} to {text}'


def strategy(config) -> str:
    """The negatives of a recipe, in words."""
    if config.strategy == 'normal' and config.sampler not in ('bernoulli', 'uniform'):
        return f'negatives of {config.sampler}'
    name = _STRATEGIES.get(config.strategy, config.strategy)
    share = f'({config.share:g})' if config.strategy in ('mans_t', 'mans_h') else ''
    return f'{name}{share}'


def listed(words: Sequence[str]) -> str:
    """'a, b and c'."""
    return ' and '.join(filter(None, [', '.join(words[:-1]), words[-1]])) if words else ''


def graph_sentence(report: RunReport) -> list[Part]:
    """What a run is about."""
    graph = report.graph
    relations = f'{graph.num_relations:,} relation{"s"[: graph.num_relations != 1]}'
    seen = f' has {graph.num_entities:,} entities seen through {listed(graph.modalities)}, {relations} and '
    return [Part(graph.name, True), Part(f'{seen}{len(graph.train):,} train triples. ')]


def run_sentence(report: RunReport) -> list[Part]:
    """What was trained, how, and how good it is."""
    config, links = report.config, report.links['filtered']['micro']
    epochs = f'{report.epoch:,.0f} epoch{"s"[: round(report.epoch) != 1]}'
    chosen = ', the best of its evaluations on valid' if config.evaluate_every else ''
    shown = interval(links, 'mrr')
    negatives = strategy(config)
    negatives = negatives if 'negatives' in negatives else f'{negatives} negatives'
    count = f'{config.num_negatives} a triple' if config.num_negatives > 1 else 'one a triple'
    return [
        Part(_SCORES.get(config.score, config.score), True),
        Part(f' of {config.dim} dimensions learned it from '),
        Part(negatives, True),
        Part(f', {count}; shown is its state after {epochs}{chosen}. Asked for the missing end of '),
        Part(f'{len(report.graph.test):,} test triples, it puts the right one first in '),
        Part(number('hits_at_1', links['hits_at_1']), True),
        Part(' of the queries; its MRR is '),
        Part(number('mrr', links['mrr']), True),
        Part(f' (95\u00a0% interval {shown}).' if shown else '.'),
    ]


def comparison_sentence(reports: Sequence[RunReport]) -> list[Part]:
    """Which of several runs on one graph is ahead, and whether that says much."""
    if len({report.ground for report in reports}) > 1:
        return [
            Part('These runs are not about the same test triples', True),
            Part(
                ', so that numbers of different graphs must not be compared; plots of results show one graph at a time.'
            ),
        ]
    ranked = sorted(reports, key=lambda report: -report.links['filtered']['micro']['mrr'])
    first, second = (report.links['filtered']['micro'] for report in ranked[:2])
    sentence = [
        Part(ranked[0].name, True),
        Part(f' has the highest test MRR, {number("mrr", first["mrr"])}, before '),
        Part(ranked[1].name, True),
        Part(f' with {number("mrr", second["mrr"])}. '),
    ]
    lows, highs = (x.get('intervals', {}).get('mrr') for x in (first, second))
    if lows and highs:
        overlap = 'overlap' if lows[0] <= highs[1] else 'do not overlap'
        text = f'Their 95\u00a0% intervals {overlap}; they tell of other test triples, not of other seeds.'
        sentence.append(Part(text))
    return sentence
