"""The page in a browser: it loads, asks for nothing, its controls work and nothing overflows."""

import dataclasses
import re

import pytest

from tests.browser import open_browser
from tests.report_runs import MARKUP, MODALITY, RUN, SCRIPT

for library in ('jinja2', 'vl_convert', 'PIL', 'selenium'):
    pytest.importorskip(library, reason=f'{library} is not installed; the extra test has it')

from mans_jax.reporting import page  # noqa: E402  (it says why it is not tested)

AGAIN = f'{SCRIPT} again'
INK = (
    'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=='
)


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp('profile')) as found:
        yield found


@pytest.fixture(scope='module')
def pages(reports, tmp_path_factory):
    """Name to file: one run whose names are markup, with pictures; two on one graph; and two on different graphs."""
    marked, bare = reports
    pictured = dataclasses.replace(marked, pictures=dict.fromkeys(range(40), INK))
    folder = tmp_path_factory.mktemp('pages')
    runs = {'one': [pictured], 'two': [marked, dataclasses.replace(marked, name=AGAIN)], 'different': [marked, bare]}
    for name, several in runs.items():
        (folder / f'{name}.html').write_text(page.render(several), encoding='utf-8')
    return {name: folder / f'{name}.html' for name in runs}


@pytest.fixture
def opened(browser, pages):
    """(name, width) -> the browser with this page open."""

    def open_page(name, width=1440):
        browser.resize(width, 900)
        browser.console(), browser.requests()
        browser.open(pages[name])
        return browser

    return open_page


OVERFLOWING = """
const scrolls = element => ['auto', 'scroll', 'hidden'].includes(getComputedStyle(element).overflowX);
const isInside = element => !!element && (scrolls(element) || isInside(element.parentElement));
const isOut = box => box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
return [...document.querySelectorAll('body *:not(.skip)')]
  .filter(element => isOut(element.getBoundingClientRect()) && !isInside(element.parentElement))
  .map(element => element.tagName + '.' + element.getAttribute('class'));
"""
"""Elements that stand out of the window and in nothing that scrolls."""

MADE = """
const own = '.readout b, #tooltip b, .entity img, [data-picture]';
return [...document.querySelectorAll('body b, body i, img, [onerror]')].filter(e => !e.matches(own)).length;
"""
"""How many elements there are that labels would make if they were taken for markup."""

MARKS = ', '.join(f'.mark-{kind} path' for kind in ('rect', 'symbol', 'line', 'area')) + ', image'


@pytest.mark.parametrize('width', [1440, 390])
@pytest.mark.parametrize('name', ['one', 'two', 'different'])
def test_it_loads_without_an_error_or_a_request_and_nothing_overflows(opened, pages, name, width):
    browser = opened(name, width)
    assert browser.console() == []
    asked = [address for address in browser.requests() if not address.startswith('data:')]
    assert asked == [pages[name].as_uri()]
    assert browser.run('return [document.documentElement.scrollWidth, innerWidth]') == [width, width]
    assert browser.run(OVERFLOWING) == []
    # Every plot that can be seen is drawn, as wide as its place, and has something in it.
    for plot in browser.all('.plot'):
        if not plot.is_displayed():
            continue
        svg = plot.find_element('css selector', 'svg')
        assert 0 < svg.size['width'] <= plot.size['width'] + 1
        assert plot.find_elements('css selector', MARKS), plot.get_attribute('data-label')


def test_labels_are_shown_and_not_run(opened):
    browser = opened('one')
    assert browser.run('return document.scripts.length') == 3
    assert browser.run(MADE) == 0
    # On the axes of plots, in the names and texts of entities, in the lists of the map.
    axes = browser.texts('.plot svg text')
    assert any(text.startswith(SCRIPT) for text in axes) and f'structure + {MODALITY}' in axes
    assert any(text.startswith(SCRIPT) for text in browser.texts('.example .name'))
    assert browser.run('return document.title') == f'{RUN} on <b>graph'
    options = browser.run('return [...document.querySelectorAll("datalist option")].map(option => option.value)')
    assert all(any(option.startswith(markup) for option in options) for markup in MARKUP)
    # What screen readers read of a mark.
    spoken = browser.run('return [...document.querySelectorAll("[aria-roledescription=bar]")].map(e => e.ariaLabel)')
    assert any(SCRIPT in text for text in spoken)
    # The map's panel, and the tooltip of a bar.
    find(browser, options[0])
    assert browser.texts('.entity h4') == [options[0]] and any(SCRIPT in text for text in browser.texts('.entity p'))
    bars = [bar for bar in browser.all('[aria-roledescription=bar]') if SCRIPT in bar.get_attribute('aria-label')]
    point_at(browser, bars[0])
    browser.wait(lambda: browser.one('#tooltip').is_displayed())
    assert browser.texts('#tooltip b')[0].startswith(SCRIPT) and f'run: {RUN}' in browser.texts('#tooltip div')
    assert browser.run(MADE) == 0
    assert browser.run('return document.scripts.length') == 3 and browser.console() == []


