"""The tables of the page: cells of text, for one run or several side by side."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from mans_jax.reporting import datasets
from mans_jax.reporting.gather import PARTS, RunReport
from mans_jax.reporting.texts import METRIC_NAMES, interval, number


class Cell(NamedTuple):
    """A number, what stands below it in small, and whether it is the best of its row."""

    text: str
    small: str = ''
    is_best: bool = False


class Row(NamedTuple):
    """A line of a table; `title` is what is told of its label to who points at it."""

    label: str
    cells: Sequence[Cell]
    title: str = ''


class Table(NamedTuple):
    """Headings of the columns behind the first, and rows."""

    headings: Sequence[str]
    rows: Sequence[Row]


def parts_table(report: RunReport) -> Table:
    """The results of one run: a line for each part, a column for each metric."""
    rows = []
    for (protocol, part), label in PARTS.items():
        metrics = report.links[protocol][part]
        rows.append(Row(label, [Cell(number(name, metrics[name]), interval(metrics, name)) for name in METRIC_NAMES]))
    return Table(list(METRIC_NAMES.values()), rows)


def comparison_tables(reports: Sequence[RunReport]) -> dict[str, Table]:
    """The results of several runs: for each part a table with a line for each metric and a column for each run.

    Of runs on different graphs none is marked as the best.
    """
    same = len({report.ground for report in reports}) == 1
    tables = {}
    for (protocol, part), label in PARTS.items():
        metrics = [report.links[protocol][part] for report in reports]
        rows = []
        for name, title in METRIC_NAMES.items():
            values = [x[name] for x in metrics]
            best = _best(values, lower=name == 'mean_rank') if same else None
            cells = [Cell(number(name, x[name]), interval(x, name), x[name] == best) for x in metrics]
            rows.append(Row(title, cells))
        tables[label] = Table([report.name for report in reports], rows)
    return tables


def relations_table(reports: Sequence[RunReport]) -> Table:
    """Every relation of runs on one graph: its test triples, and MRR and Hits@10 of each run."""
    first = reports[0]
    labels = dict(zip(first.names.relations, first.graph.relations, strict=True))
    by_run, rows = [dict(datasets.relations(report)) for report in reports], []
    for name, metrics in datasets.relations(first):
        cells = [Cell(f'{metrics["count"]:,}')]
        for found in by_run:
            cells += [Cell(number(metric, found[name][metric])) for metric in ('mrr', 'hits_at_10')]
        rows.append(Row(name, cells, labels[name]))
    several = len(reports) > 1
    headings = [f'{metric} {report.name}' if several else metric for report in reports for metric in ('MRR', 'Hits@10')]
    return Table(['Test triples', *headings], rows)


def other_tasks_table(reports: Sequence[RunReport]) -> Table:
    """What `evaluate` has found of other tasks, where it was asked; no row for what no run has triples of."""
    found = [{name: dict(task(report.results['tasks'])) for name, task in _TASKS.items()} for report in reports]
    rows = []
    for task in _TASKS:
        for label in dict.fromkeys(label for values in found for label in values[task]):
            rows.append(Row(label, [Cell(values[task].get(label, '\u2013')) for values in found]))
    return Table([report.name for report in reports], rows)


def _classification(tasks):
    if 'triple_classification' in tasks:
        honest = tasks['triple_classification']['honest']
        yield 'Triple classification: accuracy', f'{100 * honest["accuracy"]:.1f}\u00a0%'
        yield 'Triple classification: area under ROC', f'{honest["roc_auc"]:.3f}'


def _relations(tasks):
    for name, metrics in tasks.get('relation_prediction', {}).items():
        if metrics:
            seen = 'all modalities' if name == 'all' else f'{name} alone'
            yield f'Relation prediction, {seen}: MRR', number('mrr', metrics['mrr'])


def _cross_modal(tasks):
    for of_head, row in tasks.get('cross_modal', {}).items():
        for of_tail, metrics in row.items():
            if metrics:
                yield f'Head by {of_head}, tail by {of_tail}: MRR', number('mrr', metrics['mrr'])


def _alignment(tasks):
    found = tasks.get('alignment', {})
    for pair, metrics in found.get('after', {}).items():
        if metrics:
            label = f'Alignment {pair.replace("->", chr(0x2192))}: recall@10'
            before = found['before'][pair]
            yield f'{label} before training', number('hits_at_10', before['recall_at_10'])
            yield label, number('hits_at_10', metrics['recall_at_10'])


_TASKS = {
    'triple_classification': _classification,
    'relation_prediction': _relations,
    'cross_modal': _cross_modal,
    'alignment': _alignment,
}
"""Task to what the table tells of it: (results by task) -> pairs of label and text."""


def settings_table(reports: Sequence[RunReport], only_different: bool = False) -> Table:
    """The recipes of runs; of several perhaps only what differs."""
    fields = [{k: _setting(v) for k, v in dataclasses.asdict(report.config).items()} for report in reports]
    names = [name for name in fields[0] if not only_different or len({x[name] for x in fields}) > 1]
    rows = [Row(name, [Cell(x[name]) for x in fields]) for name in names]
    return Table([report.name for report in reports], rows)


def provenance_table(reports: Sequence[RunReport]) -> Table:
    """Where runs come from: command, versions, revision and data."""
    found = []
    for report in reports:
        known = report.provenance
        versions = known.get('versions')
        versions = versions if isinstance(versions, dict) else {}
        command = known.get('command')
        found.append(
            {
                'Folder': str(report.workdir),
                'Command': ' '.join(map(str, command)) if isinstance(command, list) else '\u2013',
                'Git revision': _setting(known.get('git_revision')),
                'Checksum of the graph': _setting(known.get('graph_checksum')),
                'Parameters': f'{report.results["parameters"]}, step {report.step:,}',
                'Device': _setting(known.get('device')),
                'Python': _setting(known.get('python')),
                'Libraries': ', '.join(f'{name} {version}' for name, version in versions.items() if version)
                or '\u2013',
            }
        )
    rows = [Row(label, [Cell(values[label]) for values in found]) for label in found[0]]
    return Table([report.name for report in reports], rows)


def _setting(value) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{name}: {file}' for name, file in value.items()) or '\u2013'
    if isinstance(value, list | tuple):
        return ', '.join(map(str, value))
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return '\u2013' if value in (None, '') else str(value)


def _best(values, lower):
    known = [value for value in values if value is not None]
    return (min(known) if lower else max(known)) if known else None
