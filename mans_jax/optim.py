"""Optimisers by name, and those that touch only the rows of the entity table that a step has looked at.

A dense optimiser passes over the whole table, its gradient and its slots in every step. A row-sparse one reads and
writes the rows of the step's own entities, so that a step's time does not grow with the table. SGD and Adagrad are the
same either way, since a row without a gradient does not move. Adam is not: the dense one goes on moving a row by its
momentum and lets its moments decay while nobody looks at it, the lazy one leaves it alone and counts its own steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

ENTITY = 'entity'
"""The table whose rows are touched one by one; all other parameters are dense."""

OTHERS = 'others'
"""Under which a RowSparse keeps what it keeps for these."""


class RowSparse(NamedTuple):
    """An optimiser in the shape of `optax.GradientTransformation`, which is told the rows.

    Attributes:
        init: (params) -> state. What a row of the table has in the state stands in arrays [E, ...].
        update: (gradients, state, params, rows) -> (updates, state), as Optax's; but of the table both are
            float32[U, D], those of its `rows` int32[U], which must differ; rows from E on are none.
        update_rows: of the table alone: (gradient float32[U, D], its state, table, rows) -> (updates float32[U, D],
            its state).
        update_others: of all other parameters: (gradients, their state, params) -> (updates, their state).
    """

    init: Callable[[dict], Any]
    update: Callable[[dict, Any, dict, Array], tuple[dict, Any]]
    update_rows: Callable[[Array, Any, Array, Array], tuple[Array, Any]]
    update_others: Callable[[dict, Any, dict], tuple[dict, Any]]


def row_sparse(of_row: optax.GradientTransformation, of_others: optax.GradientTransformation) -> RowSparse:
    """Makes an optimiser from one for a row of the entity table, float32[D], and one for all other parameters."""

    def init(params):
        return {ENTITY: jax.vmap(of_row.init)(params[ENTITY]), OTHERS: of_others.init(others(params))}

    def update(gradients, state, params, rows):
        of_rows, slots = update_rows(gradients[ENTITY], state[ENTITY], params[ENTITY], rows)
        updates, others_state = of_others.update(others(gradients), state[OTHERS], others(params))
        return {ENTITY: of_rows, **updates}, {ENTITY: slots, OTHERS: others_state}

    def update_rows(gradient, state, table, rows):
        of_rows, slots = jax.vmap(of_row.update)(gradient, take_rows(state, rows), take_rows(table, rows))
        # What is no row has read the slots of one: nothing of that may show in the updates.
        of_rows = jnp.where((rows < table.shape[0])[:, None], of_rows, 0)

        def put(slot, new):
            return slot.at[rows].set(new, mode='drop', unique_indices=True)

        return of_rows, jax.tree.map(put, state, slots)

    return RowSparse(init, update, update_rows, of_others.update)


def apply_row_updates(params: dict, updates: dict, rows: Int[Array, 'U']) -> dict:
    """`optax.apply_updates` for what a RowSparse's update has made."""
    table = add_to_rows(params[ENTITY], updates[ENTITY], rows)
    return {ENTITY: table, **optax.apply_updates(others(params), others(updates))}


def add_to_rows(table: Float[Array, 'E D'], updates: Float[Array, 'U D'], rows: Int[Array, 'U']) -> Array:
    """The table with updates added to rows that differ; those from E on are none."""
    return table.at[rows].add(updates, mode='drop', unique_indices=True)


def take_rows(tree: Any, rows: Int[Array, 'U']) -> Any:
    """Rows of arrays [E, ...]; for one that is none, whatever stands last."""
    return jax.tree.map(lambda x: x.at[rows].get(mode='clip'), tree)


class DistinctRows(NamedTuple):
    """Which rows a list of ids names.

    Attributes:
        rows: int32[U], each named one once, in order of their first or last mention, then numbers from E on.
        place: int32[N], where in `rows` each id stands.
        last: int32[E], to be given to the next call.
    """

    rows: Int[Array, 'U']
    place: Int[Array, 'N']
    last: Int[Array, 'E']


def distinct_rows(last: Int[Array, 'E'], ids: Int[Array, 'N']) -> DistinctRows:
    """Finds the distinct ids without sorting them, U = min(N, E) of room for them.

    Every id's position is written into a map and read back: equal ids then agree on one position. What the map held
    before does not matter, so it is made once and never cleared.

    Args:
        last: of the call before, or anything at all.
        ids: in [0, E).
    """
    num_rows, count = last.shape[0], ids.shape[0]
    room = min(count, num_rows)
    position = jnp.arange(count, dtype=jnp.int32)
    last = last.at[ids].set(position)
    chosen = last[ids]
    is_chosen = chosen == position
    rank = jnp.cumsum(is_chosen, dtype=jnp.int32) - 1
    # What is left over stands beyond the table, where reads are clipped and writes dropped, each at a place of its own.
    rows = num_rows + jnp.arange(room, dtype=jnp.int32)
    rows = rows.at[jnp.where(is_chosen, rank, room)].set(ids.astype(jnp.int32), mode='drop')
    return DistinctRows(rows, rank[chosen], last)


def rowwise_adagrad(learning_rate: float, initial_accumulator: float = 0.1, eps: float = 1e-7):
    """Adagrad with one sum for a vector, of the mean squares of its gradients, in place of one for each coordinate.

    See "PyTorch-BigGraph: A Large-scale Graph Embedding System", Lerer et al., 2019 (arXiv 1903.12287).
    """

    def init(row: Float[Array, 'D']) -> Float[Array, '']:
        return jnp.full((), initial_accumulator, row.dtype)

    def update(gradient, total, row=None):
        total = total + jnp.mean(gradient * gradient)
        return -learning_rate * gradient / jnp.sqrt(total + eps), total

    return optax.GradientTransformation(init, update)


def others(params: dict) -> dict:
    """All parameters but the table."""
    return {name: value for name, value in params.items() if name != ENTITY}


OPTIMIZERS = {
    'adam': optax.adam,
    'adagrad': optax.adagrad,
    'sgd': optax.sgd,
    'lazy_adam': lambda rate: row_sparse(optax.adam(rate), optax.adam(rate)),
    'sparse_adagrad': lambda rate: row_sparse(optax.adagrad(rate), optax.adagrad(rate)),
    'rowwise_adagrad': lambda rate: row_sparse(rowwise_adagrad(rate), optax.adagrad(rate)),
    'sparse_sgd': lambda rate: row_sparse(optax.sgd(rate), optax.sgd(rate)),
}
"""The names that `config.optimizer` may hold: learning rate -> optax.GradientTransformation or RowSparse."""

ROW_SPARSE = ('lazy_adam', 'sparse_adagrad', 'rowwise_adagrad', 'sparse_sgd')
"""The names of those that are RowSparse."""
