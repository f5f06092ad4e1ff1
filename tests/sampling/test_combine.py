"""Samplers made of samplers: who draws what how often, by plain counts over samplers whose draws tell them apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.sampling import (
    Corruption,
    Sampler,
    View,
    bernoulli,
    chunk_pool,
    concatenate,
    fallback,
    in_batch,
    mans_v,
    mixture,
    uniform,
)
from tests.draws import LOWEST_P, answers, draw_many

POSITIVES = Triple(*(jnp.array(ids) for ids in ([0, 1, 2, 3], [0, 0, 1, 1], [4, 5, 6, 7])))


def constant(entity, num_negatives=3, side=HEAD, modalities=1, weight=None):
    """A sampler that always draws one entity, and counts its calls and remembers its last key."""

    def sample(state, key, positives, view):
        shape = (positives.head.shape[0], num_negatives)
        corruption = Corruption(
            jnp.full(shape, entity),
            jnp.full(shape, side, jnp.int8),
            jnp.broadcast_to(jnp.arange(modalities) > 0 if modalities > 1 else True, (*shape, modalities)),
            weight if weight is None else jnp.broadcast_to(jnp.asarray(weight, jnp.float32), shape),
        )
        return corruption, {'calls': state['calls'] + 1, 'key': jax.random.key_data(key)}

    return Sampler(lambda key: {'calls': jnp.int32(0), 'key': jax.random.key_data(key)}, sample)


def shares(drawn, entities):
    return [int((drawn.entity == entity).sum()) for entity in entities]


@pytest.mark.parametrize('share', [0.0, 0.3, 1.0])
def test_a_mixture_takes_its_share_of_the_first_and_the_rest_of_the_others_alike(share):
    sampler = mixture([constant(10), constant(11, side=TAIL), constant(12)], share=share)
    drawn = draw_many(sampler, POSITIVES, 2000)
    counts, want = np.array(shares(drawn, (10, 11, 12))), np.array([share, (1 - share) / 2, (1 - share) / 2])
    assert counts.sum() == drawn.entity.size == 2000 * 4 * 3
    assert not counts[want == 0].any()
    if share < 1:
        assert stats.chisquare(counts[want > 0], want[want > 0] * counts.sum()).pvalue > LOWEST_P
    np.testing.assert_array_equal(drawn.side == TAIL, drawn.entity == 11)
    assert drawn.weight is None and drawn.replaced.shape == (2000, 4, 3, 1)
    # One negative tells nothing of the next.
    table = np.histogram2d(drawn.entity[:, 0, 0], drawn.entity[:, 0, 1], bins=[[10, 11, 12, 13]] * 2)[0]
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    assert stats.chi2_contingency(table).pvalue > LOWEST_P


@pytest.mark.parametrize(('progress', 'want'), [(0.0, 0.8), (0.5, 0.5), (0.75, 0.35)])
def test_a_share_may_go_from_one_value_to_another(progress, want):
    sampler = mixture([constant(10), constant(11)], share=0.8, share_end=0.2)
    first, second = shares(draw_many(sampler, POSITIVES, 2000, view=View(progress=jnp.float32(progress))), (10, 11))
    assert stats.binomtest(first, first + second, want).pvalue > LOWEST_P
    with pytest.raises(ValueError, match='looks at progress'):
        draw_many(sampler, POSITIVES, 1)


def test_a_mixture_brings_weights_and_modalities_to_one_form():
    sampler = mixture([constant(10, modalities=3), constant(11, weight=0.25), constant(12)], share=1 / 3)
    drawn = draw_many(sampler, POSITIVES, 300)
    assert drawn.replaced.shape == (300, 4, 3, 3)
    np.testing.assert_array_equal(drawn.replaced.all(axis=-1), drawn.entity != 10)
    np.testing.assert_array_equal(drawn.replaced[drawn.entity == 10][0], [False, True, True])
    np.testing.assert_array_equal(drawn.weight, np.where(drawn.entity == 11, np.float32(0.25), 1))


def test_concatenation_adds_up_negatives():
    parts = [constant(10, 2), constant(11, 3, side=TAIL, modalities=2), constant(12, 1, weight=0.5)]
    drawn = draw_many(concatenate(parts), POSITIVES, 1)
    assert drawn.entity[0, 0].tolist() == [10, 10, 11, 11, 11, 12]
    assert drawn.side[0, 0].tolist() == [HEAD, HEAD, TAIL, TAIL, TAIL, HEAD]
    assert drawn.replaced[0, 0].tolist() == [[True] * 2] * 2 + [[False, True]] * 3 + [[True] * 2]
    assert drawn.weight[0, 0].tolist() == [1, 1, 1, 1, 1, 0.5]
    assert drawn.entity.dtype == np.int32 and drawn.side.dtype == np.int8
    plain = draw_many(concatenate([constant(10), constant(11)]), POSITIVES, 1)
    assert plain.weight is None and plain.entity.shape == (1, 4, 6) and plain.replaced.shape == (1, 4, 6, 1)


def test_a_fallback_replaces_what_does_not_count_and_what_is_known():
    known = KnownTriples.build([(0, 0, 4), (9, 0, 4), (1, 0, 5)], num_entities=20, num_relations=2)
    first, second = constant(9, weight=[1, 0, 0.5]), constant(12, weight=0.25, modalities=2)
    drawn = draw_many(fallback(first, second), POSITIVES, 1)
    assert drawn.entity[0].tolist() == [[9, 12, 9]] * 4
    assert drawn.weight[0].tolist() == [[1, 0.25, 0.5]] * 4
    assert drawn.replaced[0, 0].tolist() == [[True, True], [False, True], [True, True]]
    drawn = draw_many(fallback(first, second, known), POSITIVES, 1)
    # (9, 0, 4) is known.
    assert drawn.entity[0].tolist() == [[12, 12, 12]] + [[9, 12, 9]] * 3
    drawn = draw_many(fallback(constant(9), constant(12), known), POSITIVES, 1)
    assert drawn.entity[0].tolist() == [[12] * 3] + [[9] * 3] * 3 and drawn.weight is None


def test_a_batch_with_something_to_fall_back_on_has_no_known_negative():
    rng = np.random.default_rng(0)
    rows = np.unique(rng.integers(0, [8, 2, 8], (60, 3)), axis=0)
    known = KnownTriples.build(rows, num_entities=8)
    sampler = fallback(in_batch(known, 4), bernoulli(known, 4))
    drawn = draw_many(sampler, Triple.from_rows(jnp.asarray(rows)), 200)
    assert (drawn.weight == 1).all()
    for b, row in enumerate(rows.tolist()):
        for side in (HEAD, TAIL):
            assert not set(drawn.entity[:, b][drawn.side[:, b] == side]) & answers(rows, side, *row)


@pytest.mark.parametrize(
    'combine', [lambda parts: mixture(parts, share=0.5), concatenate, lambda parts: fallback(*parts)]
)
def test_every_part_has_its_own_key_and_state_and_all_go_on(combine):
    sampler = combine([constant(10), constant(11)])
    state = sampler.init(jax.random.key(0))
    assert not np.array_equal(state[0]['key'], state[1]['key'])
    sample = jax.jit(sampler.sample)
    for i in range(1, 4):
        _, state = sample(state, jax.random.key(i), POSITIVES, View())
        assert [int(part['calls']) for part in state] == [i, i]
        assert not np.array_equal(state[0]['key'], state[1]['key'])


def test_virtual_negatives_can_be_added_to_normal_ones():
    rows = np.array([(0, 0, 4), (1, 0, 5), (2, 1, 6), (3, 1, 7)])
    known = KnownTriples.build(rows, num_entities=20)
    sampler = concatenate([bernoulli(known, 2), mans_v(bernoulli(known, 2), [False, True])])
    drawn = draw_many(sampler, POSITIVES, 5)
    assert drawn.replaced.all(axis=-1)[0, 0].tolist() == [True, True, False, False]
    # All of them virtual, also those that were normal.
    outer = draw_many(mans_v(sampler, [False, True]), POSITIVES, 5)
    assert not outer.replaced[..., 0].any() and outer.replaced[..., 1].all()


def test_what_makes_no_sense_is_refused():
    two = [constant(10), constant(11)]
    for share, share_end, message in (
        (1.5, None, 'share is 1.5, but is a share between 0 and 1'),
        (0.5, -0.1, 'share_end is -0.1, but is a share between 0 and 1'),
        (float('nan'), None, 'share is nan, but is a share between 0 and 1'),
    ):
        with pytest.raises(ValueError, match=message):
            mixture(two, share=share, share_end=share_end)
    with pytest.raises(ValueError, match='mixture is made of two samplers or more, not 1'):
        mixture(two[:1], share=0.5)
    with pytest.raises(ValueError, match='concatenate is made of two samplers or more, not 0'):
        concatenate([])
    three = [constant(10, 3), constant(11, 2), constant(11, 3)]
    with pytest.raises(ValueError, match='the samplers of a mixture draw 3, 2, 3 negatives: give all the same num_neg'):
        draw_many(mixture(three, share=0.5), POSITIVES, 1)
    with pytest.raises(ValueError, match='the samplers of a fallback draw 3 and 2 negatives: give both the same num_'):
        draw_many(fallback(*three[:2]), POSITIVES, 1)


def with_vectors(entity, scale):
    """`constant` with shares of the margin, and two negatives with vectors."""
    base = constant(entity)

    def sample(state, key, positives, view):
        corruption, state = base.sample(state, key, positives, view)
        shares = jnp.full(corruption.entity.shape, scale)
        return corruption.replace(margin_scale=shares, vectors=jnp.ones((*shares.shape[:1], 2, 1, 5))), state

    return Sampler(base.init, sample)


def test_generated_negatives_stand_behind_all_others():
    sampler = concatenate([constant(10), with_vectors(11, 0.5)])
    corruption, _ = sampler.sample(sampler.init(jax.random.key(0)), jax.random.key(1), POSITIVES, View())
    np.testing.assert_array_equal(corruption.margin_scale, np.tile([1, 1, 1, 0.5, 0.5, 0.5], (4, 1)))
    assert corruption.vectors.shape == (4, 2, 1, 5) and corruption.weight is None
    parts = [with_vectors(11, 0.5), constant(10)]
    for sampler in (concatenate(parts), mixture(parts, share=0.5), fallback(*parts)):
        with pytest.raises(ValueError, match='generated negatives must stand behind all others: put dhns around'):
            sampler.sample(sampler.init(jax.random.key(0)), jax.random.key(1), POSITIVES, View())


@pytest.mark.parametrize(
    'combine', [concatenate, lambda parts: mixture(parts, share=0.5), lambda parts: fallback(*parts)]
)
def test_what_is_put_together_is_shared_by_no_chunk(combine):
    known = KnownTriples.build(np.stack(list(jax.tree.leaves(POSITIVES)), axis=-1), num_entities=15)
    sampler = combine([chunk_pool(known, 2, chunk=2), uniform(known, 2)])
    corruption, _ = sampler.sample(sampler.init(jax.random.key(0)), jax.random.key(1), POSITIVES, View())
    assert corruption.chunk is None
