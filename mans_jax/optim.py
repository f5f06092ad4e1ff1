"""Optimisers by name."""

import optax

OPTIMIZERS = {'adam': optax.adam, 'adagrad': optax.adagrad, 'sgd': optax.sgd}
"""The names that `config.optimizer` may hold: learning rate -> optax.GradientTransformation."""
