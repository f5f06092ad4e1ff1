"""Losses: plausibilities of positives [B] and of their negatives [B, K] to one number to minimise.

A plausibility is minus a distance for translational scores; margins are in the unit of the score. `weight` float[B, K]
says how much each negative counts in the mean over them; without it all count alike. `margin_scale` float[B, K] says
which share of the margin holds for each negative; without it the whole margin does.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

PerNegative = Float[Array, 'B K'] | None

_TINY = 1e-12
"""Below it a sum of weights counts as none."""


def margin_ranking(
    positive: Float[Array, 'B'],
    negative: Float[Array, 'B K'],
    weight: PerNegative = None,
    margin_scale: PerNegative = None,
    *,
    margin: float,
) -> Float[Array, '']:
    """A negative should score at least a margin below its positive: mean max(0, margin - s+ + s-).

    See "Translating Embeddings for Modeling Multi-relational Data", Bordes et al., 2013.

    Args:
        positive: plausibility of B facts.
        negative: plausibility of K negatives for each.
        weight: see the module.
        margin_scale: see the module.
        margin: in the unit of the score.

    Returns:
        The mean over the B x K pairs.
    """
    return _mean(jnp.maximum(0, _scaled(margin, margin_scale) - positive[:, None] + negative), weight)


def softplus(
    positive: Float[Array, 'B'],
    negative: Float[Array, 'B K'],
    weight: PerNegative = None,
    margin_scale: PerNegative = None,
) -> Float[Array, '']:
    """Logistic regression of true against false: (mean log(1 + exp(-s+)) + mean log(1 + exp(s-))) / 2.

    See "Complex Embeddings for Simple Link Prediction", Trouillon et al., 2016 (arXiv 1606.06357).

    Args:
        positive: plausibility of B facts.
        negative: plausibility of K negatives for each.
        weight: see the module.
        margin_scale: not used, as there is no margin.

    Returns:
        The mean, positives and negatives weighing the same.
    """
    return (jnp.mean(jax.nn.softplus(-positive)) + _mean(jax.nn.softplus(negative), weight)) / 2


def self_adversarial(
    positive: Float[Array, 'B'],
    negative: Float[Array, 'B K'],
    weight: PerNegative = None,
    margin_scale: PerNegative = None,
    *,
    margin: float,
    temperature: float,
) -> Float[Array, '']:
    """Logistic loss around a margin, the harder negatives weighing more.

    -(log sigma(margin + s+) + sum_k w_k log sigma(-margin - s-_k)) / 2, where w, not differentiated, is
    softmax(temperature * s-), with each of its exponentials multiplied by `weight`. See "RotatE: Knowledge Graph
    Embedding by Relational Rotation in Complex Space", Sun et al., 2019 (arXiv 1902.10197).

    Args:
        positive: plausibility of B facts.
        negative: plausibility of K negatives for each.
        weight: see the module.
        margin_scale: see the module; it holds where a negative is scored, the whole margin where its positive is.
        margin: the distance at which a fact is as likely as not.
        temperature: 0 weighs all negatives alike.

    Returns:
        The mean over the B facts.
    """
    logit = temperature * negative
    if weight is not None:
        # Finite, so that a positive none of whose negatives counts yields no NaN.
        logit = jnp.where(weight > 0, logit + jnp.log(jnp.where(weight > 0, weight, 1)), jnp.finfo(logit.dtype).min)
    share = jax.lax.stop_gradient(jax.nn.softmax(logit, axis=-1))
    if weight is not None:
        share = share * (weight > 0)
    log_false = jnp.sum(share * jax.nn.log_sigmoid(-_scaled(margin, margin_scale) - negative), axis=-1)
    return -jnp.mean(jax.nn.log_sigmoid(margin + positive) + log_false) / 2


def excuse_substitutes(
    loss: Callable,
    positive: Float[Array, 'B'],
    negative: Float[Array, 'B K'],
    substitute: Float[Array, 'B K'],
    weight: Float[Array, 'B K'],
    margin_scale: PerNegative = None,
    *,
    margin: float,
    substitution_weight: float,
    substitution_share: float,
) -> Float[Array, '']:
    """EANS's prediction of false negatives, around a logistic loss.

    An intruder that may stand for the entity that it replaces makes no negative that ought to score low:

    loss(s+, s- - b z) + a mean over known triples of -log sigma(z) + b mean |z|, where z = margin + `substitute`, a is
    `substitution_weight` and b `substitution_share`. Known triples are the negatives of weight 0, which `loss` leaves
    out. See "Entity Aware Negative Sampling with Auxiliary Loss of False Negative Prediction for Knowledge Graph
    Embedding", Je, 2022 (arXiv 2210.06242), whose code takes a = 1 and b = 0.1 for distances on FB15k-237, and 0.05
    and 0.01 on WN18RR.

    Args:
        loss: of LOSSES, one that is logistic.
        positive: plausibility of B facts.
        negative: plausibility of K negatives for each.
        substitute: plausibility of the substitution relation between an intruder and the entity it replaces.
        weight: see the module.
        margin_scale: see the module.
        margin: of `loss`, 0 where it has none.
        substitution_weight: a.
        substitution_share: b.
    """
    logit = margin + substitute
    known = weight == 0
    base = loss(positive, negative - substitution_share * logit, weight, margin_scale)
    of_known = _mean(jax.nn.softplus(-logit), known)
    return base + substitution_weight * of_known + substitution_share * jnp.mean(jnp.abs(logit))


def cross_entropy(scores: Float[Array, 'Q C'], answer: Int[Array, 'Q']) -> Float[Array, 'Q']:
    """- log softmax(scores)[answer]: how unlikely the answer of each query is among all candidates.

    Args:
        scores: plausibility of C candidates for each of Q queries.
        answer: which candidate is the true one.
    """
    return optax.softmax_cross_entropy_with_integer_labels(scores, answer)


def binary_cross_entropy(scores: Float[Array, 'Q C'], labels: Bool[Array, 'Q C']) -> Float[Array, 'Q']:
    """The mean over candidates of - log sigma(s) where the label is true and of - log sigma(-s) elsewhere.

    Args:
        scores: plausibility of C candidates for each of Q queries.
        labels: whether a candidate answers a query.
    """
    return jnp.mean(optax.sigmoid_binary_cross_entropy(scores, labels.astype(scores.dtype)), axis=-1)


def _scaled(margin, scale):
    return margin if scale is None else margin * scale


def _mean(terms, weight):
    """The weighted mean over all negatives, 0 where none counts."""
    if weight is None:
        return jnp.mean(terms)
    return jnp.sum(terms * weight) / jnp.maximum(jnp.sum(weight), _TINY)


LOSSES = {
    'margin_ranking': lambda margin, temperature: partial(margin_ranking, margin=margin),
    'softplus': lambda margin, temperature: softplus,
    'self_adversarial': lambda margin, temperature: partial(self_adversarial, margin=margin, temperature=temperature),
}
"""The names that `config.loss` may hold: (margin, temperature) -> loss.

A loss takes (positive, negative, weight=None, margin_scale=None).
"""

WITH_MARGIN = ('margin_ranking', 'self_adversarial')
"""The names of those for which `margin_scale` counts."""

LOGISTIC = ('softplus', 'self_adversarial')
"""The names of those that `excuse_substitutes` may be around."""
