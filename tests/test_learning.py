"""A short training with every sampler that remembers something, and with every loss that takes no negatives, learns."""

import json

import jax
import numpy as np
import pytest

from mans_jax.models import FROZEN, PARAMS
from mans_jax.objectives import OBJECTIVES
from mans_jax.runs import load_run
from mans_jax.sampling import View, in_batch
from mans_jax.training import train_and_evaluate
from tests.graphs import quick_programs, short_recipe, write_openke

SAMPLERS = {
    'nscaching': 'nscaching(cache_size=4, candidates=4)',
    'kbgan': 'kbgan(candidates=4)',
    'mmrns': 'mmrns(candidates=20, learning_rate=0.01)',
    'dhns': 'dhns(bernoulli, steps=10, weight=0.1)',
}

BY_CHANCE = 0.11
"""The mean of 1/rank among 40 entities."""


@pytest.fixture(scope='module')
def mrr_of(trained):
    """(fields of the recipe) -> the MRR on test after 8 epochs."""

    def mrr(**fields):
        return json.loads((trained(**fields) / 'results.json').read_text())['test']['mrr']

    return mrr


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """(fields of the recipe) -> the workdir of a run of 8 epochs."""
    folder = write_openke(tmp_path_factory.mktemp('graph'))

    def train(**fields):
        recipe = {'score': 'complex', 'normalize': False, 'num_negatives': 4, 'learning_rate': 0.05, 'num_epochs': 8}
        config = short_recipe(folder, **{**recipe, 'evaluate_every': 0, 'checkpoint_every': 8, **fields})
        workdir = tmp_path_factory.mktemp('run')
        with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
            train_and_evaluate(config, workdir)
        return workdir

    return train


@pytest.mark.parametrize('name', SAMPLERS)
def test_a_sampler_that_learns_lets_the_model_learn(mrr_of, name):
    assert mrr_of(sampler=SAMPLERS[name], loss='softplus') > 4 * BY_CHANCE


@pytest.mark.parametrize('name', OBJECTIVES)
def test_without_negatives_the_model_learns(mrr_of, name):
    assert mrr_of(loss=name, non_fact_weight=0.1) > 3 * BY_CHANCE


def test_what_may_stand_for_an_entity_is_learned(trained):
    """Of negatives that are known triples the substitution is plausible, of others it is not: that is its loss."""
    run, state = load_run(trained(sampler='in_batch', loss='softplus', substitution_weight=1.0))
    positives = jax.tree.map(lambda ids: ids[:100], run.data.triples)
    corruption, _ = in_batch(run.data.known, 50).sample((), jax.random.key(0), positives, View())
    variables = {PARAMS: state.params, FROZEN: run.data.frozen}
    method = run.model.score_batch_and_substitutes
    substitute = run.model.apply(variables, positives, corruption, method=method)[2]
    known = np.asarray(corruption.weight) == 0
    assert known.sum() > 20
    assert np.mean(substitute[known]) > np.mean(substitute[~known]) + 1
