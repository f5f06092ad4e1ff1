"""Graphs with any set of modalities, some of them missing, train with every strategy and every stand-in."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.config import Config
from mans_jax.graph import HEAD, Triple
from mans_jax.models import ABSENT, model_for
from mans_jax.samplers import STRATEGIES
from mans_jax.sampling import View
from mans_jax.scoring import SCORES
from mans_jax.training_step import init_state, make_training_loop, sampler_of, training_data
from tests.graphs import quick_programs
from tests.sampler_examples import EXAMPLES, write_files

STEPS = 4


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


def with_modalities(graph, number):
    """The graph with so many features: its two, the first of them again in other words, or fewer."""
    features = {**graph.features, 'again': 2 * graph.features['image'] + 1}
    present = np.concatenate([graph.present, graph.present[:, [1]]], axis=1)[:, : number + 1]
    present[:, 0] |= ~present.any(axis=1)
    return dataclasses.replace(graph, features=dict(list(features.items())[:number]), present=present)


def recipe(**fields):
    return Config(data='in memory', batch_size=10, num_epochs=4, dim=4, learning_rate=0.02, num_negatives=3, **fields)


def train(graph, **fields):
    """The state at the start, that after four epochs, and the loss of each."""
    config = recipe(**fields)
    model = model_for(graph, SCORES[config.score], dim=config.dim, normalize=config.normalize, absent=config.absent)
    data, loop = training_data(config, graph), make_training_loop(model, config, STEPS)
    before = jax.tree.map(np.asarray, (state := init_state(model, config, data)).params)
    losses = [float((state := loop.train_steps(state, data, STEPS)).totals['loss']) / STEPS for _ in range(4)]
    return before, jax.tree.map(np.asarray, state.params), losses


def check_trained(before, after, losses):
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    for name, value in after.items():
        assert np.isfinite(value).all() and np.any(value != before[name]), name


@pytest.mark.parametrize('absent', [pytest.param(x, marks=pytest.mark.slow) if x == 'mean' else x for x in ABSENT])
@pytest.mark.parametrize('strategy', STRATEGIES)
def test_every_strategy_trains_with_every_stand_in(make_graph, strategy, absent):
    check_trained(*train(make_graph(0), strategy=strategy, absent=absent, marks='per_sample'))


@pytest.mark.parametrize('number', [0, 3])
def test_any_number_of_modalities_trains(make_graph, number):
    graph = with_modalities(make_graph(1), number)
    check_trained(*train(graph, sampler='uniform', strategy='mans_a' if number else 'normal', score='rotate'))


HARDENING = ('nscaching', 'kbgan', 'mmrns', 'dhns')
"""Samplers whose negatives become harder as the model learns, so that the loss need not fall: see test_learning.py."""


@pytest.mark.parametrize('name', EXAMPLES)
def test_every_sampler_trains(make_graph, tmp_path, monkeypatch, name):
    graph = make_graph(1)
    write_files(tmp_path, graph)
    monkeypatch.chdir(tmp_path)
    before, after, losses = train(graph, sampler=EXAMPLES[name], strategy='mans_a', score='rotate')
    check_trained(before, after, [1, 0] if name in HARDENING and np.isfinite(losses).all() else losses)


@pytest.mark.parametrize('absent', ABSENT)
@pytest.mark.parametrize('exchange_absent', [False, True])
def test_a_corruption_takes_no_image_from_an_entity_that_has_none_unless_asked(make_graph, absent, exchange_absent):
    graph = make_graph(2, num_entities=30, number=60)
    config = recipe(strategy='mans_v', absent=absent, exchange_absent=exchange_absent)
    sampler = sampler_of(config, training_data(config, graph))
    positives = Triple.from_rows(jnp.asarray(graph.train))
    corruption, _ = sampler.sample(sampler.init(jax.random.key(0)), jax.random.key(1), positives, View())
    entity, side, replaced = (np.asarray(x) for x in (corruption.entity, corruption.side, corruption.replaced))
    original = np.where(side == HEAD, graph.train[:, [0]], graph.train[:, [2]])
    lacking = ~(graph.present[entity] & graph.present[original])
    virtual = ~replaced.all(axis=-1)
    taken = (replaced & lacking)[..., 1:][virtual]
    assert virtual.any() and taken.any() == exchange_absent
    assert virtual.all() or not exchange_absent
