"""The page as HTML: nothing that a run or a graph is called is markup in it, and it asks for nothing."""

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from tests.report_runs import COMMENT, GRAPH, IMAGE, MARKUP, MODALITY, RUN, SCRIPT

for library in ('jinja2', 'vl_convert', 'PIL'):
    pytest.importorskip(library, reason=f'{library} is not installed; the extra report has it')

from mans_jax.reporting import page  # noqa: E402  (it says why it is not tested)
from mans_jax.reporting.tables import other_tasks_table  # noqa: E402


class Elements(HTMLParser):
    """The elements of a page, with their attributes and their own text."""

    VOID = ('meta', 'link', 'img', 'input', 'br')

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes), []))
        if tag not in self.VOID:
            self.open.append(self.found[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, tag

    def handle_data(self, text):
        if self.open:
            self.open[-1][2].append(text)

    def all(self, tag):
        return [(attributes, ''.join(text)) for name, attributes, text in self.found if name == tag]

    def texts(self):
        return [''.join(text).strip() for name, _, text in self.found if name not in ('script', 'style')]


@pytest.fixture(scope='module')
def marked(reports):
    return page.render(reports[:1])


@pytest.fixture(scope='module')
def several(reports):
    """Two runs on one graph and one on another."""
    marked, bare = reports
    return page.render([marked, dataclasses.replace(marked, name=f'{SCRIPT} again'), bare])


@pytest.fixture(params=['marked', 'several'])
def text(request):
    return request.getfixturevalue(request.param)


def test_elements_are_closed_and_no_script_or_handler_comes_from_a_label(text):
    elements = Elements(text)
    assert elements.open == []
    scripts = elements.all('script')
    assert [attributes.get('type') for attributes, _ in scripts] == ['application/json', None, None]
    for tag, attributes, _ in elements.found:
        assert not [name for name in attributes if name.startswith('on')], (tag, attributes)
        assert tag not in ('b', 'i', 'object', 'iframe', 'embed'), tag
        assert tag != 'img' or set(attributes) == {'data-picture', 'alt'}
    # What a template engine would have worked out is text, too.
    assert '49 name' not in text and '{{ 7 * 7 }} name' in text


def test_labels_are_shown_as_they_are(marked, reports):
    elements, (report, _) = Elements(marked), reports
    texts = elements.texts()
    assert f'{RUN} on {GRAPH}' in texts and (elements.all('title')[0][1], elements.all('h1')[0][1]) == (
        f'{RUN} on {GRAPH}',
        f'{RUN} on {GRAPH}',
    )
    assert MODALITY in [text for _, text in elements.all('h3')]
    headings = [text for _, text in elements.all('th')]
    for label in report.graph.relations:
        assert label in headings
    shown = ' '.join(texts)
    for markup in (SCRIPT, IMAGE, COMMENT, '&lt;b&gt;'):
        assert markup in shown
    assert f'{SCRIPT} text ' in shown  # A description.
    titles = [attributes['title'] for _, attributes, _ in elements.found if 'title' in attributes]
    assert titles and all(any(title.startswith(markup) for markup in MARKUP) for title in titles)


def test_the_data_of_the_scripts_holds_labels_and_cannot_end_its_element(text, reports):
    ((_, data),) = [(a, t) for a, t in Elements(text).all('script') if a.get('type')]
    assert not re.search('[<>&\u2028\u2029]', data)
    content = json.loads(data)
    assert set(content) == {'plots', 'datasets', 'maps', 'pictures'}
    assert content['datasets']['groups']['label']['labels'][:4] == [label for label, _ in sorted_relations(reports[0])]
    assert content['datasets']['train']['run']['labels'][0] == RUN
    assert set(content['maps'][0]['places']) == {'structure', MODALITY}
    assert {label.split(' ')[0] for label in content['maps'][0]['labels']} >= {
        markup.split(' ')[0] for markup in MARKUP
    }


def sorted_relations(report):
    found = report.links['filtered']['relation']
    return sorted(found.items(), key=lambda item: -item[1]['count'])


@pytest.mark.parametrize('content', [*MARKUP, '</script>', ']]>', '\u2029', {'</script>': ['<!--']}])
def test_json_for_a_script_reads_back_as_it_was(content):
    text = page.script_json(content)
    assert json.loads(text) == content and not re.search('[<>&\u2028\u2029]', text)


def test_numbers_that_json_has_not_are_an_error():
    with pytest.raises(ValueError):
        page.script_json(float('nan'))


def test_the_policy_allows_the_two_scripts_of_the_page_and_no_request(text):
    elements = Elements(text)
    (policy,) = (a['content'] for a, _ in elements.all('meta') if a.get('http-equiv') == 'Content-Security-Policy')
    rules = dict(rule.strip().split(' ', 1) for rule in policy.split(';'))
    assert rules['default-src'] == "'none'" and rules['img-src'] == 'data:' and 'connect-src' not in rules
    scripts = [text for attributes, text in elements.all('script') if 'type' not in attributes]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert rules['script-src'].split() == [f"'sha256-{digest}'" for digest in digests]
    # Nor does the page name an address of its own.
    for _, attributes, _ in elements.found:
        assert not re.match('https?:|//', attributes.get('src', '') + attributes.get('href', '')), attributes
    assert 'url(' not in elements.all('style')[0][1] and '@import' not in elements.all('style')[0][1]


def test_headings_go_down_by_one_and_controls_have_names(text):
    elements = Elements(text)
    levels = [int(tag[1]) for tag, _, _ in elements.found if re.fullmatch('h[1-6]', tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    assert len(elements.all('select')) + len(elements.all('input')) <= len(elements.all('label'))
    ids = [attributes['id'] for _, attributes, _ in elements.found if 'id' in attributes]
    assert len(ids) == len(set(ids))
    for attributes, _ in elements.all('a'):
        assert attributes['href'][1:] in ids


def test_one_run_has_its_sentence_and_several_stand_in_columns(marked, several, reports):
    one, many = Elements(marked), Elements(several)
    lede = re.search('<p class="lede">(.*?)</p>', marked, re.DOTALL)[1]
    said = re.sub('<.*?>', '', lede)
    assert ' has 40 entities seen through structure and ' in said and '4 relations and 128 train triples' in said
    assert re.search(
        r'TransE \(L1\) of 8 dimensions learned it from MANS-A negatives, one a triple; shown is its', said
    )
    assert re.search(r'its MRR is 0\.\d{3} \(95.% interval 0\.\d{3} to 0\.\d{3}\)\.', said)
    assert not one.all('fieldset')[1:] and len(one.all('table')) < len(many.all('table'))
    names = [report.name for report in reports]
    headings = [text for _, text in many.all('th')]
    assert headings.index(names[0]) < headings.index(f'{SCRIPT} again') < headings.index(names[1])
    assert 'These runs are not about the same test triples' in several
    assert not re.search('class="best"', several)


def test_runs_on_one_graph_are_compared(reports):
    marked, _ = reports
    micro = marked.links['filtered']['micro']
    better = {**micro, 'mrr': 0.99, 'intervals': {**micro['intervals'], 'mrr': [0.98, 1.0]}}
    links = {**marked.links, 'filtered': {**marked.links['filtered'], 'micro': better}}
    other = dataclasses.replace(marked, name='other', results={**marked.results, 'tasks': {'link_prediction': links}})
    text = page.render([marked, other])
    said = re.sub('<.*?>', '', re.search('<p class="lede">(.*?)</p>', text, re.DOTALL)[1])
    assert 'other has the highest test MRR, 0.990, before ' in said and '95\u00a0% intervals do not overlap' in said
    cells = [(attributes.get('class'), text) for attributes, text in Elements(text).all('td')]
    assert ('best', '0.990') in cells and ('best', f'{micro["mrr"]:.3f}') not in cells[:2]
    assert 'The runs have the same settings.' in text


def test_sections_that_cannot_be_served_say_so_and_the_others_stand(reports):
    _, bare = reports
    gone = dataclasses.replace(
        bare, scores=None, choice=None, not_served={**bare.not_served, 'scores': 'why so', 'choice': 'no <i>images'}
    )
    text = page.render([gone])
    elements = Elements(text)
    missing = [text for attributes, text in elements.all('p') if attributes.get('class') == 'missing']
    reason = 'metrics.jsonl is not in the folder of this run, and nothing else tells how the training went.'
    assert missing.count(reason) == 2 and {'why so.', 'no <i>images.'} <= set(missing)
    plots = {attributes['data-plot'] for attributes, _ in elements.all('div') if 'data-plot' in attributes}
    assert plots == {'parts', 'groups', 'map'}
    assert set(re.findall('<section id="([a-z]+)"', text)) == {
        'results', 'curves', 'groups', 'negatives', 'scores', 'map', 'examples', 'run',
    }  # fmt: skip


def test_what_evaluate_found_of_other_tasks_is_shown(reports):
    marked, _ = reports
    assert 'mans_jax.evaluate --workdir=RUN' in page.render([marked])
    tasks = {
        **marked.results['tasks'],
        'triple_classification': {'honest': {'accuracy': 0.875, 'roc_auc': 0.9}},
        'relation_prediction': {'all': {'mrr': 0.5}, MODALITY: None},
        'cross_modal': {'structure': {MODALITY: {'mrr': 0.25}}},
        'alignment': {
            'before': {f'structure -> {MODALITY}': {'recall_at_10': 0.125}, 'a -> b': None},
            'after': {f'structure -> {MODALITY}': {'recall_at_10': 0.5}, 'a -> b': None},
        },
    }
    text = page.render([dataclasses.replace(marked, results={**marked.results, 'tasks': tasks})])
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th><td>([^<]*)</td></tr>', text)
    want = {
        'Triple classification: accuracy': '87.5\u00a0%',
        'Triple classification: area under ROC': '0.900',
        'Relation prediction, all modalities: MRR': '0.500',
        'Head by structure, tail by &lt;i&gt;visual: MRR': '0.250',
        'Alignment structure \u2192 &lt;i&gt;visual: recall@10 before training': '12.5\u00a0%',
        'Alignment structure \u2192 &lt;i&gt;visual: recall@10': '50.0\u00a0%',
    }
    assert list(want.items()) == rows[: len(want)]
    # What no triple has is no row.
    assert not any('visual alone' in label or 'a \u2192 b' in label for label, _ in rows)
    assert 'mans_jax.evaluate --workdir=RUN' not in text


def test_rows_of_a_task_stand_together_whichever_run_has_them(reports):
    pair = {'relation_prediction': {'all': {'mrr': 0.5}}, 'cross_modal': {'structure': {'structure': {'mrr': 0.25}}}}
    other = {'relation_prediction': {'all': {'mrr': 0.25}, 'text': {'mrr': 0.125}}}
    runs = [
        dataclasses.replace(report, results={**report.results, 'tasks': {**report.results['tasks'], **tasks}})
        for report, tasks in zip(reports, (pair, other), strict=True)
    ]
    assert [(row.label, [cell.text for cell in row.cells]) for row in other_tasks_table(runs).rows] == [
        ('Relation prediction, all modalities: MRR', ['0.500', '0.250']),
        ('Relation prediction, text alone: MRR', ['\u2013', '0.125']),
        ('Head by structure, tail by structure: MRR', ['0.250', '\u2013']),
    ]


def test_the_same_runs_make_the_same_page(reports, marked):
    assert page.render(reports[:1]) == marked