def test_a_script_that_got_into_the_page_would_not_run(opened):
    browser = opened('one')
    browser.run('const s = document.createElement("script"); s.textContent = "window.ran = 1"; document.body.append(s)')
    browser.run('document.body.insertAdjacentHTML("beforeend", "<img src=data:, onerror=\'window.ran = 1\'>")')
    browser.wait(lambda: len(browser.console()) > 0)
    assert browser.run('return window.ran') is None


def find(browser, text):
    browser.run(
        'const e = document.querySelector(".of-run:not([hidden]) .find"); e.value = arguments[0];'
        'e.dispatchEvent(new Event("input"))',
        text,
    )


def point_at(browser, element, x=0, y=0):
    from selenium.webdriver import ActionChains

    browser.run('arguments[0].scrollIntoView({block: "center", behavior: "instant"})', element)
    ActionChains(browser.driver).move_to_element_with_offset(element, x, y).perform()


def choose(browser, selector, value):
    browser.run(
        'const e = document.querySelector(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event("change"))',
        selector,
        value,
    )


def drawn(browser, index, mark='path'):
    """The shapes of a plot, which another metric or run changes."""
    return browser.run(
        'const marks = document.querySelectorAll(".plot")[arguments[0]].querySelectorAll(arguments[1]);'
        'return [...marks].map(mark => mark.getAttribute("d") + mark.getAttribute("transform"))',
        index,
        f'svg .role-mark {mark}',
    )


def plot_of(browser, group, number=0):
    """The position of the first plot of a group among all plots."""
    return browser.run(
        'const all = [...document.querySelectorAll(".plot")];'
        'return all.indexOf(all.filter(e => e.dataset.group === arguments[0])[arguments[1]])',
        group,
        number,
    )


@pytest.mark.parametrize(
    ('group', 'selector', 'value'),
    [
        ('parts', 'select[data-group=parts]', 'hits_at_10'),
        ('train', 'select[data-group=train]', 'gradient_norm'),
        ('valid', 'select[data-group=valid]', 'mean_rank'),
        ('groups', 'select[data-signal=metric][data-group=groups]', 'mean_rank'),
    ],
)
def test_another_metric_changes_its_plots(opened, group, selector, value):
    browser = opened('two')
    plot, other = plot_of(browser, group), plot_of(browser, 'share')
    before = drawn(browser, plot), drawn(browser, other)
    choose(browser, selector, value)
    browser.wait(lambda: drawn(browser, plot) != before[0])
    assert drawn(browser, other) == before[1] and browser.console() == []


def titles_of(browser, group):
    """What the axes of the first plot of a group are called."""
    script = """
    const titles = [...document.querySelectorAll('.plot')[arguments[0]].querySelectorAll('.role-axis-title text')];
    return titles.map(title => title.textContent);
    """
    return browser.run(script, plot_of(browser, group))


def test_an_axis_is_called_by_the_metric_that_it_shows(opened):
    browser = opened('two')
    found = {group: set(titles_of(browser, group)) for group in ('train', 'valid', 'share', 'parts', 'groups')}
    assert found == {
        'train': {'epoch', 'Loss'},
        'valid': {'epoch', 'MRR'},
        'share': {'epoch', 'virtual'},
        'parts': {'MRR'},
        'groups': {'MRR'},
    }
    choose(browser, 'select[data-signal=metric][data-group=groups]', 'mean_rank')
    browser.wait(lambda: titles_of(browser, 'groups') == ['Mean rank'])


@pytest.mark.parametrize('width', [1440, 600, 500, 390])
def test_the_first_numbers_fill_their_rows(opened, width):
    browser = opened('one', width)
    script = """
    const tops = [...document.querySelectorAll('.tiles > div')].map(tile => tile.getBoundingClientRect().top | 0);
    return Object.values(tops.reduce((rows, top) => ({...rows, [top]: (rows[top] || 0) + 1}), {}));
    """
    assert browser.run(script) == ([4] if width == 1440 else [2, 2])


