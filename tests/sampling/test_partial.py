"""Which part of an entity is replaced, and which share of the margin that is asked for, against plain counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from mans_jax.graph import HEAD, TAIL, Triple
from mans_jax.sampling import Corruption, View, own_margin, random_modalities, stateless

E, M = 12, 3

POSITIVES = Triple(jnp.arange(6), jnp.zeros(6, jnp.int32), jnp.arange(6, 12))


def base(replaced=None, num_negatives=50, margin_scale=None):
    """Random intruders on random sides, wholly in place unless said otherwise."""

    def draw(key, positives, view):
        entity_key, side_key = jax.random.split(key)
        shape = (positives.head.shape[0], num_negatives)
        entity = jax.random.randint(entity_key, shape, 0, E)
        side = jax.random.bernoulli(side_key, shape=shape).astype(jnp.int8)
        mask = jnp.ones((*shape, 1), bool) if replaced is None else jnp.broadcast_to(replaced, (*shape, M))
        return Corruption(entity, side, mask, margin_scale=margin_scale)

    return stateless(draw)


def drawn(sampler, seed=0) -> Corruption:
    return jax.jit(lambda key: sampler.sample((), key, POSITIVES, View())[0])(jax.random.key(seed))


def presence(seed=0):
    return np.random.default_rng(seed).random((E, M)) < 0.7


def originals(corruption):
    return np.where(corruption.side == HEAD, POSITIVES.head[:, None], POSITIVES.tail[:, None])


def test_the_part_is_one_of_those_that_both_have_and_never_all_or_none_of_them():
    present = presence()
    corruption = drawn(random_modalities(base(), M, jnp.asarray(present), share=1.0))
    common = present[corruption.entity] & present[originals(corruption)]
    assert {TAIL, HEAD} == set(np.unique(corruption.side).tolist())
    has_parts = common.sum(axis=-1) > 1
    part = np.asarray(corruption.replaced)
    assert 0 < has_parts.mean() < 1
    assert not np.any(part[has_parts] & ~common[has_parts])
    assert part[has_parts].any(axis=-1).all() and (common & ~part)[has_parts].any(axis=-1).all()
    assert part[~has_parts].all(), 'with nothing to choose from it stays a normal negative'


def test_every_part_comes_as_often_as_its_formula_says():
    corruption = drawn(random_modalities(base(num_negatives=5000), M, share=1.0))
    parts, counts = np.unique(np.asarray(corruption.replaced).reshape(-1, M), axis=0, return_counts=True)
    # Of 8 draws of coins 6 are parts, and the other two become one of the three single modalities.
    expected = [1 / 8 + (1 / 4 / 3 if part.sum() == 1 else 0) for part in parts]
    assert len(parts) == 6
    assert scipy.stats.chisquare(counts, np.array(expected) * counts.sum()).pvalue > 1e-3


@pytest.mark.parametrize('share', [0.0, 0.3, 1.0])
def test_the_share_is_kept_and_the_others_are_those_of_the_base(share):
    corruption = drawn(random_modalities(base(num_negatives=2000), M, share=share))
    whole = np.asarray(corruption.replaced).all(axis=-1)
    assert abs((~whole).mean() - share) < 0.02


def test_what_the_base_left_with_the_original_stays_with_it():
    kept = jnp.array([True, False, True])
    corruption = drawn(random_modalities(base(kept), M, share=1.0))
    assert not np.asarray(corruption.replaced)[..., 1].any()
    assert (np.asarray(corruption.replaced).sum(axis=-1) == 1).all()


@pytest.mark.parametrize('share', [-0.1, 1.1])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=rf'share={share} must be in \[0, 1\]'):
        random_modalities(base(), M, share=share)


def test_the_margin_is_asked_for_in_the_share_of_modalities_that_are_replaced():
    present = presence()
    # One entity is seen through nothing.
    present[3] = False
    sampler = own_margin(random_modalities(base(), M, jnp.asarray(present), share=0.6), jnp.asarray(present))
    corruption = drawn(sampler)
    original = originals(corruption)
    for index in np.ndindex(original.shape):
        has = present[original[index]]
        expected = np.mean(np.asarray(corruption.replaced[index])[has]) if has.any() else 1.0
        assert corruption.margin_scale[index] == pytest.approx(expected)
    assert len(np.unique(corruption.margin_scale)) > 3


def test_without_presence_every_modality_counts():
    corruption = drawn(own_margin(base(jnp.array([False, True, True]))))
    np.testing.assert_allclose(corruption.margin_scale, 2 / 3)
    np.testing.assert_allclose(drawn(own_margin(base())).margin_scale, 1)


def test_a_share_of_a_share_is_their_product():
    scale = jnp.full((6, 50), 0.5)
    corruption = drawn(own_margin(base(jnp.array([False, True, True]), margin_scale=scale)))
    np.testing.assert_allclose(corruption.margin_scale, 1 / 3, rtol=1e-6)


def test_under_the_four_term_score_the_share_is_that_of_the_pairs_that_differ():
    """Counted on scores: the pairs of a negative that are those of its positive."""
    pairs = np.random.default_rng(0).random((M, M))
    for replaced in ([False, True, True], [True, False, False], [True, True, True]):
        negative = np.where(np.array(replaced), np.random.default_rng(1).random((M, M)), pairs)
        scale = drawn(own_margin(base(jnp.array(replaced)))).margin_scale[0, 0]
        assert np.mean(negative != pairs) == pytest.approx(float(scale))
