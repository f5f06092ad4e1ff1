"""The plots: whole, and without anything that a graph or a run is called."""

import json
import re

import pytest

pytest.importorskip('vl_convert', reason='vl-convert-python is not installed; the extra report has it')

from mans_jax.reporting.plots import all_plots  # noqa: E402  (it says why it is not tested)


@pytest.mark.parametrize('runs', [1, 2, 8])
def test_every_plot_takes_rows_and_holds_none(runs):
    plots = all_plots(runs)
    assert list(plots) == ['curve', 'valid', 'share', 'parts', 'groups', 'choice', 'scores', 'map']
    for name, plot in plots.items():
        (rows,) = (data for data in plot['data'] if data['name'] == 'rows')
        assert 'values' not in rows and 'url' not in json.dumps(plot['data']), name
        # Nothing is fetched: no address but that of the schema.
        assert re.findall(r'https?://[^"]*', json.dumps(plot)) == ['https://vega.github.io/schema/vega/v6.json'], name


def test_the_controls_of_the_page_have_their_signals():
    signals = {name: {signal['name'] for signal in plot['signals']} for name, plot in all_plots(2).items()}
    for name in ('curve', 'valid', 'share'):
        assert {'metric', 'shown', 'logarithmic', 'near'} <= signals[name]
    assert {'metric', 'shown', 'graph'} <= signals['parts']
    assert {'metric', 'shown', 'graph', 'kind', 'order'} <= signals['groups']
    assert {'shown', 'graph'} <= signals['choice'] and {'hovered', 'picked'} <= signals['map']


def test_runs_have_colours_of_their_own_and_lie_side_by_side():
    one, three = (json.dumps(all_plots(runs)['groups']) for runs in (1, 3))
    assert set(re.findall(r'var\(--run\d\)', one)) == {'var(--run0)'} and 'yOffset' not in one
    assert set(re.findall(r'var\(--run\d\)', three)) == {'var(--run0)', 'var(--run1)', 'var(--run2)'}
    assert 'yOffset' in three


def test_axes_of_numbers_are_named():
    named = {'curve': '[metric]', 'valid': '[metric]', 'share': '[metric]', 'parts': '[metric]', 'groups': '[metric]'}
    named |= {'choice': 'made virtual', 'scores': 'density'}
    plots = all_plots(2)
    for name, title in named.items():
        titles = [axis['title'] for axis in plots[name]['axes'] if axis.get('title')]
        assert any(title in (found['signal'] if isinstance(found, dict) else found) for found in titles), name
