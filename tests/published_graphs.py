"""Folders as published graphs have them, with random triples, for tests."""

from pathlib import Path

import numpy as np

from mans_jax.data.published import GRAPHS


def write_like(name: str, folder: Path, seed: int = 0, label: str = '{what} «{i}»') -> Path:
    """Writes an OpenKE folder with as many entities, relations and triples as a published graph, and random ids.

    Args:
        name: one of `published.GRAPHS` that has counts.
        folder: made where it is missing.
        seed: of the triples.
        label: how an entity or relation is called, by what it is and its id.

    Returns:
        `folder`.
    """
    entities, relations, *splits = GRAPHS[name].counts
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for what, number in (('entity', entities), ('relation', relations)):
        labels = ''.join(f'{label.format(what=what, i=i)} {i}\n' for i in range(number))
        (folder / f'{what}2id.txt').write_text(f'{number}\n{labels}', encoding='utf-8')
    for split, number in zip(('train', 'valid', 'test'), splits, strict=True):
        rows = rng.integers(0, [entities, entities, relations], size=(number, 3))
        text = ''.join(f'{head} {tail} {relation}\n' for head, tail, relation in rows)
        (folder / f'{split}2id.txt').write_text(f'{number}\n{text}')
    return folder
