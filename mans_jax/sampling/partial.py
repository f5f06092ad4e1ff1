"""Negatives that replace a part of an entity, whichever part that is: our own, beside the strategies of MANS.

A virtual negative of MANS keeps structure and replaces all else. In a score that compares every modality of one side
with every modality of the other, the pairs that it leaves as they were cancel in the loss: structure is then never
compared with structure, and what is left must make up the whole margin. See "Does MANS help" in the documentation for
what that costs.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from mans_jax.graph import HEAD, Triple
from mans_jax.sampling.corruption import Corruption, Sampler, View
from mans_jax.sampling.mans import exchangeable


def random_modalities(
    base: Sampler, num_modalities: int, present: Bool[Array, 'E M'] | None = None, *, share: float = 0.5
) -> Sampler:
    """A share of the negatives takes a random part of the intruder's modalities, structure being one like the others.

    Each modality that both entities have is taken with probability 1/2; where that takes none or all of them, one alone
    is taken. Where they have fewer than two in common, the negative stays as it was.

    Args:
        base: chooses intruders and sides.
        num_modalities: M.
        present: which entity has which modality; None for all of them.
        share: the probability that a negative is such a one, in [0, 1].

    Raises:
        ValueError: `share` is no probability.
    """
    if not 0 <= share <= 1:
        raise ValueError(f'share={share} must be in [0, 1]')

    def sample(state, key, positives: Triple, view: View):
        base_key, share_key, part_key, one_key = jax.random.split(key, 4)
        corruption, state = base.sample(state, base_key, positives, view)
        shape = (*corruption.entity.shape, num_modalities)
        common = corruption.replaced & exchangeable(corruption, positives, jnp.ones(num_modalities, bool), present)
        part = common & jax.random.bernoulli(part_key, shape=shape)
        one = jnp.argmax(jnp.where(common, jax.random.uniform(one_key, shape), -1), axis=-1, keepdims=True)
        is_part = jnp.any(part, axis=-1) & jnp.any(common & ~part, axis=-1)
        part = jnp.where(is_part[..., None], part, jnp.arange(num_modalities) == one)
        chosen = jax.random.bernoulli(share_key, share, corruption.entity.shape) & (jnp.sum(common, axis=-1) > 1)
        return corruption.replace(replaced=jnp.where(chosen[..., None], part, corruption.replaced)), state

    return Sampler(base.init, sample)


def own_margin(base: Sampler, present: Bool[Array, 'E M'] | None = None) -> Sampler:
    """Asks of a negative the share of the margin that it can make: that of the original's modalities it replaces.

    A negative that replaces one of two modalities changes half of the pairs that are compared.

    Args:
        base: whose negatives they are.
        present: which entity has which modality; None for all of them.
    """

    def sample(state, key, positives: Triple, view: View):
        corruption, state = base.sample(state, key, positives, view)
        if present is None:
            there = jnp.ones(corruption.replaced.shape, bool)
        else:
            there = present[_original(corruption, positives)]
        replaced = jnp.sum(corruption.replaced & there, axis=-1)
        # An entity that has none of them is compared through nothing: any share will do.
        scale = jnp.where(jnp.any(there, axis=-1), replaced / jnp.maximum(jnp.sum(there, axis=-1), 1), 1.0)
        before = 1.0 if corruption.margin_scale is None else corruption.margin_scale
        return corruption.replace(margin_scale=before * scale), state

    return Sampler(base.init, sample)


def _original(corruption: Corruption, positives: Triple):
    """The entity whose place a negative takes, int32[B, K]."""
    return jnp.where(corruption.side == HEAD, positives.head[:, None], positives.tail[:, None])
