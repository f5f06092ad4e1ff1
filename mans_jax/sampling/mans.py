"""Modality-aware negative sampling: which modalities of the original the intruder of another sampler replaces.

See "Modality-Aware Negative Sampling for Multi-modal Knowledge Graph Embedding", Zhang, Chen, Zhang, 2023
(arXiv 2304.11618). A normal negative puts the whole intruder in place. A virtual one keeps the original and takes only
some modalities, the image say, from the intruder, so that the model must tell the images apart.

Every sampler here wraps a base sampler, which chooses intruders and sides, and works for any number of modalities. Its
arguments are:

- base: the sampler whose corruptions are made virtual.
- replace: bool[M], what a virtual negative takes from the intruder: all but structure in the paper.
- present: bool[E, M] or None, which entity has which modality. A modality is only exchanged between two entities that
  both have it, and where none is left to exchange the negative stays a normal one.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from mans_jax.graph import HEAD, Triple
from mans_jax.sampling.corruption import Corruption, Sampler, View

COUNT, PER_SAMPLE = 'count', 'per_sample'


def mans_v(
    base: Sampler, replace: Sequence[bool] | Bool[Array, 'M'], present: Bool[Array, 'E M'] | None = None
) -> Sampler:
    """MANS-V: every negative is virtual.

    Args:
        base: see the module.
        replace: see the module.
        present: see the module.
    """
    return _choose(base, replace, present, lambda corruption, positives, view: jnp.ones(corruption.entity.shape, bool))


def mans_t(
    base: Sampler,
    replace: Sequence[bool] | Bool[Array, 'M'],
    present: Bool[Array, 'E M'] | None = None,
    *,
    share: float,
) -> Sampler:
    """MANS-T, two stages: virtual negatives while view.progress < share, normal ones after.

    The paper describes `share` as a share of the epochs. Its published code never passes the value on and switches at
    one half.

    Args:
        base: see the module.
        replace: see the module.
        present: see the module.
        share: beta, the share of the training with virtual negatives, in [0, 1].
    """

    def choose(corruption, positives, view):
        return jnp.broadcast_to(view.need_progress() < share, corruption.entity.shape)

    return _choose(base, replace, present, choose)


def mans_h(
    base: Sampler,
    replace: Sequence[bool] | Bool[Array, 'M'],
    present: Bool[Array, 'E M'] | None = None,
    *,
    share: float,
) -> Sampler:
    """MANS-H, hybrid: int(K * share * B) of the negatives of a batch are virtual, the others normal.

    They are marked from the start of the batch, first negatives first. Positives stand in random order, so this is a
    random choice of positives.

    Args:
        base: see the module.
        replace: see the module.
        present: see the module.
        share: beta, the share of virtual negatives, in [0, 1].
    """

    def choose(corruption, positives, view):
        batch_size, num_negatives = corruption.entity.shape
        return _mark_first(int(num_negatives * share * batch_size), batch_size, num_negatives)

    return _choose(base, replace, present, choose)


def mans_a(
    base: Sampler,
    replace: Sequence[bool] | Bool[Array, 'M'],
    present: Bool[Array, 'E M'] | None = None,
    *,
    marks: str = COUNT,
    where_cross_is_closer: bool = True,
) -> Sampler:
    """MANS-A, adaptive: a negative is virtual where the current model finds modalities of the two entities mixed up.

    With the intruder wholly in place, compares the mean score of a modality with itself (uni) and with another one
    (cross). Selected are the negatives whose cross score is the more plausible.

    Args:
        base: see the module.
        replace: see the module.
        present: see the module.
        marks: 'count' makes as many negatives virtual as were selected, from the start of the batch, as the published
            code does; 'per_sample' makes the selected ones themselves virtual.
        where_cross_is_closer: False selects those whose cross score is the less plausible instead.

    Raises:
        ValueError: `marks` is neither.
    """
    if marks not in (COUNT, PER_SAMPLE):
        raise ValueError(f"marks must be '{COUNT}' or '{PER_SAMPLE}', not {marks!r}")

    def choose(corruption, positives, view):
        pairs = view.pair_scores(positives, corruption)
        uni = jnp.trace(pairs, axis1=-2, axis2=-1)
        cross = jnp.sum(pairs, axis=(-2, -1)) - uni
        # M unimodal pairs against M (M - 1) cross-modal ones.
        cross = cross / max(pairs.shape[-1] - 1, 1)
        selected = cross > uni if where_cross_is_closer else cross < uni
        return selected if marks == PER_SAMPLE else _mark_first(jnp.sum(selected), *selected.shape)

    return _choose(base, replace, present, choose)


def exchangeable(
    corruption: Corruption, positives: Triple, replace: Bool[Array, 'M'], present: Bool[Array, 'E M'] | None
) -> Bool[Array, 'B K M']:
    """The modalities in `replace` that both the intruder and the entity it takes the place of have."""
    if present is None:
        return jnp.broadcast_to(replace, (*corruption.entity.shape, len(replace)))
    original = jnp.where(corruption.side == HEAD, positives.head[:, None], positives.tail[:, None])
    return replace & present[corruption.entity] & present[original]


def _choose(base: Sampler, replace, present, choose_virtual) -> Sampler:
    """Wraps `base`; `choose_virtual(corruption, positives, view)` says which negatives become virtual, bool[B, K]."""
    replace = jnp.asarray(replace, dtype=bool)

    def sample(state, key: Array, positives: Triple, view: View):
        corruption, state = base.sample(state, key, positives, view)
        virtual = choose_virtual(jax.lax.stop_gradient(corruption), positives, view)
        # What an inner strategy left with the original stays with it.
        replaced = corruption.replaced & exchangeable(corruption, positives, replace, present)
        virtual &= jnp.any(replaced, axis=-1)
        return corruption.replace(replaced=jnp.where(virtual[..., None], replaced, corruption.replaced)), state

    return Sampler(base.init, sample)


def _mark_first(number, batch_size, num_negatives):
    """True for the first `number` of a batch's negatives, every positive's first negative before any second one."""
    order = jnp.arange(num_negatives)[None, :] * batch_size + jnp.arange(batch_size)[:, None]
    return order < number
