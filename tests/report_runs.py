"""Runs for the tests of the report: one whose names are markup everywhere."""

import shutil
from pathlib import Path

import numpy as np

from tests.graphs import quick_programs, short_recipe, write_openke

SCRIPT = '<script>alert(1)</script>'
IMAGE = '"><img src=x onerror=alert(2)>'
COMMENT = '<!--<script>'
MARKUP = (SCRIPT, IMAGE, COMMENT, "'-alert(3)-'", '{{ 7 * 7 }}', '&lt;b&gt;', '\\u003cb\\u003e\u2028')
"""What somebody may call a thing who wants to see what a page makes of it."""

GRAPH, MODALITY, RUN = '<b>graph', '<i>visual', '<img src=x onerror=alert(4)>'


def train_marked_run(folder: Path, programs: Path) -> Path:
    """Trains a short run on a graph whose entities, relations, modality, texts and folders are named by markup.

    Args:
        folder: made where it is missing.
        programs: the folder of `quick_programs`.

    Returns:
        The workdir.
    """
    from mans_jax.training import train_and_evaluate

    graph = write_openke(folder / GRAPH, num_relations=4)
    for kind in ('entity', 'relation'):
        path = graph / f'{kind}2id.txt'
        count, *lines = path.read_text().splitlines()
        ids = range(len(lines))
        path.write_text('\n'.join([count, *(f'{MARKUP[i % len(MARKUP)]} {kind} {i}\t{i}' for i in ids)]) + '\n')
    texts = [f'{i}\t{MARKUP[i % len(MARKUP)]} name {i}\t{SCRIPT} text {i}' for i in range(0, 40, 2)]
    (graph / 'entity_text.tsv').write_text('\n'.join(texts) + '\n')
    rows = np.load(graph / 'visual.npy')
    rows[:9] = np.nan
    np.save(graph / 'visual.npy', rows)
    recipe = short_recipe(graph, features={MODALITY: str(graph / 'visual.npy')}, strategy='mans_a')
    with quick_programs(programs):
        train_and_evaluate(recipe, folder / RUN)
    return folder / RUN


def copy_of(workdir: Path, folder: Path) -> Path:
    """A copy of a run that a test may change."""
    return shutil.copytree(workdir, folder)
