"""Which rows an encoder makes, and in which order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mans_jax.data import features
from mans_jax.data.feature_files import Stored


class Encoded(NamedTuple):
    """Features of entities.

    Attributes:
        labels: the labels of N entities.
        values: float32[N, F].
        record: what they were made from and how, and what was skipped; can be written as JSON.
    """

    labels: list[str]
    values: np.ndarray
    record: dict[str, Any]


def select(path: Path, labels: Sequence[str], entities: Sequence[str] | None) -> np.ndarray:
    """The positions of the labels that are entities of a graph, in the order of its ids, int64[N].

    A warning counts and names the labels that are no entity and the entities that have no label.

    Args:
        path: where the labels come from, for messages.
        labels: distinct labels.
        entities: the E labels of the graph; without them all labels are kept as they stand.

    Raises:
        InputError: none of the labels is an entity.
    """
    if entities is None:
        return np.arange(len(labels))
    ids = features.match(path, Stored(values=None, labels=list(labels), source=path), entities)
    known = np.flatnonzero(ids >= 0)
    return known[np.argsort(ids[known])]
