"""An audit in words: what is a problem and what to do about it, and a table for a terminal."""

import dataclasses
import itertools
from collections.abc import Sequence

from mans_jax.data.audit import Audit

_SPLITS = ('train', 'valid', 'test')
_MAX_OVERLAPS = 5
_LABEL_WIDTH = 30


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something that makes results on a graph look better or worse than they should, and what to do about it."""

    what: str
    cure: str


def problems(audit: Audit) -> tuple[Problem, ...]:
    """What is wrong with a graph, the gravest first; nothing where nothing is."""
    return (*_leaks(audit), *_trivial(audit), *_gaps(audit), *_features(audit))


def table(audit: Audit) -> str:
    """The audit as aligned text, its problems last, where a terminal stands still."""
    parts = [
        f'{audit.name}: {audit.entities:,} entities, {audit.relations:,} relations, {audit.loops:,} loops',
        _splits_table(audit),
        _unseen_table(audit),
        _overlap_table(audit),
        _cardinality_table(audit),
        _degree_table(audit),
        _modality_table(audit),
        _problem_list(problems(audit)),
    ]
    return '\n\n'.join(parts)


def _leaks(audit: Audit) -> list[Problem]:
    cure = 'left out by default (splits=clean); --write_clean=DIR writes a split without them'
    found = []
    for split, other in (('test', 'train'), ('valid', 'train'), ('valid', 'test')):
        counts = getattr(audit.splits, split)
        distinct, lines = getattr(counts, f'in_{other}'), getattr(counts, f'in_{other}_lines')
        if distinct:
            what = f'{split}: {distinct:,} of {counts.distinct:,} distinct triples ({lines:,} lines) stand in {other}'
            found.append(Problem(what, cure))
    for split in _SPLITS:
        counts = getattr(audit.splits, split)
        if counts.lines > counts.distinct:
            what = f'{split}: {counts.lines - counts.distinct:,} of {counts.lines:,} lines repeat another'
            found.append(Problem(what, 'counted once by default (splits=clean); --write_clean=DIR writes them once'))
    return found


def _trivial(audit: Audit) -> list[Problem]:
    found = []
    for split in ('test', 'valid'):
        number, counts = getattr(audit, f'trivial_{split}'), getattr(audit.splits, split)
        if number:
            share = f'{number:,} of {counts.distinct:,} distinct triples, leaks aside,'
            what = f'{split}: {share} follow from a train triple of an overlapping relation'
            found.append(Problem(what, 'report results with and without them, or leave one relation of each pair out'))
    return found


def _gaps(audit: Audit) -> list[Problem]:
    cures = {
        'entities': (
            'nothing can rank those without features; give them some, or leave these triples out'
            if audit.unknown
            else 'their features alone can rank them; report results with and without these triples'
        ),
        'relations': 'no model can rank them; leave these triples out',
    }
    found = []
    for kind, cure in cures.items():
        unseen = getattr(audit, f'unseen_{kind}')
        for split in ('test', 'valid'):
            number = getattr(unseen, split)
            if number:
                found.append(Problem(f'{split}: {number:,} triples name {kind} that no train triple does', cure))
    if audit.unknown:
        what = f'{audit.unknown:,} entities have neither a train triple nor a feature'
        found.append(Problem(what, 'give --features NAME=FILE, or expect ranks of chance for them'))
    return found


def _features(audit: Audit) -> list[Problem]:
    found = []
    for modality in audit.modalities:
        if modality.zero_rows:
            what = f'{modality.name}: {modality.zero_rows:,} entities have nothing but zeros'
            found.append(Problem(what, 'where that means no data, store NaN in their rows'))
        if modality.shared_rows:
            like = ', '.join(map(_short, modality.examples))
            what = f'{modality.name}: {modality.shared_rows:,} entities share their row with another, as {like}'
            found.append(Problem(what, 'this modality cannot tell them apart; look whether one file stood for several'))
    return found


def _splits_table(audit: Audit) -> str:
    rows = [('splits', 'lines', 'distinct', 'repeated', 'in train', '(lines)', 'in test', '(lines)')]
    for split in _SPLITS:
        counts = getattr(audit.splits, split)
        row = [split, counts.lines, counts.distinct, counts.lines - counts.distinct]
        row += [counts.in_train, counts.in_train_lines] if split != 'train' else ['', '']
        row += [counts.in_test, counts.in_test_lines] if split == 'valid' else ['', '']
        rows.append(row)
    return _aligned(rows)


def _unseen_table(audit: Audit) -> str:
    rows = [('not in train', 'number', 'in no split', 'valid triples', 'test triples', '')]
    for kind in ('entities', 'relations'):
        unseen = getattr(audit, f'unseen_{kind}')
        rows.append((kind, unseen.count, unseen.never_named, unseen.valid, unseen.test, _example(unseen.examples)))
    return _aligned(rows, text=True)


def _overlap_table(audit: Audit) -> str:
    threshold = f'at least {audit.overlap_threshold:.0%} and {audit.min_shared} of the pairs of a relation'
    if not audit.overlaps:
        return f'overlaps: no relation gives another one away ({threshold})'
    rows = [('overlaps', 'pairs', 'of first', 'of second', 'trivial test', '')]
    for x in audit.overlaps[:_MAX_OVERLAPS]:
        names = _short(x.first) if x.first == x.second else f'{_short(x.first)}, {_short(x.second)}'
        rows.append((x.kind, x.shared, f'{x.share_of_first:.0%}', f'{x.share_of_second:.0%}', x.trivial_test, names))
    rest = len(audit.overlaps) - _MAX_OVERLAPS
    more = [f'  and {rest:,} more, see --json'] if rest > 0 else []
    total = f'  {threshold}; {audit.trivial_valid:,} valid and {audit.trivial_test:,} test triples trivial'
    return '\n'.join([_aligned(rows, text=True), *more, total])


def _cardinality_table(audit: Audit) -> str:
    rows = [('heads-tails', 'relations', 'train', 'valid', 'test')]
    rows += [(x.name, x.relations, x.train, x.valid, x.test) for x in audit.cardinalities]
    return f'{_aligned(rows)}\n  distinct triples; N from a mean of {audit.cardinality_threshold} on'


def _degree_table(audit: Audit) -> str:
    quantiles = audit.degrees.quantiles
    names = {0: 'least', 50: 'median', 100: 'most'}
    rows = [
        ('degrees', 'mean', *(names.get(percent, f'{percent}%') for percent in quantiles)),
        ('in train', f'{audit.degrees.mean:.1f}', *quantiles.values()),
    ]
    hubs = ', '.join(f'{_short(label)} {degree:,}' for label, degree in audit.degrees.hubs[:3])
    return f'{_aligned(rows)}\n  hubs: {hubs}'


def _modality_table(audit: Audit) -> str:
    rows = [('modalities', 'width', 'entities', *(f'{split} lines' for split in _SPLITS), 'zero rows', 'shared rows')]
    for modality in audit.modalities:
        counts = [audit.entities, *(getattr(audit.splits, split).lines for split in _SPLITS)]
        covered = [modality.entities, *(getattr(modality, split) for split in _SPLITS)]
        shares = [_share(part, whole) for part, whole in zip(covered, counts, strict=True)]
        own = (modality.zero_rows, modality.shared_rows) if modality.width else ('', '')
        rows.append((modality.name, modality.width or '', *shares, *own))
    return f'{_aligned(rows)}\n  a line counts where both its entities have the modality'


def _problem_list(found: Sequence[Problem]) -> str:
    if not found:
        return 'problems: none'
    text = ['problems']
    for cure, group in itertools.groupby(found, key=lambda problem: problem.cure):
        text += [*(f'  {problem.what}' for problem in group), f'    -> {cure}']
    return '\n'.join(text)


def _share(part: int, whole: int) -> str:
    # Rounded down, so that 100 % means all of them.
    return f'{1000 * part // whole / 10:.1f}%'


def _example(labels: Sequence[str]) -> str:
    return f'as {_short(labels[0])}' if labels else ''


def _short(label: str) -> str:
    """A label for a terminal: nothing that could move the cursor, and of a long one the end, where names differ."""
    shown = ''.join(c if c.isprintable() else '?' for c in label)
    return shown if len(shown) <= _LABEL_WIDTH else '…' + shown[1 - _LABEL_WIDTH :]


def _aligned(rows: Sequence[Sequence], *, text: bool = False) -> str:
    """Rows under a heading: the first column to the left, numbers, but for a last column of text, to the right."""
    cells = [[cell if isinstance(cell, str) else f'{cell:,}' for cell in row] for row in rows]
    cells = [[row[0], *row[1:]] if number == 0 else [f'  {row[0]}', *row[1:]] for number, row in enumerate(cells)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    signs = ['<', *'>' * (len(widths) - 1)]
    if text:
        signs[-1] = '<'
    return '\n'.join(
        '  '.join(f'{cell:{sign}{width}}' for cell, sign, width in zip(row, signs, widths, strict=True)).rstrip()
        for row in cells
    )
