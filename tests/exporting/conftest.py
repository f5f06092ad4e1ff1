"""Runs to export, whose parameters are random: nothing here depends on what was learned."""

import dataclasses

import jax
import numpy as np
import pytest

from mans_jax.config import Config
from mans_jax.data import digits
from mans_jax.exporting.trained import embed
from mans_jax.models import init_params
from mans_jax.runs import make_run
from tests.graphs import quick_programs

ODD = ('a\tb', 'line\nfeed', 'back\\slash', 'carriage\rreturn', ' "quoted" ', 'ü', 'NA', '')
"""Labels that a table must not break on."""


@pytest.fixture(scope='session', autouse=True)
def programs(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / 'programs'
    with quick_programs(folder):
        yield folder


@pytest.fixture(scope='session')
def make_trained(make_graph):
    """(name of a graph, fields of the recipe) -> (Trained, parameters).

    Of 'missing' some entities lack structure, image or text, and labels are odd; 'digits' has no text.
    """

    def make(graph_name, **fields):
        graph = digits.load() if graph_name == 'digits' else make_graph(0, num_entities=600, number=800)
        if graph_name == 'missing':
            graph = dataclasses.replace(
                graph, entities=ODD + graph.entities[len(ODD) :], relations=('r\t0', 'r 1', 'r 2')
            )
        fields = {'data': graph_name, 'dim': 8, 'batch_size': 8} | fields
        run = make_run(Config(**fields).validate(), graph)
        params = init_params(run.model, jax.random.key(1))
        return embed('trained', run, params, 7), params

    return make


@pytest.fixture(scope='session')
def missing(make_trained):
    return make_trained('missing')[0]


def cells(path):
    """A table as a list of rows, its heading first; only line feeds end lines."""
    text = path.read_bytes().decode()
    assert text.endswith('\n')
    rows = [line.split('\t') for line in text[:-1].split('\n')]
    assert len({len(row) for row in rows}) == 1
    return rows


def unescaped(cell):
    escapes = {'\\': '\\', 't': '\t', 'n': '\n', 'r': '\r'}
    letters = iter(cell)
    return ''.join(escapes[next(letters)] if letter == '\\' else letter for letter in letters)


def assert_same(found, want):
    """To the last bit, NaN at the same places."""
    found, want = np.asarray(found), np.asarray(want)
    assert found.dtype == want.dtype and found.shape == want.shape
    np.testing.assert_array_equal(found, want)
