"""Losses against plain loops over positives and negatives, and their gradients against finite differences."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import losses
from mans_jax.losses import LOSSES

MARGIN, TEMPERATURE = 1.5, 0.7


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


def margin_ranking(positive, negative):
    return np.mean([max(0, MARGIN - p + n) for p, row in zip(positive, negative, strict=True) for n in row])


def softplus(positive, negative):
    of_positives = [math.log(1 + math.exp(-p)) for p in positive]
    of_negatives = [math.log(1 + math.exp(n)) for row in negative for n in row]
    return (np.mean(of_positives) + np.mean(of_negatives)) / 2


def self_adversarial(positive, negative, weigh_by=None):
    total = []
    for p, row, by in zip(positive, negative, negative if weigh_by is None else weigh_by, strict=True):
        weights = [math.exp(TEMPERATURE * n) for n in by]
        hard = sum(w / sum(weights) * log_sigmoid(-n - MARGIN) for w, n in zip(weights, row, strict=True))
        total.append(-(log_sigmoid(p + MARGIN) + hard) / 2)
    return np.mean(total)


SECOND_FORMULAS = {'margin_ranking': margin_ranking, 'softplus': softplus, 'self_adversarial': self_adversarial}
"""Name in LOSSES -> the formula as a loop, at MARGIN and TEMPERATURE."""

every_loss = pytest.mark.parametrize('name', SECOND_FORMULAS)


def scores(num_positives, num_negatives, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=num_positives) * 2, rng.normal(size=(num_positives, num_negatives)) * 2


def float32(arrays):
    return [np.asarray(a, np.float32) for a in arrays]


@every_loss
@pytest.mark.parametrize(('num_positives', 'num_negatives'), [(1, 1), (5, 1), (4, 3)])
def test_equals_second_formula(name, num_positives, num_negatives):
    batch = scores(num_positives, num_negatives)
    got = jax.jit(LOSSES[name](MARGIN, TEMPERATURE))(*float32(batch))
    assert got.shape == () and got.dtype == jnp.float32
    np.testing.assert_allclose(got, SECOND_FORMULAS[name](*batch), rtol=1e-5)


@every_loss
def test_weights_count_negatives_as_if_they_stood_there_so_often(name):
    positive, negative = float32(scores(3, 4))
    # Each positive's negatives count 1, 2, 0 and 1 times: as many as four that are written out.
    repeated = negative[:, [0, 1, 1, 3]]
    weight = np.tile(np.float32([0.5, 1, 0, 0.5]), (3, 1))
    loss = jax.jit(LOSSES[name](MARGIN, TEMPERATURE))
    np.testing.assert_allclose(loss(positive, negative, weight), loss(positive, repeated), rtol=1e-5)
    assert loss(positive, negative) != pytest.approx(loss(positive, repeated))


@every_loss
def test_where_no_negative_counts_only_positives_are_left(name):
    positive, negative = float32(scores(3, 4))
    loss = LOSSES[name](MARGIN, TEMPERATURE)
    value, gradient = jax.jit(jax.value_and_grad(loss, argnums=1))(positive, negative, np.zeros_like(negative))
    only_positives = {'margin_ranking': 0, 'softplus': np.mean(np.log1p(np.exp(-positive))) / 2}
    only_positives['self_adversarial'] = np.mean(np.log1p(np.exp(-positive - MARGIN))) / 2
    assert value == pytest.approx(only_positives[name], rel=1e-5) and not np.any(gradient)


@every_loss
def test_a_share_of_the_margin_holds_for_each_negative(name):
    positive, negative = float32(scores(3, 4))
    scale = np.float32(np.random.default_rng(5).random((3, 4)))
    loss = jax.jit(LOSSES[name](MARGIN, TEMPERATURE))
    got = loss(positive, negative, None, scale)
    if name == 'margin_ranking':
        moved = [max(0, MARGIN * scale[i, k] - positive[i] + negative[i, k]) for i, k in np.ndindex(3, 4)]
        want = np.mean(moved)
    elif name == 'self_adversarial':
        terms = []
        for p, row, shares in zip(positive, negative, scale, strict=True):
            weights = np.exp(TEMPERATURE * row) / np.sum(np.exp(TEMPERATURE * row))
            hard = sum(w * log_sigmoid(-n - MARGIN * s) for w, n, s in zip(weights, row, shares, strict=True))
            terms.append(-(log_sigmoid(p + MARGIN) + hard) / 2)
        want = np.mean(terms)
    else:
        want = loss(positive, negative)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(loss(positive, negative, None, np.ones_like(scale)), loss(positive, negative), rtol=1e-6)


@every_loss
def test_gradient_equals_finite_differences(name):
    positive, negative = scores(4, 3, seed=1)
    formula, step = SECOND_FORMULAS[name], 1e-6
    if name == 'self_adversarial':
        # The weights are constants to the gradient.
        def formula(p, n, fixed=negative):
            return self_adversarial(p, n, weigh_by=fixed)

    of_positive, of_negative = jax.jit(jax.grad(LOSSES[name](MARGIN, TEMPERATURE), argnums=(0, 1)))(
        *float32([positive, negative])
    )
    for index in range(4):
        moved = step * (np.arange(4) == index)
        want = (formula(positive + moved, negative) - formula(positive - moved, negative)) / (2 * step)
        np.testing.assert_allclose(of_positive[index], want, rtol=1e-4, atol=1e-6)
    for index in np.ndindex(4, 3):
        moved = np.zeros((4, 3))
        moved[index] = step
        want = (formula(positive, negative + moved) - formula(positive, negative - moved)) / (2 * step)
        np.testing.assert_allclose(of_negative[index], want, rtol=1e-4, atol=1e-6)


@every_loss
def test_vmap_equals_one_by_one(name):
    loss = LOSSES[name](MARGIN, TEMPERATURE)
    positive, negative = float32(scores(6, 2, seed=2))
    batches = positive.reshape(2, 3), negative.reshape(2, 3, 2)
    got = jax.jit(jax.vmap(loss))(*batches)
    want = [SECOND_FORMULAS[name](batches[0][i], batches[1][i]) for i in range(2)]
    np.testing.assert_allclose(got, want, rtol=1e-5)


@every_loss
def test_wants_positives_high_and_negatives_low(name):
    positive, negative = float32(scores(5, 2, seed=3))
    loss = jax.jit(LOSSES[name](MARGIN, TEMPERATURE))
    assert loss(positive + 1, negative) < loss(positive, negative)
    assert loss(positive, negative) < loss(positive, negative + 1)


@every_loss
@pytest.mark.parametrize('size', [1e4, -1e4])
def test_extreme_scores_stay_finite(name, size):
    positive, negative = np.full(3, -size, np.float32), np.full((3, 2), size, np.float32)
    loss, gradients = jax.jit(jax.value_and_grad(LOSSES[name](MARGIN, TEMPERATURE), argnums=(0, 1)))(positive, negative)
    assert np.isfinite(loss)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    assert (loss > 1000) == (size > 0)


def test_temperature_zero_weighs_all_alike():
    positive, negative = float32(scores(5, 4, seed=4))
    got = jax.jit(lambda p, n: losses.self_adversarial(p, n, margin=MARGIN, temperature=0.0))(positive, negative)
    want = -np.mean([(log_sigmoid(p + MARGIN) + np.mean([log_sigmoid(-n - MARGIN) for n in row])) / 2
                     for p, row in zip(positive, negative, strict=True)])  # fmt: skip
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_the_losses_with_a_margin_are_those_that_a_share_of_it_changes():
    positive, negative = map(jnp.asarray, float32(scores(3, 4)))
    changed = set()
    for name, make in LOSSES.items():
        loss, half = make(MARGIN, TEMPERATURE), jnp.full((3, 4), 0.5)
        if not np.isclose(loss(positive, negative), loss(positive, negative, None, half)):
            changed.add(name)
    assert changed == set(losses.WITH_MARGIN)


@pytest.mark.parametrize(('name', 'margin'), [('softplus', 0.0), ('self_adversarial', MARGIN)])
def test_excused_substitutes_equal_a_loop(name, margin):
    """Two of twelve negatives are known triples; the others are scored with a share of the substitution taken off."""
    (positive, negative), substitute = scores(3, 4), scores(3, 4, seed=1)[1]
    weight = np.ones((3, 4))
    weight[0, 1] = weight[2, 3] = 0
    got = jax.jit(
        lambda *arrays: losses.excuse_substitutes(
            LOSSES[name](MARGIN, TEMPERATURE), *arrays, margin=margin, substitution_weight=0.8, substitution_share=0.3
        )
    )(*float32([positive, negative, substitute, weight]))
    excused = negative - 0.3 * (margin + substitute)
    if name == 'softplus':
        of_negatives = [math.log(1 + math.exp(excused[i])) for i in np.ndindex(3, 4) if weight[i]]
        want = (np.mean([math.log(1 + math.exp(-p)) for p in positive]) + np.mean(of_negatives)) / 2
    else:
        counted = [row[w > 0] for row, w in zip(excused, weight, strict=True)]
        want = np.mean([self_adversarial([p], [row]) for p, row in zip(positive, counted, strict=True)])
    want += 0.8 * np.mean([-log_sigmoid(margin + substitute[i]) for i in ((0, 1), (2, 3))])
    want += 0.3 * np.mean([abs(margin + z) for row in substitute for z in row])
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_without_a_known_triple_nothing_is_predicted_and_all_is_finite():
    (positive, negative), substitute = float32(scores(3, 4)), float32(scores(3, 4, seed=1))[1]

    @partial(jax.jit, static_argnums=1)
    def loss(substitute, substitution_weight, *batch):
        shares = {'margin': 0.0, 'substitution_share': 0.3, 'substitution_weight': substitution_weight}
        return losses.excuse_substitutes(losses.softplus, *batch, substitute, jnp.ones((3, 4)), **shares)

    value, gradient = jax.value_and_grad(loss)(substitute, 0.8, positive, negative)
    assert value == loss(substitute, 0.0, positive, negative)
    assert np.isfinite(gradient).all() and gradient.any()


def test_logistic_losses_are_those_that_no_positive_ends():
    """Of the others the gradient is zero once a positive is far above its negative."""
    ends = {
        name: not jax.grad(make(MARGIN, TEMPERATURE))(jnp.full(1, 9.0), jnp.full((1, 1), -9.0)).any()
        for name, make in LOSSES.items()
    }
    assert {name for name, end in ends.items() if not end} == set(losses.LOGISTIC)
