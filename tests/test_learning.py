"""A short training with every sampler that remembers something, and with every loss that takes no negatives, learns."""

import json

import pytest

from mans_jax.objectives import OBJECTIVES
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
def test_mrr(tmp_path_factory):
    """(fields of the recipe) -> the MRR on test after 8 epochs."""
    folder = write_openke(tmp_path_factory.mktemp('graph'))

    def train(**fields):
        recipe = {'score': 'complex', 'normalize': False, 'num_negatives': 4, 'learning_rate': 0.05, 'num_epochs': 8}
        config = short_recipe(folder, **{**recipe, 'evaluate_every': 0, 'checkpoint_every': 8, **fields})
        workdir = tmp_path_factory.mktemp('run')
        with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
            train_and_evaluate(config, workdir)
        return json.loads((workdir / 'results.json').read_text())['test']['mrr']

    return train


@pytest.mark.parametrize('name', SAMPLERS)
def test_a_sampler_that_learns_lets_the_model_learn(test_mrr, name):
    assert test_mrr(sampler=SAMPLERS[name], loss='softplus') > 4 * BY_CHANCE


@pytest.mark.parametrize('name', OBJECTIVES)
def test_without_negatives_the_model_learns(test_mrr, name):
    assert test_mrr(loss=name, non_fact_weight=0.1) > 3 * BY_CHANCE
