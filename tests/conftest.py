"""What holds in every test: a key is used once, annotated shapes and types are true, and a graph to try things on."""

import dataclasses
import importlib
import inspect
import os
import sys

import jax
import jaxlib
import numpy as np
import pytest
from jaxtyping import install_import_hook

jax.config.update('jax_debug_key_reuse', True)

# Compiling is most of the tests' time, and these halve it; later versions know the first no more. With XLA_FLAGS='' the
# tests see what a user's compiler makes. Processes that tests start do as this one does.
if jaxlib.version.__version_info__ < (0, 11):
    os.environ.setdefault('XLA_FLAGS', '--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1')

CHECKED = ('graph', 'scoring', 'fusion', 'losses', 'non_sampling', 'sampling', 'ranking')
"""The pure modules, whose annotations beartype enforces, shapes included. Flax wraps what the others define."""


def _check_annotations():
    names = [f'mans_jax.{name}' for name in CHECKED]
    with install_import_hook(names, 'beartype.beartype'):
        for name in names:
            importlib.import_module(name)
    for module in [sys.modules[name] for name in sys.modules if name in names or name.rpartition('.')[0] in names]:
        for _, cls in inspect.getmembers(module, inspect.isclass):
            # JAX puts shapes, axes and placeholders where a pytree has arrays, so what makes one must take anything.
            if dataclasses.is_dataclass(cls) and hasattr(cls, '_flax_dataclass'):
                cls.__init__ = inspect.unwrap(cls.__init__)


_check_annotations()


def pytest_collection_modifyitems(items):
    """Reports tests that need a GPU as skipped where there is none."""
    if jax.default_backend() != 'gpu':
        for item in items:
            if item.get_closest_marker('gpu'):
                item.add_marker(pytest.mark.skip(reason='needs a GPU: run it where jax.default_backend() is gpu'))


@pytest.fixture(scope='session')
def make_triples():
    """(seed, num_entities, num_relations, number) -> distinct random triples int32[N, 3], every relation used.

    A few queries have many answers, most have one or two.
    """

    def make(seed, num_entities, num_relations, number):
        rng = np.random.default_rng(seed)
        popular = rng.dirichlet(np.full(num_entities, 0.5))
        head, tail = (rng.choice(num_entities, 4 * number, p=p) for p in (popular, rng.permutation(popular)))
        relation = np.arange(4 * number) % num_relations
        rows = np.unique(np.stack([head, relation, tail], axis=-1), axis=0)
        return rng.permutation(rows)[:number].astype(np.int32)

    return make


@pytest.fixture(scope='session')
def make_graph(make_triples):
    """(seed, num_entities, num_relations, number of train triples) -> a graph of structure and two features.

    Of valid and test there are a quarter as many triples. Some entities lack either feature or both, and a few lack
    structure.
    """
    from mans_jax.graph import KnowledgeGraph

    def make(seed, num_entities=20, num_relations=3, number=40):
        rng = np.random.default_rng(seed)
        triples = make_triples(seed, num_entities, num_relations, number + 2 * (number // 4))
        train, valid, test = np.split(triples, [number, number + number // 4])
        present = rng.random((num_entities, 3)) < np.array([0.9, 0.7, 0.6])
        present[:, 0] |= ~present.any(axis=1)
        widths = {'image': 5, 'text': 4}
        features = {
            name: np.where(present[:, [m]], rng.normal(size=(num_entities, width)), 0).astype(np.float32)
            for m, (name, width) in enumerate(widths.items(), start=1)
        }
        return KnowledgeGraph(
            name='random',
            entities=tuple(f'entity {i}' for i in range(num_entities)),
            relations=tuple(f'relation {i}' for i in range(num_relations)),
            train=train,
            valid=valid,
            test=test,
            features=features,
            present=present,
        )

    return make


@pytest.fixture(scope='session')
def programs(tmp_path_factory):
    """The folder of compiled programs that `quick_programs` shares."""
    return tmp_path_factory.getbasetemp() / 'programs'


@pytest.fixture(scope='session')
def shown_workdir(tmp_path_factory, programs):
    """Of a short run with two features, which some entities lack. Only to be read, or copied."""
    from tests.graphs import train_short_run

    return train_short_run(tmp_path_factory.mktemp('shown'), programs)


@pytest.fixture(scope='session')
def marked_workdir(tmp_path_factory, programs):
    """Of a short run whose names are markup everywhere. Only to be read, or copied."""
    from tests.report_runs import train_marked_run

    return train_marked_run(tmp_path_factory.mktemp('marked'), programs)


@pytest.fixture(scope='module')
def shown(shown_workdir, programs):
    """(run, state) of `shown_workdir`, with programs that are quickly compiled."""
    from mans_jax.runs import load_run
    from tests.graphs import quick_programs

    with quick_programs(programs):
        yield load_run(shown_workdir)
