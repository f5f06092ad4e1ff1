"""The page: one HTML file that holds its plots, its data and its pictures, and asks for nothing else."""

import base64
import functools
import hashlib
import importlib.resources
import json
from collections.abc import Sequence

from mans_jax.data.extras import import_for_report
from mans_jax.graph import HEAD
from mans_jax.reporting import datasets, tables, texts
from mans_jax.reporting.gather import RunReport
from mans_jax.reporting.plots import all_plots

_VALID_CHOICES = {
    name: texts.METRIC_NAMES[name] for name in ('mrr', 'hits_at_1', 'hits_at_3', 'hits_at_10', 'mean_rank')
}

_EXAMPLES = {'best': 'Best', 'worst': 'Worst', 'drawn': 'Drawn at random'}


def render(reports: Sequence[RunReport]) -> str:
    """The HTML of the page.

    Whatever a graph or a run calls its things is text here: the template escapes it, and in the data of the scripts no
    character is left that could end them. The page's own security policy allows no script but the two that it brings,
    and no request.

    Args:
        reports: the runs, in the order in which they are shown.
    """
    jinja, markup = import_for_report('jinja2'), import_for_report('markupsafe').Markup
    environment = jinja.Environment(
        autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    scripts = [_library(), _asset('page.js')]
    grounds = list(dict.fromkeys(report.ground for report in reports))
    return environment.from_string(_asset('page.html')).render(
        style=markup(_asset('page.css')),
        scripts=[markup(script) for script in scripts],
        policy=_policy(scripts),
        data=markup(script_json(_data(reports, grounds))),
        **_context(reports, grounds),
    )


def script_json(content) -> str:
    """JSON for a script element: nothing in it can end the element, or begin a comment in it."""
    text = json.dumps(content, allow_nan=False, separators=(',', ':'))
    for letter in '<>&':
        text = text.replace(letter, f'\\u{ord(letter):04x}')
    return text


def _data(reports, grounds):
    pictures = {}
    for report in reports:
        ground = grounds.index(report.ground)
        pictures |= {datasets.picture_key(ground, entity): file for entity, file in report.pictures.items()}
    return {
        'plots': all_plots(len(reports)),
        'datasets': datasets.datasets(reports, grounds),
        'maps': [datasets.map_data(report, grounds.index(report.ground)) for report in reports],
        'pictures': pictures,
    }


def _context(reports, grounds):
    """What the template shows."""
    by_ground = [[report for report in reports if report.ground == ground] for ground in grounds]
    return {
        'reports': reports,
        'title': _title(reports),
        **_sentences(reports),
        'tiles': _tiles(reports[0]),
        'graphs': [f'{runs[0].graph.name}' for runs in by_ground],
        'ground_of': [grounds.index(report.ground) for report in reports],
        'metric_names': texts.METRIC_NAMES,
        'curve_choices': texts.CURVE_NAMES,
        'valid_choices': _VALID_CHOICES,
        'has_train': any(report.curves for report in reports),
        'has_valid': any(report.curves and report.curves.valid['epoch'] for report in reports),
        'has_choice': any(report.choice for report in reports),
        'parts_table': tables.parts_table(reports[0]),
        'comparison_tables': tables.comparison_tables(reports),
        'other_tasks': tables.other_tasks_table(reports),
        'relations_tables': [(runs[0].graph.name, tables.relations_table(runs)) for runs in by_ground],
        'most_relations': datasets.MOST_RELATIONS,
        'num_relations': [len(runs[0].links['filtered']['relation']) for runs in by_ground],
        'different_settings': tables.settings_table(reports, only_different=True),
        'settings': tables.settings_table(reports),
        'provenance': tables.provenance_table(reports),
        'example_kinds': _EXAMPLES,
        'examples': [_examples(report, grounds.index(report.ground)) for report in reports],
        'percent': lambda share: f'{100 * share:.1f}\u00a0%',
        'strategies': [texts.strategy(report.config) for report in reports],
    }


def _title(reports):
    names, graphs = ([*dict.fromkeys(x)] for x in zip(*((r.name, r.graph.name) for r in reports), strict=True))
    return texts.listed(names) if names == graphs else f'{texts.listed(names)} on {texts.listed(graphs)}'


def _sentences(reports):
    """The first sentences of the page, and one for each of several runs; what all runs share is said once."""
    graphs, runs = [texts.graph_sentence(report) for report in reports], [texts.run_sentence(r) for r in reports]
    if len(reports) == 1:
        return {'lede': [*graphs[0], *runs[0]], 'sentences': []}
    comparison = texts.comparison_sentence(reports)
    if all(graph == graphs[0] for graph in graphs):
        return {'lede': [*graphs[0], *comparison], 'sentences': runs}
    return {'lede': comparison, 'sentences': [[*graph, *run] for graph, run in zip(graphs, runs, strict=True)]}


def _tiles(report):
    """The first numbers of one run: (name, number, interval)."""
    metrics = report.links['filtered']['micro']
    return [
        (texts.METRIC_NAMES[name], texts.number(name, metrics[name]), texts.interval(metrics, name))
        for name in ('mrr', 'hits_at_1', 'hits_at_10', 'mean_rank')
    ]


def _examples(report, ground):
    """Kind to examples, each a dict of what its card shows."""

    def shown(entity):
        return {
            'name': report.names.entities[entity],
            'label': report.graph.entities[entity],
            'description': report.names.descriptions[entity],
            'picture': datasets.picture_key(ground, entity) if entity in report.pictures else None,
        }

    def card(example):
        head, relation, tail = example.triple
        asked_for_head = example.side == HEAD
        return {
            'kept': shown(tail if asked_for_head else head),
            'relation': report.names.relations[relation],
            'relation_label': report.graph.relations[relation],
            'asked_for_head': asked_for_head,
            'rank': f'{example.rank:,.1f}'.removesuffix('.0'),
            'candidates': f'{report.graph.num_entities:,}',
            'answers': [
                shown(answer.entity)
                | {
                    'rank': f'{answer.rank:,.1f}'.removesuffix('.0'),
                    'probability': _probability(answer.probability),
                    'width': round(100 * answer.probability, 1),
                    'is_true': answer.is_true,
                }
                for answer in example.answers
            ],
        }

    return {kind: [card(example) for example in report.examples[kind]] for kind in _EXAMPLES}


def _probability(value):
    """As '93 %', but never 0 or 100, which no model can be sure of."""
    if value < 0.005 or value > 0.995:
        return '<\u00a01\u00a0%' if value < 0.005 else '>\u00a099\u00a0%'
    return f'{100 * value:.0f}\u00a0%'


@functools.cache
def _library() -> str:
    """The JavaScript of Vega, whole, without what could end a script element."""
    bundle = import_for_report('vl_convert').javascript_bundle('window.vegaEmbed = vegaEmbed;')
    return bundle.replace('</script', '<\\/script').replace('<!--', '<\\!--')


def _policy(scripts) -> str:
    """The content security policy: these scripts alone, styles and pictures from the page itself, no request."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = ' '.join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        f"base-uri 'none'; form-action 'none'"
    )


def _asset(name) -> str:
    return importlib.resources.files('mans_jax.reporting').joinpath('assets', name).read_text(encoding='utf-8')
