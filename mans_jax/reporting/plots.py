"""The plots of the page as Vega specifications, which hold no data: the page fills them and sets their signals.

Colours are CSS variables, so that a plot changes with the page from light to dark. No label stands in them:
whatever a graph or a run calls its things is data.
"""

import json

from mans_jax.data.extras import import_for_report
from mans_jax.reporting.texts import CURVE_NAMES, METRIC_NAMES

_FONT = 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

_SHARES = "indexof(['hits_at_1', 'hits_at_3', 'hits_at_10', 'virtual_share'], metric) >= 0"
_NUMBER = f"{_SHARES} ? format(datum.value, '.0%') : format(datum.value, ',.3~r')"
_TITLE = {'signal': f'{json.dumps({**METRIC_NAMES, **CURVE_NAMES, "virtual_share": "virtual"})}[metric]'}
"""The title of an axis: what the metric is called that the page has set."""

_LABEL_LIMIT = {'expr': 'containerSize()[0] < 400 ? 115 : 200'}

_CONFIG = {
    'background': None,
    'font': _FONT,
    'view': {'stroke': None},
    'axis': {
        'labelColor': 'var(--muted)',
        'labelFontSize': 12,
        'titleColor': 'var(--muted)',
        'titleFontSize': 12,
        'titleFontWeight': 'normal',
        'gridColor': 'var(--line)',
        'domain': False,
        'ticks': False,
        'labelPadding': 6,
    },
    'axisX': {'grid': False, 'domain': True, 'domainColor': 'var(--line-strong)', 'tickCount': 6},
    'legend': {'disable': True},
}


def all_plots(runs: int) -> dict[str, dict]:
    """Every plot by name, compiled to Vega, for so many runs."""
    specs = {
        'curve': _curve(runs),
        'valid': _curve(runs, points=True),
        'share': _curve(runs, scale={'domain': [0, 1]}),
        'parts': _parts(runs),
        'groups': _groups(runs, step=26 if runs == 1 else 13),
        'choice': _choice(runs),
        'scores': _scores(),
        'map': _map(),
    }
    compiler = import_for_report('vl_convert')
    return {name: compiler.vegalite_to_vega({**spec, 'config': _CONFIG}) for name, spec in specs.items()}


def _run_colour(runs):
    numbers = list(range(runs))
    scale = {'domain': numbers, 'range': [f'var(--run{i})' for i in numbers]}
    return {'field': 'number', 'type': 'nominal', 'scale': scale}


def _side_by_side(runs):
    """What puts the bars of several runs beside one another, of those that are shown."""
    return {'yOffset': {'field': 'number', 'type': 'nominal'}} if runs > 1 else {}


def _param(name, value):
    return {'name': name, 'value': value}


def _tooltip(**fields):
    """Field to title, or to (title, format of a number)."""
    return [
        {'field': field, 'title': title}
        if isinstance(title, str)
        else {'field': field, 'title': title[0], 'type': 'quantitative', 'format': title[1]}
        for field, title in fields.items()
    ]


def _curve(runs, points=False, scale=None):
    """A value over epochs: of training, thousands of them, or of evaluations, few, which are marked.

    The page sets `near`, the epoch under the pointer, in all curves at once.
    """
    transform = [
        {'filter': 'indexof(shown, datum.number) >= 0'},
        {'calculate': 'datum[metric]', 'as': 'value'},
        {'filter': 'isValid(datum.value) && (!logarithmic || datum.value > 0)'},
        {'calculate': 'logarithmic ? log(datum.value) / LN10 : datum.value', 'as': 'height'},
    ]
    labels = f"logarithmic ? format(pow(10, datum.value), ',.2~r') : {_NUMBER}"
    marked = [{'mark': {'type': 'point', 'filled': True, 'size': 34, 'opacity': 1}}] if points else []
    return {
        'width': 'container',
        'height': 210,
        'data': {'name': 'rows'},
        'params': [
            _param('metric', 'loss'),
            _param('shown', list(range(runs))),
            _param('logarithmic', False),
            _param('near', -1),
        ],
        'transform': transform,
        'encoding': {
            'x': {
                'field': 'epoch',
                'type': 'quantitative',
                'title': 'epoch',
                'scale': {'nice': False, 'zero': False},
                'axis': {'labelExpr': "datum.value % 1 ? '' : format(datum.value, ',d')"},
            },
            'y': {
                'field': 'height',
                'type': 'quantitative',
                'title': _TITLE,
                'scale': scale or {'zero': False},
                'axis': {'labelExpr': labels, 'tickCount': 5},
            },
            'color': _run_colour(runs),
        },
        'layer': [
            {'mark': {'type': 'line', 'strokeWidth': 1.75, 'strokeJoin': 'round'}},
            *marked,
            {
                'transform': [{'filter': 'datum.epoch === near'}],
                'mark': {
                    'type': 'point',
                    'filled': True,
                    'size': 80,
                    'opacity': 1,
                    'stroke': 'var(--card)',
                    'strokeWidth': 1.5,
                },
            },
        ],
    }


