"""Optimisers against two steps of their formulas in numpy; rows of a table against the whole of it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mans_jax.optim import (
    OPTIMIZERS,
    ROW_SPARSE,
    RowSparse,
    apply_row_updates,
    distinct_rows,
)

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


def rowwise_adagrad(gradients):
    total, moved = 0.1, 0.0
    for g in gradients:
        total = total + np.mean(g**2)
        moved = moved - RATE * g / np.sqrt(total + 1e-7)
    return moved


SECOND_FORMULAS = {
    'adam': adam,
    'adagrad': adagrad,
    'sgd': sgd,
    'lazy_adam': adam,
    'sparse_adagrad': adagrad,
    'rowwise_adagrad': rowwise_adagrad,
    'sparse_sgd': sgd,
}
"""Name in OPTIMIZERS -> how far parameters have moved after GRADIENTS at RATE."""


@pytest.mark.parametrize('name', SECOND_FORMULAS)
def test_equals_second_formula(name):
    optimizer = OPTIMIZERS[name](RATE)
    if name in ROW_SPARSE:
        moved = moved_rows(optimizer, GRADIENTS.astype(np.float32))
        np.testing.assert_allclose(moved['entity'][1], SECOND_FORMULAS[name](GRADIENTS), rtol=1e-4)
        np.testing.assert_array_equal(moved['entity'][[0, 2]], 0)
        of_others = adagrad if name == 'rowwise_adagrad' else SECOND_FORMULAS[name]
        np.testing.assert_allclose(moved['relation'], of_others(GRADIENTS), rtol=1e-4)
        return

    def run(gradients):
        params = np.zeros(5, np.float32)
        state = optimizer.init(params)
        for g in gradients:
            updates, state = optimizer.update(g, state, params)
            params = optax.apply_updates(params, updates)
        return params

    np.testing.assert_allclose(jax.jit(run)(GRADIENTS.astype(np.float32)), SECOND_FORMULAS[name](GRADIENTS), rtol=1e-4)


def moved_rows(optimizer, gradients):
    """How far a table of three rows and a dense vector move where every gradient is that of row 1 and of the vector."""
    params = {'entity': jnp.zeros((3, 5)), 'relation': jnp.zeros(5)}
    state = optimizer.init(params)
    # Row 3 is none: whatever stands there is dropped.
    rows = jnp.array([3, 1])
    for g in gradients:
        updates, state = optimizer.update({'entity': jnp.stack([g + 7, g]), 'relation': g}, state, params, rows)
        params = apply_row_updates(params, updates, rows)
    return jax.tree.map(np.asarray, params)


def test_the_names_of_row_sparse_optimisers_are_those_that_are():
    assert {name for name, make in OPTIMIZERS.items() if isinstance(make(RATE), RowSparse)} == set(ROW_SPARSE)


@given(
    ids=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    last=st.lists(st.integers(-5, 40), min_size=10, max_size=10),
)
@settings(max_examples=60, deadline=None)
def test_distinct_rows_are_each_id_once_whatever_the_map_held(ids, last):
    found = find(jnp.array(last, jnp.int32), jnp.array(ids, jnp.int32))
    rows = np.asarray(found.rows)
    named = rows[rows < 10]
    assert len(rows) == min(len(ids), 10)
    assert sorted(named) == sorted(set(ids)) and len(set(rows.tolist())) == len(rows)
    assert rows[np.asarray(found.place)].tolist() == ids
    again = find(found.last, jnp.array(ids, jnp.int32))
    assert again.rows.tolist() == rows.tolist(), 'the map of before has a say'


find = jax.jit(distinct_rows)


@pytest.mark.parametrize(
    ('sparse', 'dense'), [('sparse_sgd', 'sgd'), ('sparse_adagrad', 'adagrad'), ('lazy_adam', 'adam')]
)
@given(seed=st.integers(0, 2**16))
@settings(max_examples=10, deadline=None)
def test_steps_on_rows_are_those_on_the_whole_table(sparse, dense, seed):
    """SGD and Adagrad whatever is touched; Adam where every row is."""
    rng = np.random.default_rng(seed)
    start = {'entity': jnp.asarray(rng.normal(size=(7, 4)), jnp.float32), 'other': jnp.ones(3)}
    of_table, of_rows = start, start
    table_state, rows_state = OPTIMIZERS[dense](RATE).init(start), OPTIMIZERS[sparse](RATE).init(start)
    for _ in range(4):
        touched = rng.permutation(7)[: 7 if sparse == 'lazy_adam' else 3]
        gradient, other = rng.normal(size=(7, 4)).astype(np.float32), jnp.asarray(rng.normal(size=3), jnp.float32)
        gradient[np.setdiff1d(np.arange(7), touched)] = 0
        updates, table_state = OPTIMIZERS[dense](RATE).update(
            {'entity': gradient, 'other': other}, table_state, of_table
        )
        of_table = optax.apply_updates(of_table, updates)
        rows = jnp.asarray(touched)
        gradients = {'entity': jnp.asarray(gradient[touched]), 'other': other}
        updates, rows_state = OPTIMIZERS[sparse](RATE).update(gradients, rows_state, of_rows, rows)
        of_rows = apply_row_updates(of_rows, updates, rows)
    for name in start:
        np.testing.assert_allclose(of_rows[name], of_table[name], rtol=1e-5, atol=1e-6)


def test_lazy_adam_counts_the_steps_of_each_row_and_leaves_the_others_alone():
    optimizer = OPTIMIZERS['lazy_adam'](RATE)
    params = {'entity': jnp.ones((4, 2))}
    state = optimizer.init(params)
    for touched in ([0, 1], [1, 2], [1, 0]):
        rows = jnp.array(touched)
        updates, state = optimizer.update({'entity': jnp.ones((2, 2))}, state, params, rows)
        params = apply_row_updates(params, updates, rows)
    assert state['entity'][0].count.tolist() == [2, 3, 1, 0]
    np.testing.assert_allclose(params['entity'][:, 0], [1 - 2 * RATE, 1 - 3 * RATE, 1 - RATE, 1], rtol=1e-4)
