"""Optimisers against two steps of their formulas in numpy."""

import jax
import numpy as np
import optax
import pytest

from mans_jax.optim import OPTIMIZERS

RATE = 0.3
GRADIENTS = np.random.default_rng(0).normal(size=(2, 5))


def sgd(gradients):
    return -RATE * gradients.sum(axis=0)


def adagrad(gradients):
    # The sum of squares starts at 0.1.
    total, moved = 0.1, 0.0
    for g in gradients:
        total = total + g**2
        moved = moved - RATE * g / np.sqrt(total + 1e-7)
    return moved


def adam(gradients):
    mean = square = moved = 0.0
    for t, g in enumerate(gradients, start=1):
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g**2
        moved = moved - RATE * (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
    return moved


SECOND_FORMULAS = {'adam': adam, 'adagrad': adagrad, 'sgd': sgd}
"""Name in OPTIMIZERS -> how far parameters have moved after GRADIENTS at RATE."""


@pytest.mark.parametrize('name', SECOND_FORMULAS)
def test_equals_second_formula(name):
    optimizer = OPTIMIZERS[name](RATE)

    def run(gradients):
        params = np.zeros(5, np.float32)
        state = optimizer.init(params)
        for g in gradients:
            updates, state = optimizer.update(g, state, params)
            params = optax.apply_updates(params, updates)
        return params

    np.testing.assert_allclose(jax.jit(run)(GRADIENTS.astype(np.float32)), SECOND_FORMULAS[name](GRADIENTS), rtol=1e-4)