def labels_of(browser, group):
    """The labels of the vertical axis of the first plot of a group, from the top."""
    script = """
    const labels = [...document.querySelectorAll('.plot')[arguments[0]].querySelectorAll('.role-axis-label text')];
    const names = labels.filter(label => label.getAttribute('text-anchor') === 'end');
    return names.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top).map(e => e.textContent);
    """
    return browser.run(script, plot_of(browser, group))


def test_relations_are_ordered_by_number_or_metric(opened, reports):
    browser = opened('one')
    found = reports[0].links['filtered']['relation'].values()
    by_number, by_metric = (sorted(found, key=lambda metrics: -metrics[key]) for key in ('count', 'mrr'))
    before = labels_of(browser, 'groups')
    assert by_number != by_metric and len(before) == 4
    choose(browser, 'select[data-signal=order]', 'value')
    want = [before[by_number.index(metrics)] for metrics in by_metric]
    browser.wait(lambda: labels_of(browser, 'groups') == want)


def test_a_logarithmic_axis_and_back(opened):
    browser = opened('one')
    plot = plot_of(browser, 'train')
    before, box = drawn(browser, plot), browser.one('input[data-signal=logarithmic]')
    browser.run('arguments[0].click()', box)
    browser.wait(lambda: drawn(browser, plot) != before)
    browser.run('arguments[0].click()', box)
    browser.wait(lambda: drawn(browser, plot) == before)


def test_runs_are_taken_out_of_the_plots_and_back(opened):
    browser = opened('two')
    plots = [plot_of(browser, group) for group in ('parts', 'train', 'groups', 'choice')]
    before = [len(drawn(browser, plot)) for plot in plots]
    boxes = browser.all('.shown')
    browser.run('arguments[0].click()', boxes[1])
    for plot, number in zip(plots, before, strict=True):
        browser.wait(lambda plot=plot, number=number: 0 < len(drawn(browser, plot)) < number)
    browser.run('arguments[0].click()', boxes[0])
    browser.wait(lambda: all(not drawn(browser, plot, '[aria-roledescription=bar]') for plot in plots[2:]))
    browser.run('arguments[0].click(); arguments[1].click()', *boxes)
    browser.wait(lambda: [len(drawn(browser, plot)) for plot in plots] == before)
    assert browser.console() == []


def test_the_sections_of_one_run_show_another(opened):
    browser = opened('different')
    selects = browser.all('.run-choice')
    assert len(selects) == 3
    choose(browser, '.run-choice', '1')
    browser.wait(
        lambda: browser.run('return document.querySelectorAll(".of-run[data-run=\'1\'] .plot svg").length') == 4
    )
    assert {select.get_attribute('value') for select in selects} == {'1'}
    seen = browser.run(
        'return [...document.querySelectorAll(".of-run")].filter(e => !e.hidden).map(e => e.dataset.run)'
    )
    assert set(seen) == {'1'} and browser.console() == []
    assert browser.run('return document.querySelector(".map[data-run=\'1\'] .colouring").options.length') > 0


def test_plots_of_results_show_one_graph_at_a_time(opened):
    browser = opened('different')
    assert any(text.startswith('<script>') for text in labels_of(browser, 'groups'))
    choose(browser, '.graph-choice', '1')
    browser.wait(lambda: 'relation_0' in labels_of(browser, 'groups'))
    assert not any(text.startswith('<script>') for text in labels_of(browser, 'groups'))
    graphs = browser.run(
        'return [...document.querySelectorAll(".of-graph")].filter(e => !e.hidden).map(e => e.dataset.graph)'
    )
    assert graphs == ['1'] and {s.get_attribute('value') for s in browser.all('.graph-choice')} == {'1'}


def test_another_protocol_has_another_table(opened):
    browser = opened('two')

    def caption():
        return browser.run('return document.querySelector(".part:not([hidden]) caption").textContent')

    assert caption() == 'Link prediction on test, both sides, with 95 % intervals'
    choose(browser, '.part-choice', '4')
    assert caption() == 'Link prediction on test, raw, with 95 % intervals'


def test_other_kinds_of_examples(opened):
    browser = opened('one')
    for kind in ('worst', 'drawn', 'best'):
        browser.run('arguments[0].click()', browser.one(f'.example-kind[value={kind}]'))
        seen = browser.run(
            'return [...document.querySelectorAll(".cards")].filter(e => !e.hidden).map(e => e.dataset.kind)'
        )
        assert seen == [kind] and len(browser.all(f'.cards[data-kind={kind}] .example')) == 6