_INTERVAL_TOOLTIP = _tooltip(label='name', run='run', text='value', interval='95 % interval', count=('count', ',d'))

_OF_RUNS = {'filter': 'datum.graph === graph && indexof(shown, datum.number) >= 0'}
_OF_METRIC = {'filter': 'datum.metric === metric && isValid(datum.value)'}

_INTERVAL_TEXTS = [
    {'calculate': f"{_SHARES} ? format(datum.{value}, '.1%') : format(datum.{value}, ',.4~r')", 'as': name}
    for value, name in (('value', 'text'), ('low', 'lowest'), ('high', 'highest'))
] + [{'calculate': "isValid(datum.low) ? datum.lowest + ' to ' + datum.highest : 'none'", 'as': 'interval'}]


def _parts(runs):
    """Intervals of a metric, a line for each part of the results."""
    offset = _side_by_side(runs)
    return {
        'width': 'container',
        'height': {'step': 15, 'for': 'offset'} if offset else {'step': 30},
        'data': {'name': 'rows'},
        'params': [_param('metric', 'mrr'), _param('shown', list(range(runs))), _param('graph', 0)],
        'transform': [_OF_RUNS, _OF_METRIC, *_INTERVAL_TEXTS],
        'encoding': {
            'y': {
                'field': 'label',
                'type': 'nominal',
                'sort': {'field': 'order'},
                'title': None,
                'axis': {'labelColor': 'var(--ink)', 'labelLimit': 200},
                'scale': {'paddingInner': 0.35} if offset else {},
            },
            'color': _run_colour(runs),
            'tooltip': _INTERVAL_TOOLTIP,
            **offset,
        },
        'layer': [
            {'mark': {'type': 'rule', 'strokeWidth': 2, 'opacity': 0.55}, 'encoding': _low_to_high()},
            {
                'mark': {'type': 'point', 'filled': True, 'size': 75, 'opacity': 1},
                'encoding': {'x': _value_axis('value', zero=False)},
            },
        ],
    }


def _value_axis(field, zero, grid=True):
    axis = {'labelExpr': _NUMBER, 'grid': grid, 'domain': False, 'tickCount': 5}
    return {'field': field, 'type': 'quantitative', 'title': _TITLE, 'axis': axis, 'scale': {'zero': zero}}


def _low_to_high(zero=False):
    return {'x': _value_axis('low', zero), 'x2': {'field': 'high'}}


def _groups(runs, step):
    """A bar for each group of triples or answers, with its interval."""
    offset = _side_by_side(runs)
    return {
        'width': 'container',
        'height': {'step': step, 'for': 'offset'} if offset else {'step': step},
        'data': {'name': 'rows'},
        'params': [
            _param('metric', 'mrr'),
            _param('shown', list(range(runs))),
            _param('graph', 0),
            _param('kind', 'relation'),
            _param('order', 'count'),
        ],
        'transform': [
            _OF_RUNS,
            _OF_METRIC,
            {'filter': 'datum.kind === kind'},
            {'calculate': "order === 'value' ? -datum.value : datum.order", 'as': 'place'},
            *_INTERVAL_TEXTS,
        ],
        'encoding': {
            'y': {
                'field': 'label',
                'type': 'nominal',
                'sort': {'field': 'place', 'op': 'min'},
                'title': None,
                'axis': {
                    'labelColor': 'var(--ink)',
                    'labelLimit': _LABEL_LIMIT,
                },
                'scale': {'paddingInner': 0.3},
            },
            'color': _run_colour(runs),
            'tooltip': _INTERVAL_TOOLTIP,
            **offset,
        },
        'layer': [
            {
                'mark': {'type': 'bar', 'cornerRadiusEnd': 3, 'opacity': 0.85},
                'encoding': {'x': _value_axis('value', zero=True)},
            },
            {
                'mark': {'type': 'rule', 'strokeWidth': 1.5, 'opacity': 0.75},
                'encoding': {**_low_to_high(zero=True), 'color': {'value': 'var(--ink)'}},
            },
        ],
    }


