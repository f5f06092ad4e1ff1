"""Numeric facts to features: for each attribute a scaled value and whether there is one."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mans_jax.data import lines, mmkg
from mans_jax.errors import InputError

_NORMAL_QUARTILES = 1.349
"""The distance of the quartiles of a normal distribution, in standard deviations."""


class NumericFeatures(NamedTuple):
    """What numeric facts say of entities.

    Attributes:
        labels: the N entities that have a fact, in the order in which the file first names them.
        values: float32[N, 2A]: A scaled values, 0 where an entity has none, then A times 1 where it has one and 0
            where not.
        attributes: the A attributes, in alphabetical order.
        rare: the attributes that were left out, and how many entities each has.
        odd: (line number, value) of the facts that were left out since their value is no number.
        strangers: the entities that were left out since they are not among those asked for.
    """

    labels: list[str]
    values: np.ndarray
    attributes: list[str]
    rare: dict[str, int]
    odd: list[tuple[int, str]]
    strangers: list[str]


def encode(path: Path, *, min_entities: int = 10, among: Collection[str] | None = None) -> NumericFeatures:
    """Reads facts (entity, attribute, value) and scales each attribute by itself.

    A value x becomes asinh((x - median) / s), where s is the distance of the quartiles over 1.349, which for a normal
    distribution is the standard deviation. Neither depends on outliers, and asinh, linear around 0 and logarithmic far
    from it, keeps them apart without letting them dominate: a population of 10 million beside a median of 2,000.
    Where half of the values are equal, s is the mean absolute deviation from the median. An entity that has several
    values of an attribute has their median.

    Args:
        path: lines 'entity<TAB>attribute<TAB>value', and all else that `mmkg.read_numeric` reads.
        min_entities: attributes that fewer entities have are left out.
        among: the entities whose facts count, for the scale too; all of the file by default.

    Raises:
        InputError: the file cannot be read, a line is malformed, or no attribute is left.
    """
    read, odd = mmkg.read_numeric(path)
    facts: dict[str, dict[str, list[float]]] = {}
    labels: dict[str, int] = {}
    known = None if among is None else frozenset(among)
    strangers = [] if known is None else list(dict.fromkeys(entity for entity, _, _ in read if entity not in known))
    for entity, attribute, value in read:
        if known is not None and entity not in known:
            continue
        labels.setdefault(entity, len(labels))
        facts.setdefault(attribute, {}).setdefault(entity, []).append(value)
    rare = {attribute: len(of) for attribute, of in sorted(facts.items()) if len(of) < min_entities}
    attributes = sorted(facts.keys() - rare.keys())
    if not attributes:
        if strangers and not facts:
            raise InputError(f'{path}: no fact about an entity of the graph; it has {lines.name_some(strangers)}')
        raise InputError(
            f'{path}: no attribute of at least {min_entities} entities among {len(facts)}; lower --min_entities'
        )
    columns = [_column(facts[attribute], labels) for attribute in attributes]
    scaled, present = (np.stack(parts, axis=1) for parts in zip(*columns, strict=True))
    kept = present.any(axis=1)
    values = np.concatenate([scaled, present], axis=1, dtype=np.float32)[kept]
    return NumericFeatures(
        [x for x, keep in zip(labels, kept, strict=True) if keep], values, attributes, rare, odd, strangers
    )


def _column(values: Mapping[str, list[float]], labels: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """One attribute's scaled values float64[N] and presence bool[N]."""
    rows = np.array([labels[entity] for entity in values])
    medians = np.array([np.median(several) for several in values.values()])
    scaled, present = np.zeros(len(labels)), np.zeros(len(labels), dtype=bool)
    scaled[rows], present[rows] = scale(medians), True
    return scaled, present


def scale(values: np.ndarray) -> np.ndarray:
    """asinh((x - median) / s) as `encode` describes it, float64[N]; zeros where all values are equal."""
    centred = values - np.median(values)
    low, high = np.quantile(centred, [0.25, 0.75])
    spread = (high - low) / _NORMAL_QUARTILES or np.mean(np.abs(centred))
    return np.arcsinh(centred / spread) if spread else np.zeros(len(values))
