"""Duplicate and leaked triples: counted always, left out by default."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from mans_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class SplitCounts:
    """What one split holds; the splits of a reader, before anything is left out.

    Attributes:
        lines: its triples as stored, duplicates included.
        distinct: its distinct triples.
        in_train: how many of the distinct ones stand in train too; 0 for train itself.
        in_train_lines: the same of the lines.
        in_test: how many of the distinct ones stand in test too; counted for valid only, 0 elsewhere.
        in_test_lines: the same of the lines.
        kept: the triples that are handed on.
    """

    lines: int
    distinct: int
    in_train: int
    in_train_lines: int
    in_test: int
    in_test_lines: int
    kept: int


@dataclasses.dataclass(frozen=True)
class SplitReport:
    """What the splits of a graph hold, and what of it was kept.

    Attributes:
        train: the counts of train.
        valid: the counts of valid.
        test: the counts of test.
    """

    train: SplitCounts
    valid: SplitCounts
    test: SplitCounts

    def line(self) -> str:
        """One line about duplicate and leaked triples, or '' where there are none."""
        return '; '.join(filter(None, (_describe(name, getattr(self, name)) for name in ('train', 'valid', 'test'))))


def clean(triples: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], SplitReport]:
    """Leaves out what would make training or evaluation count a triple twice or ask for what it has seen.

    Each split keeps the first of its duplicates; test loses the triples of train; valid those of train and of test.
    Test keeps what valid shares with it, so that results on it remain comparable with published ones.

    Args:
        triples: 'train', 'valid' and 'test' as int[N, 3] rows of (head, relation, tail) ids.

    Returns:
        (the same splits with their triples in the same order, the report).

    Raises:
        InputError: nothing is left of a split.
    """
    marks = mark(triples)
    kept = {name: ~np.any([~first, *seen.values()], axis=0) for name, (first, seen) in marks.items()}
    report = _report(marks, kept)
    for name, rows in kept.items():
        if not rows.any():
            counts = getattr(report, name)
            overlap = f'of {counts.distinct} distinct ones {counts.in_train} stand in train, {counts.in_test} in test'
            cure = "give others or keep these with splits='published'"
            raise InputError(f'{name}: no triple is left, {overlap}; {cure}')
    return {name: triples[name][rows] for name, rows in kept.items()}, report


def as_published(triples: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], SplitReport]:
    """Leaves every split as it is, duplicates and leaked triples included, and counts them.

    Args:
        triples: 'train', 'valid' and 'test' as int[N, 3] rows of (head, relation, tail) ids.

    Returns:
        (the same splits, the report).
    """
    every = {name: np.ones(len(rows), dtype=bool) for name, rows in triples.items()}
    return dict(triples), _report(mark(triples), every)


VARIANTS = {'clean': clean, 'published': as_published}
"""What to do about duplicate and leaked triples, by the name that a config gives it."""

_SEEN_BEFORE = {'train': (), 'valid': ('train', 'test'), 'test': ('train',)}


def mark(triples: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Marks the duplicate and leaked triples of each split.

    Args:
        triples: 'train', 'valid' and 'test' as int[N, 3] rows of (head, relation, tail) ids.

    Returns:
        For each split (first bool[N], whether a triple is the first of its kind there; seen, other split to bool[N],
        whether it stands there too). Valid is held against train and test, test against train, train against none.
    """
    codes = _codes(triples)
    size = max(code.max(initial=-1) for code in codes.values()) + 1
    marks = {}
    for name, code in codes.items():
        position = np.arange(len(code))
        first = np.empty(size, dtype=np.int64)
        first[code[::-1]] = position[::-1]  # Of several values for one place the last stays: here the first of a split.
        seen = {}
        for other in _SEEN_BEFORE[name]:
            stands = np.zeros(size, dtype=bool)
            stands[codes[other]] = True
            seen[other] = stands[code]
        marks[name] = (first[code] == position, seen)
    return marks


def _codes(triples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Numbers the distinct triples of all splits: int64[N] in [0, distinct), equal where triples are."""
    rows = np.concatenate([triples[name] for name in _SEEN_BEFORE]).astype(np.int64)
    bound = rows.max(initial=0) + 1
    # Pairs are renumbered before the relation comes in: bound**3 overflows for ids that int32 still holds.
    _, pair = np.unique(rows[:, 0] * bound + rows[:, 2], return_inverse=True)
    _, code = np.unique(pair * bound + rows[:, 1], return_inverse=True)
    ends = np.cumsum([len(triples[name]) for name in _SEEN_BEFORE])
    return dict(zip(_SEEN_BEFORE, np.split(code, ends[:-1]), strict=True))


def _report(marks, kept: Mapping[str, np.ndarray]) -> SplitReport:
    counts = {}
    for name, (first, seen) in marks.items():
        in_train, in_test = (seen.get(other, np.zeros(len(first), dtype=bool)) for other in ('train', 'test'))
        counts[name] = SplitCounts(
            lines=len(first),
            distinct=int(first.sum()),
            in_train=int((in_train & first).sum()),
            in_train_lines=int(in_train.sum()),
            in_test=int((in_test & first).sum()),
            in_test_lines=int(in_test.sum()),
            kept=int(kept[name].sum()),
        )
    return SplitReport(**counts)


def _describe(name: str, counts: SplitCounts) -> str:
    faults = {
        'repeated': counts.lines - counts.distinct,
        'in train': counts.in_train,
        'in test': counts.in_test,
    }
    said = ', '.join(f'{number:,} {what}' for what, number in faults.items() if number)
    return said and f'{name}: {counts.kept:,} of {counts.lines:,} lines kept ({said})'