def _choice(runs):
    """The share of negatives that MANS-A makes virtual, by relation."""
    spec = _groups(runs, step=22 if runs == 1 else 13)
    spec['transform'] = [_OF_RUNS, {'calculate': 'datum.order', 'as': 'place'}]
    bar, _ = spec['layer']
    bar['encoding']['x']['axis'] = {'format': '.0%', 'grid': True, 'domain': False, 'tickCount': 5}
    bar['encoding']['x']['scale'] = {'domain': [0, 1.08]}
    bar['encoding']['x']['title'] = 'made virtual'
    bar['encoding']['x']['axis']['values'] = [0, 0.25, 0.5, 0.75, 1]
    if runs == 1:
        bar['encoding']['color'] = {'value': 'var(--virtual)'}
    spec['encoding']['tooltip'] = _tooltip(
        label='name',
        run='run',
        value=('virtual', '.1%'),
        judged=('negatives judged', ',d'),
        count=('train triples', ',d'),
    )
    x = {'field': 'value', 'type': 'quantitative', 'title': 'made virtual'}
    mark = {'type': 'text', 'align': 'left', 'dx': 5, 'fontSize': 11, 'fill': 'var(--muted)'}
    text = {'mark': mark, 'encoding': {'x': x, 'text': {'field': 'value', 'format': '.0%', 'type': 'quantitative'}}}
    return {**spec, 'layer': [bar, text]}


def _scores():
    """Densities of scores, of true triples and of false ones."""
    kinds = {'domain': ['true', 'normal', 'virtual'], 'range': ['var(--true)', 'var(--normal)', 'var(--virtual)']}
    hidden = {'labels': False, 'grid': False, 'domain': False}
    return {
        'width': 'container',
        'height': 240,
        'data': {'name': 'rows'},
        'encoding': {
            'x': {
                'field': 'score',
                'type': 'quantitative',
                'title': 'score (higher is more plausible)',
                'scale': {'zero': False, 'nice': False},
                'axis': {'format': ',.3~r'},
            },
            'y': {'field': 'density', 'type': 'quantitative', 'stack': None, 'title': 'density', 'axis': hidden},
            'color': {'field': 'kind', 'type': 'nominal', 'scale': kinds},
            'tooltip': _tooltip(kind='name', score=('score', ',.3~r'), density=('density', '.3~r')),
        },
        'layer': [
            {'mark': {'type': 'area', 'interpolate': 'monotone', 'fillOpacity': 0.22}},
            {'mark': {'type': 'line', 'interpolate': 'monotone', 'strokeWidth': 2}},
        ],
    }


def _map():
    """Entities in the plane of one modality; the page fills in places, classes and pictures."""
    classes = [*(f'class{i}' for i in range(10)), *(f'degree{i}' for i in range(7)), 'other', 'none']
    scale = {'domain': classes, 'range': [f'var(--{name})' for name in classes]}
    hidden = {'type': 'quantitative', 'axis': None, 'scale': {'domain': [-0.04, 1.04]}}
    is_marked = 'datum.entity === hovered || datum.entity === picked'
    return {
        'width': 'container',
        'height': 'container',
        'data': {'name': 'rows'},
        'params': [_param('hovered', -1), _param('picked', -1)],
        'encoding': {'x': {'field': 'x', **hidden}, 'y': {'field': 'y', **hidden}},
        'layer': [
            {
                'mark': {'type': 'point', 'filled': True, 'aria': False},
                'encoding': {
                    'color': {'field': 'class', 'type': 'nominal', 'scale': scale},
                    'size': {
                        'condition': {'test': 'datum.picture', 'value': 260},
                        'value': {'expr': 'width < 240 ? 12 : 26'},
                    },
                    'opacity': {'condition': {'test': 'datum.picture', 'value': 0.35}, 'value': 0.8},
                },
            },
            {
                'transform': [{'filter': 'datum.picture'}],
                'mark': {'type': 'image', 'width': 18, 'height': 18, 'aria': False},
                'encoding': {'url': {'field': 'picture'}},
            },
            {
                'transform': [{'filter': is_marked}],
                'mark': {'type': 'point', 'filled': False, 'size': 190, 'stroke': 'var(--ink)', 'strokeWidth': 2.5},
            },
        ],
    }
