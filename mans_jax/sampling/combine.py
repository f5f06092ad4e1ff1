"""Samplers made of samplers. Each draws, and goes on with its own state, in every step, whoever is chosen."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mans_jax.graph import KnownTriples
from mans_jax.sampling.corruption import Corruption, Sampler, View


def mixture(samplers: Sequence[Sampler], *, share: float, share_end: float | None = None) -> Sampler:
    """Takes each negative from one of several samplers, independently at random.

    Args:
        samplers: two or more, of the same K.
        share: the probability of the first one, in [0, 1]; the others have the rest in equal parts.
        share_end: with it the probability goes linearly from `share`, where view.progress is 0, to `share_end`, where
            it is 1.

    Raises:
        ValueError: a share is not in [0, 1], or there are fewer than two samplers; when it samples, their K differ, or
            one generates negatives.
    """
    _check_number('mixture', samplers)
    for name, value in (('share', share), ('share_end', share_end)):
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f'{name} is {value}, but is a share between 0 and 1')

    def sample(state, key, positives, view: View):
        choice_key, key = jax.random.split(key)
        drawn, state = _sample_all(samplers, state, key, positives, view)
        if len({corruption.entity.shape for corruption in drawn}) > 1:
            numbers = ', '.join(str(corruption.entity.shape[1]) for corruption in drawn)
            raise ValueError(f'the samplers of a mixture draw {numbers} negatives: give all the same num_negatives')
        first = share if share_end is None else share + (share_end - share) * view.need_progress()
        uniform = jax.random.uniform(choice_key, drawn[0].entity.shape)
        mixed = drawn[0]
        for i, other in enumerate(drawn[1:]):
            mixed = _where(uniform < first + (1 - first) * i / (len(drawn) - 1), mixed, other)
        return mixed, state

    return Sampler(_init_all(samplers), sample)


def concatenate(samplers: Sequence[Sampler]) -> Sampler:
    """Takes the negatives of all samplers, one after the other: their K add up.

    `concatenate([base, mans_v(base, ...)])` adds virtual negatives to the normal ones, where `mans_h` puts them in
    place of normal ones.

    Args:
        samplers: two or more.

    Raises:
        ValueError: there are fewer; when it samples, one before the last generates negatives, which must stand last.
    """
    _check_number('concatenate', samplers)

    def sample(state, key, positives, view):
        drawn, state = _sample_all(samplers, state, key, positives, view)
        _check_none_is_generated(drawn[:-1])
        vectors = drawn[-1].vectors
        drawn = [corruption.replace(vectors=None, chunk=None) for corruption in drawn]
        modalities = max(corruption.replaced.shape[-1] for corruption in drawn)
        drawn = [
            corruption.replace(replaced=jnp.broadcast_to(corruption.replaced, (*corruption.entity.shape, modalities)))
            for corruption in _alike(drawn)
        ]
        joined = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *drawn)
        return joined.replace(vectors=vectors), state

    return Sampler(_init_all(samplers), sample)


def fallback(first: Sampler, second: Sampler, known: KnownTriples | None = None) -> Sampler:
    """Puts negatives of a second sampler in place of those of the first that do not count or are known.

    Args:
        first: the sampler whose negatives with weight 0 are replaced.
        second: a sampler of the same K. Of a negative that is replaced, the one at its place.
        known: negatives that are known triples, the intruder in place of the whole entity, are replaced too.

    Raises:
        ValueError: when it samples, their K differ, or one generates negatives.
    """
    samplers = (first, second)

    def sample(state, key, positives, view):
        (one, other), state = _sample_all(samplers, state, key, positives, view)
        if one.entity.shape != other.entity.shape:
            numbers = f'{one.entity.shape[1]} and {other.entity.shape[1]}'
            raise ValueError(f'the samplers of a fallback draw {numbers} negatives: give both the same num_negatives')
        usable = jnp.ones(one.entity.shape, bool) if one.weight is None else one.weight > 0
        if known is not None:
            usable &= ~known.contains(one.apply(positives))
        return _where(usable, one, other), state

    return Sampler(_init_all(samplers), sample)


def _check_number(name, samplers):
    if len(samplers) < 2:
        raise ValueError(f'{name} is made of two samplers or more, not {len(samplers)}')


def _init_all(samplers):
    def init(key):
        keys = jax.random.split(key, len(samplers))
        return tuple(sampler.init(keys[i]) for i, sampler in enumerate(samplers))

    return init


def _sample_all(samplers, states, key, positives, view):
    keys = jax.random.split(key, len(samplers))
    pairs = [
        sampler.sample(state, keys[i], positives, view)
        for i, (sampler, state) in enumerate(zip(samplers, states, strict=True))
    ]
    drawn, states = zip(*pairs, strict=True)
    return drawn, states


def _check_none_is_generated(corruptions):
    if any(corruption.vectors is not None for corruption in corruptions):
        raise ValueError('generated negatives must stand behind all others: put dhns around the whole')


def _alike(corruptions):
    """The same, with weights and shares of the margin of 1 where one has none and another one has."""
    for name in ('weight', 'margin_scale'):
        if any(getattr(corruption, name) is not None for corruption in corruptions):
            corruptions = [
                corruption.replace(**{name: jnp.ones(corruption.entity.shape)})
                if getattr(corruption, name) is None
                else corruption
                for corruption in corruptions
            ]
    return corruptions


def _where(chosen, one, other) -> Corruption:
    """Of two corruptions of the same K, `one` where bool[B, K] and `other` elsewhere."""
    _check_none_is_generated([one, other])
    one, other = _alike([one, other])

    def choose(a, b):
        return None if a is None else jnp.where(chosen, a, b)

    return Corruption(
        choose(one.entity, other.entity),
        choose(one.side, other.side),
        jnp.where(chosen[..., None], one.replaced, other.replaced),
        choose(one.weight, other.weight),
        choose(one.margin_scale, other.margin_scale),
    )
