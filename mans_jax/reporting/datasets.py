"""What the plots show, as columns that JSON can hold, for all runs of a page."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mans_jax.rank_statistics import METRICS
from mans_jax.reporting.curves import TRAIN, VALID
from mans_jax.reporting.entity_map import NONE, OTHER
from mans_jax.reporting.gather import GROUPS, PARTS, RunReport

MOST_RELATIONS, _MOST_CHOICES = 24, 14
"""So many are plotted, those with the most triples; the table has all."""

_MOST_FACTS = 3


def columns(rows: Iterable[Mapping], names: Sequence[str]) -> dict:
    """Rows as columns by name; texts as a list of distinct ones and the positions in it, which is much shorter."""
    rows = list(rows)
    return {name: _column([row[name] for row in rows]) for name in names}


def _column(values):
    if not any(isinstance(value, str) for value in values):
        return values
    labels = {value: i for i, value in enumerate(dict.fromkeys(values))}
    return {'labels': list(labels), 'codes': [labels[value] for value in values]}


def datasets(reports: Sequence[RunReport], grounds: Sequence[str]) -> dict[str, dict]:
    """The data of the plots, by the names that the page gives them.

    Args:
        reports: the runs.
        grounds: the distinct values of `RunReport.ground`, in the order of their numbers.
    """
    scores = {
        f'scores-{i}': columns(_scores(report), ('kind', 'score', 'density'))
        for i, report in enumerate(reports)
        if report.scores is not None
    }
    own = ('run', 'number', 'graph')
    ranked = (*own, 'metric', 'label', 'order', 'value', 'low', 'high', 'count')
    return {
        'train': columns(_curves(reports, 'train'), ('run', 'number', 'epoch', *TRAIN)),
        'valid': columns(_curves(reports, 'valid'), ('run', 'number', 'epoch', *VALID)),
        'parts': columns(_parts(reports, grounds), ranked),
        'groups': columns(_groups(reports, grounds), ('kind', *ranked)),
        'choice': columns(_choice(reports, grounds), (*own, 'label', 'order', 'value', 'judged', 'count')),
        **scores,
    }


def _curves(reports, split):
    for i, report in enumerate(reports):
        if report.curves is not None:
            curves = getattr(report.curves, split)
            for values in zip(*curves.values(), strict=True):
                yield {'run': report.name, 'number': i, **dict(zip(curves, values, strict=True))}


def _own(reports, grounds):
    """The runs with what every row of theirs begins with."""
    for i, report in enumerate(reports):
        yield {'run': report.name, 'number': i, 'graph': grounds.index(report.ground)}, report


def _parts(reports, grounds):
    for own, report in _own(reports, grounds):
        for order, ((protocol, part), label) in enumerate(PARTS.items()):
            yield from _ranked(report.links[protocol][part], **own, label=label, order=order)


def _groups(reports, grounds):
    for own, report in _own(reports, grounds):
        for kind in GROUPS:
            for order, (label, metrics) in enumerate(shown_groups(report, kind)):
                yield from _ranked(metrics, **own, kind=kind, label=label, order=order)


def shown_groups(report: RunReport, kind: str) -> list[tuple[str, dict]]:
    """The groups of a kind that are plotted, with their names on the page and their metrics."""
    groups = list(report.links['filtered'][kind].items())
    if kind != 'relation':
        return [(label.replace('+', ' + '), metrics) for label, metrics in groups]
    return relations(report)[:MOST_RELATIONS]


def relations(report: RunReport) -> list[tuple[str, dict]]:
    """Every relation of the test triples, by its name on the page, with its metrics; those with the most first."""
    named = dict(zip(report.graph.relations, report.names.relations, strict=True))
    found = report.links['filtered']['relation']
    return [(named[label], found[label]) for label in sorted(found, key=lambda label: -found[label]['count'])]


def _ranked(metrics, **own):
    for name in METRICS:
        low, high = metrics.get('intervals', {}).get(name, (None, None))
        row = {'metric': name, 'value': metrics[name], 'low': low, 'high': high}
        yield {**own, **{key: rounded(value) for key, value in row.items()}, 'count': metrics['count']}


def _choice(reports, grounds):
    for own, report in _own(reports, grounds):
        if report.choice is not None:
            choice = report.choice
            for order, relation in enumerate(choice.relation[:_MOST_CHOICES].tolist()):
                yield {
                    **own,
                    'label': report.names.relations[relation],
                    'order': order,
                    'value': rounded(float(choice.share[order])),
                    'judged': int(choice.judged[order]),
                    'count': int(choice.train[order]),
                }


def _scores(report):
    edges = report.scores.edges
    for kind, density in report.scores.density.items():
        for middle, height in zip((edges[1:] + edges[:-1]) / 2, density, strict=True):
            yield {'kind': kind, 'score': rounded(float(middle)), 'density': rounded(float(height))}


def map_data(report: RunReport, ground: int) -> dict:
    """What the map of a run shows, all of it by the position of an entity in the sample."""
    entity_map, names = report.entity_map, report.names
    ids = entity_map.entities.tolist()
    return {
        'labels': [names.entities[entity] for entity in ids],
        'descriptions': [names.descriptions[entity] for entity in ids],
        'facts': _facts(report, ids),
        'degree': entity_map.degree.tolist(),
        'pictures': [picture_key(ground, entity) if entity in report.pictures else None for entity in ids],
        'places': {
            modality: [[None if math.isnan(x) else round(x, 4) for x in axis] for axis in places.T.tolist()]
            for modality, places in entity_map.places.items()
            if places is not None
        },
        'colourings': [_colouring(colouring, names) for colouring in entity_map.colourings],
    }


def picture_key(ground: int, entity: int) -> str:
    """What a picture is found by in the page: runs on one graph share it."""
    return f'{ground}-{entity}'


def _colouring(colouring, names):
    """The names and the CSS variables of the classes that occur, and the position in them of each entity."""
    if colouring.relation is None:
        title, css = 'number of train triples', 'degree{}'
        bounds = [*colouring.labels, None]
        texts = [_range(low, high) for low, high in zip(bounds, bounds[1:], strict=False)]
    else:
        title, css = names.relations[colouring.relation], 'class{}'
        texts = [names.entities[entity] for entity in colouring.labels]
    order = range(len(texts)) if colouring.relation is None else np.argsort(texts, kind='stable').tolist()
    kinds = [(i, texts[i], css.format(place)) for place, i in enumerate(order)]
    kinds += [(OTHER, 'another', 'other'), (NONE, 'none', 'none')]
    kinds = [kind for kind in kinds if np.any(colouring.classes == kind[0])]
    place = {kind[0]: i for i, kind in enumerate(kinds)}
    counts = [int(np.sum(colouring.classes == kind[0])) for kind in kinds]
    return {
        'title': title,
        'labels': [kind[1] for kind in kinds],
        'css': [kind[2] for kind in kinds],
        'counts': counts,
        'classes': [place[value] for value in colouring.classes.tolist()],
    }


def _range(low, high):
    if high is None:
        return f'{low} or more'
    return str(low) if high == low + 1 else f'{low} to {high - 1}'


def _facts(report, ids):
    """The first few train triples of each entity, as text."""
    train, names = report.graph.train, report.names
    position, facts = {entity: i for i, entity in enumerate(ids)}, [[] for _ in ids]
    named = np.isin(train[:, 0], ids) | np.isin(train[:, 2], ids)
    for head, relation, tail in np.unique(train[named], axis=0).tolist():
        for entity, text in (
            (head, f'{names.relations[relation]} \u2192 {names.entities[tail]}'),
            (tail, f'{names.entities[head]} \u2192 {names.relations[relation]}'),
        ):
            if entity in position and len(facts[position[entity]]) < _MOST_FACTS:
                facts[position[entity]].append(text)
    return facts


def rounded(value):
    """A number with as many digits as anyone reads; other values as they are."""
    return float(f'{value:.5g}') if isinstance(value, float) else value
