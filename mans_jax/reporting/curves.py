"""The curves of a training, from the metrics.jsonl of its workdir."""

import json
import math
from pathlib import Path
from typing import NamedTuple

from mans_jax.data import lines
from mans_jax.errors import InputError, NotServable
from mans_jax.run_log import whole_lines

TRAIN = ('loss', 'virtual_share', 'gradient_norm', 'update_norm', 'triples_per_second')
VALID = ('mrr', 'hits_at_1', 'hits_at_3', 'hits_at_10', 'mean_rank')

MOST_POINTS = 2000
"""Longer curves are thinned: no screen has as many columns."""


class Curves(NamedTuple):
    """What was measured after epochs.

    Attributes:
        train: 'epoch' and the names of TRAIN to lists of one length; None stands where a value is not there.
        valid: likewise of VALID; empty lists where nothing was validated.
        every: which epochs of train are in it: every so many-th, and the last.
    """

    train: dict[str, list]
    valid: dict[str, list]
    every: int


def read_curves(path: Path) -> Curves:
    """Reads metrics.jsonl; a last line that a killed process left unfinished is no line.

    Raises:
        InputError: it cannot be read, naming the line.
        NotServable: it is not there, or no epoch is in it.
    """
    if not path.exists():
        raise NotServable(f'{path.name} is not in the folder of this run, and nothing else tells how the training went')
    train, valid = ({name: [] for name in ('epoch', *names)} for names in (TRAIN, VALID))
    try:
        written = whole_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{path}: cannot be read ({error}); restore it, or take it away') from None
    for number, line in enumerate(written, start=1):
        _add(path, number, line.removesuffix('\n'), train, valid)
    if not train['epoch']:
        raise NotServable(f'{path.name} of this run has no epoch in it')
    every = -(-len(train['epoch']) // MOST_POINTS)
    rows = [*range(0, len(train['epoch']) - 1, every), len(train['epoch']) - 1]
    return Curves({name: [values[row] for row in rows] for name, values in train.items()}, valid, every)


def _add(path, number, line, train, valid):
    try:
        metrics = dict(json.loads(line))
        epoch, columns = int(metrics['epoch']), {'train': train, 'valid': valid}[metrics['split']]
        values = {name: _number(metrics.get(name)) for name in columns}
    except (ValueError, TypeError, KeyError):
        cure = 'take the line out, or the whole file'
        raise lines.error(path, number, f'{lines.quote(line)} is not the metrics of an epoch; {cure}') from None
    for name, value in {**values, 'epoch': epoch}.items():
        columns[name].append(value)


def _number(value) -> float | None:
    """A number with as many digits as a plot can show, or None where there is none."""
    return None if value is None or not math.isfinite(value) else float(f'{value:.5g}')