def test_the_epoch_under_the_pointer_is_read_in_all_curves(opened):
    browser = opened('two')
    point_at(browser, browser.all('.plot.curve')[0], x=40)
    browser.wait(lambda: all(browser.texts('.readout')))
    train, valid, share = browser.texts('.readout')
    assert re.fullmatch(r'epoch (\d)' + re.escape(RUN) + r' [\d.]+' + re.escape(AGAIN) + r' [\d.]+', train), train
    assert re.match(r'epoch [24]', valid) and share.endswith(' %') and share.startswith(train[:7])
    point_at(browser, browser.one('h1'))
    browser.wait(lambda: not any(browser.texts('.readout')))


def test_the_arrow_keys_read_a_curve(opened):
    browser = opened('one')
    curve = browser.one('.plot.curve')
    assert curve.get_attribute('tabindex') == '0'
    read = []
    for key in ('\ue014', '\ue014', '\ue012', '\ue010', '\ue014'):  # Right, right, left, end, right.
        curve.send_keys(key)
        read.append(browser.texts('.readout')[0][:7])
    assert read == ['epoch 1', 'epoch 2', 'epoch 1', 'epoch 4', 'epoch 4']


def test_an_entity_is_marked_in_every_modality(opened):
    browser = opened('one')
    maps = browser.all('.plot.square')
    assert len(maps) == 2

    def marked():
        script = 'return arguments[0].querySelectorAll("svg path[stroke-width=\'2.5\']").length'
        return [browser.run(script, plot) for plot in maps]

    assert marked() == [0, 0]
    label = browser.run('return document.querySelectorAll("datalist option")[20].value')
    find(browser, label)
    browser.wait(lambda: marked() == [1, 1])
    assert browser.texts('.entity h4') == [label]
    # The first nine lack the other modality.
    find(browser, browser.run('return document.querySelectorAll("datalist option")[3].value'))
    browser.wait(lambda: marked() == [1, 0])
    assert f'without {MODALITY}' in browser.texts('.entity li')
    find(browser, '')
    browser.wait(lambda: marked() == [0, 0])
    dot = maps[0].find_element('css selector', 'svg .mark-symbol path')
    point_at(browser, dot)
    browser.wait(lambda: marked()[0] == 1)
    chosen = browser.texts('.entity h4')
    from selenium.webdriver import ActionChains

    ActionChains(browser.driver).click().perform()
    point_at(browser, browser.one('h1'))
    browser.wait(lambda: marked()[0] == 1)
    assert browser.texts('.entity h4') == chosen and browser.console() == []


def test_the_map_has_pictures_and_other_colours(opened):
    browser = opened('one')
    maps = browser.all('.plot.square')

    def images():
        return browser.run('return arguments[0].querySelectorAll("svg image").length', maps[0])

    assert 0 < images() <= 40
    browser.run('arguments[0].click()', browser.one('.pictures'))
    browser.wait(lambda: images() == 0)
    legend = browser.texts('.classes li')
    assert legend and all(re.search(r' \d+$', text) for text in legend)
    assert sum(int(text.rsplit(' ', 1)[1]) for text in legend) == 40
    cards = browser.run(
        'return [...document.querySelectorAll("[data-picture]")].map(e => [e.src, e.complete && e.naturalWidth])'
    )
    assert cards and all(card == [INK, 1] for card in cards)


def test_light_and_dark(opened):
    browser = opened('one')

    def colours():
        return browser.run(
            'const fill = document.querySelector(".plot svg .role-axis-label text");'
            'return [getComputedStyle(document.body).backgroundColor, getComputedStyle(fill).fill]'
        )

    light, button = colours(), browser.one('#theme')
    browser.run('arguments[0].click()', button)
    assert button.get_attribute('aria-pressed') == 'true' and button.text == 'Light'
    assert all(a != b for a, b in zip(light, colours(), strict=True))
    browser.run('arguments[0].click()', button)
    assert colours() == light
    browser.driver.execute_cdp_cmd(
        'Emulation.setEmulatedMedia', {'features': [{'name': 'prefers-color-scheme', 'value': 'dark'}]}
    )
    try:
        browser.wait(lambda: colours() != light)
    finally:
        browser.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': []})


def test_plots_follow_the_width_of_the_window(opened):
    browser = opened('one')
    browser.resize(600, 900)
    browser.wait(
        lambda: all(
            p.size['width'] >= p.find_element('css selector', 'svg').size['width'] for p in browser.all('.plot')
        )
    )
    assert browser.run(OVERFLOWING) == []
