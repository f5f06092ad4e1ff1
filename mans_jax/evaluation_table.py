"""The results of an evaluation as a table for a terminal."""

from collections.abc import Iterable, Sequence

from mans_jax.aligned_text import aligned

_MOST_RELATIONS = 10

_RANKED = {'mrr': '.4f', 'hits_at_1': '.4f', 'hits_at_3': '.4f', 'hits_at_10': '.4f', 'mean_rank': '.1f'}
_INDICES = {'adjusted_mrr': '.4f', 'adjusted_mean_rank_index': '.4f'}
_HEADINGS = {'adjusted_mrr': 'adj. mrr', 'adjusted_mean_rank_index': 'adj. rank'}


def table(results: dict) -> str:
    """What `evaluation.evaluate_run` returns as aligned text, a part for each task."""
    heading = (
        f'{results["graph"]}, {results["split"]}: {results["triples"]:,} triples, step {results["step"]}, '
        f'seed {results["seed"]}'
    )
    return '\n\n'.join([heading, *(_TABLES[name](found) for name, found in results['tasks'].items())])


def _link_prediction(found):
    rows = []
    for protocol in ('filtered', 'raw', 'constrained'):
        part = found[protocol]
        rows += [(f'{protocol}', part['micro']), *((f'  {name}', part[name]) for name in ('head', 'tail', 'macro'))]
    rows += [(f'filtered, {policy}', metrics) for policy, metrics in found['filtered']['ties'].items()]
    for name in ('cardinality', 'coverage', 'degree'):
        rows += [(f'{name} {label}', metrics) for label, metrics in found['filtered'][name].items()]
    relations = sorted(found['filtered']['relation'].items(), key=lambda item: -item[1]['count'])
    rows += [(f'relation {label}', metrics) for label, metrics in relations[:_MOST_RELATIONS]]
    left = len(relations) - _MOST_RELATIONS
    more = f'\n({left} relations with fewer triples are in the file)' if left > 0 else ''
    return f'link prediction, ties {found["ties_of_metrics"]}\n' + _ranked(rows, indices=True) + more


def _triple_classification(found):
    names = ('accuracy', 'precision', 'recall', 'f1', 'roc_auc', 'average_precision')
    rows = [[protocol, *(_number(x[name], '.4f') for name in names)] for protocol, x in found.items()]
    return 'triple classification\n' + aligned([['', *names], *rows])


def _relation_prediction(found):
    rows = [('all modalities' if name == 'all' else f'{name} alone', metrics) for name, metrics in found.items()]
    return 'relation prediction\n' + _ranked(rows)


def _cross_modal(found):
    rows = [
        (f'head {of_head}, tail {of_tail}', metrics)
        for of_head, row in found.items()
        for of_tail, metrics in row.items()
    ]
    return 'cross-modal link prediction\n' + _ranked(rows)


def _alignment(found):
    names = ('recall_at_1', 'recall_at_5', 'recall_at_10', 'mrr', 'alignment', 'uniformity')
    rows = [
        [f'{pair}, {when}', *(_number(metrics[name], '.4f') if metrics else '-' for name in names)]
        for pair in found['after']
        for when, metrics in ((when, found[when][pair]) for when in ('before', 'after'))
    ]
    return 'alignment of modalities, before and after training\n' + aligned([['', *names], *rows])


def _sampled_ranking(found):
    rows, bias = [('sampled', found['sampled'])], []
    if found['full'] is not None:
        rows.append(('full', found['full']))
        bias.append(['bias', *(_number(found['bias'][name], '+' + form) for name, form in _RANKED.items())])
    return (
        f'ranking among {found["candidates"]} sampled candidates\n'
        + _ranked(rows, bias)
        + f'\nfull mean rank as estimated from the samples: {found["mean_rank_estimate"]:.1f}\n{found["note"]}'
    )


_TABLES = {
    'link_prediction': _link_prediction,
    'triple_classification': _triple_classification,
    'relation_prediction': _relation_prediction,
    'cross_modal': _cross_modal,
    'alignment': _alignment,
    'sampled_ranking': _sampled_ranking,
}


def _ranked(rows: Iterable[tuple], extra: Sequence[list] = (), indices: bool = False) -> str:
    """Rows of (label, metrics or None) under the names of the metrics, with the interval of the MRR."""
    columns = {**_RANKED, **(_INDICES if indices else {})}
    lines = [['', *(_HEADINGS.get(name, name) for name in columns), 'mrr interval', 'count']]
    for label, metrics in rows:
        if metrics is None:
            lines.append([label, *['-'] * len(columns), '-', '0'])
            continue
        low, high = metrics.get('intervals', {}).get('mrr', (None, None))
        interval = '' if low is None else f'{low:.4f} to {high:.4f}'
        numbers = [_number(metrics[name], form) for name, form in columns.items()]
        lines.append([label, *numbers, interval, f'{metrics["count"]:,}'])
    return aligned([*lines, *extra])


def _number(value, form):
    return '-' if value is None else format(value, form)
