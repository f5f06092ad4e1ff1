"""An evaluation in words: tables for a terminal."""

from collections.abc import Sequence

from mans_jax.protocols import PROTOCOLS

_RANKED = {'mrr': '.4f', 'hits_at_1': '.4f', 'hits_at_3': '.4f', 'hits_at_10': '.4f', 'mean_rank': '.1f'}
_ADJUSTED = {'adjusted_mrr': '.4f', 'adjusted_mean_rank_index': '.4f'}
_HEADINGS = {'adjusted_mrr': 'adj. mrr', 'adjusted_mean_rank_index': 'amri'}
_MOST_RELATIONS = 10
_LABEL_WIDTH = 34


def table(result: dict) -> str:
    """The result of `evaluate_run` as aligned text."""
    head = (
        f'{result["graph"]}, {result["split"]}: {result["triples"]:,} triples at step {result["step"]:,}, '
        f'{result["ties"]} ranks'
    )
    return '\n\n'.join([head, *(_TABLES[name](found) for name, found in result['tasks'].items())])


def _link_prediction(found: dict) -> str:
    rows = [_heading('link prediction', {**_RANKED, **_ADJUSTED})]
    for protocol in PROTOCOLS:
        of_protocol = found['protocols'][protocol][found['ties']]
        rows.append([protocol.replace('_', ' '), *_cells(of_protocol)])
        if 'intervals' in of_protocol:
            rows.append(['  95 % from', *_cells({k: low for k, (low, _) in of_protocol['intervals'].items()})])
            rows.append(['       to', *_cells({k: high for k, (_, high) in of_protocol['intervals'].items()})])
        rows += [[f'  {side} side', *_cells(of_protocol[side])] for side in ('head', 'tail')]
        rows.append(['  mean of relations', *_cells(of_protocol['macro'])])
    for policy, of_policy in found['protocols']['filtered'].items():
        if policy != found['ties']:
            rows.append([f'filtered, {policy}', *_cells(of_policy)])
    parts = [_aligned(rows)]
    parts += [_breakdown(grouping, groups) for grouping, groups in found['by'].items()]
    return '\n\n'.join(parts)


def _breakdown(grouping: str, groups: dict) -> str:
    """The groups of one grouping; of many relations the most frequent."""
    metrics = ('mrr', 'hits_at_10')
    names = {
        'relation': 'relation',
        'cardinality': 'heads - tails',
        'cardinality_and_side': 'and side',
        'coverage': 'answer has',
        'degree': 'answer in train',
    }
    rows = [
        [
            names[grouping],
            'ranks',
            *(f'{p} {m}'.replace('type_constrained', 'typed') for p in PROTOCOLS for m in metrics),
        ]
    ]
    rows[0] += ['95 % of mrr']
    chosen = list(groups.items())
    if grouping == 'relation':
        chosen = sorted(chosen, key=lambda item: -item[1]['ranks'])[:_MOST_RELATIONS]
    for name, group in chosen:
        low_high = group['filtered'].get('intervals', {}).get('mrr')
        interval = f'{low_high[0]:.4f} to {low_high[1]:.4f}' if low_high else ''
        numbers = [_number(group[p][m], '.4f') for p in PROTOCOLS for m in metrics]
        rows.append([shortened(name), f'{group["ranks"]:,}', *numbers, interval])
    text = _aligned(rows)
    left = len(groups) - len(chosen)
    return text + (f'\n({left} more relations in the JSON file)' if left else '')


def _heading(name: str, metrics: dict) -> list[str]:
    return [name, *(_HEADINGS.get(metric, metric) for metric in metrics)]


def _cells(metrics: dict, forms: dict = _RANKED | _ADJUSTED) -> list[str]:
    return [_number(metrics[name], form) for name, form in forms.items()]


def _number(value: float | None, form: str) -> str:
    return '-' if value is None else format(value, form)


def shortened(label: str) -> str:
    """A label that fits into a column; its end tells more than its beginning where it is an address."""
    return label if len(label) <= _LABEL_WIDTH else '...' + label[3 - _LABEL_WIDTH :]


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells in columns, the first to the left and numbers to the right."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    lines = (
        '  '.join(
            cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    )
    return '\n'.join(line.rstrip() for line in lines)


_TABLES = {
    'link_prediction': _link_prediction,
}
