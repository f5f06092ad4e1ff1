"""Fusion over pairs of modalities against plain loops, with modalities that are missing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import fusion, scoring
from mans_jax.fusion import Views
from mans_jax.scoring import SCORES

DIM = 6
every_score = pytest.mark.parametrize('name', SCORES)


def views(seed, *axes, dim=DIM):
    """Random views [*axes, M, D], a third of the modalities absent."""
    rng = np.random.default_rng(seed)
    return Views(
        jnp.asarray(rng.normal(size=(*axes, dim)), jnp.float32),
        jnp.asarray(rng.random(axes) > 0.34),
    )


def plain_weights(present):
    return [len(present) / sum(present) if has else 0.0 for has in present]


def plain_all_pairs(score, query, candidate):
    """One query and one candidate, both [M, D], by a double loop over modalities."""
    num_modalities = len(query.present)
    query_weights, candidate_weights = (plain_weights(views.present.tolist()) for views in (query, candidate))
    total = 0.0
    for m in range(num_modalities):
        for n in range(num_modalities):
            term = score(query.vectors[m], candidate.vectors[n])
            total += query_weights[m] * candidate_weights[n] * float(term)
    return total


@every_score
@pytest.mark.parametrize('num_modalities', [1, 2, 4])
def test_all_pairs_equals_a_double_loop(name, num_modalities):
    score = SCORES[name]
    compare = jax.jit(score.compare)
    queries, candidates = views(0, 3, num_modalities), views(1, 4, num_modalities)

    def every_pair(queries, candidates):
        columns, present = jnp.moveaxis(candidates.vectors, 0, -1), candidates.present.T
        return (
            fusion.all_pairs(score, queries[:, None], candidates[None, :]),
            fusion.all_pairs_with_all(score, queries, columns, present),
        )

    got, got_from_columns = jax.jit(every_pair)(queries, candidates)
    queries, candidates = jax.device_get((queries, candidates))
    want = [[plain_all_pairs(compare, queries[q], candidates[c]) for c in range(4)] for q in range(3)]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got_from_columns, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('num_modalities', [1, 2, 3])
def test_weights(num_modalities):
    present = np.array(np.meshgrid(*[[False, True]] * num_modalities)).reshape(num_modalities, -1).T
    got = jax.jit(fusion.weights)(present)
    want = [plain_weights(row) if any(row) else [0.0] * num_modalities for row in present.tolist()]
    np.testing.assert_allclose(got, want)
    # An entity counts as much as any other, however few its views are.
    np.testing.assert_allclose(np.sum(got, axis=1)[present.any(axis=1)], num_modalities)


@every_score
def test_pair_scores_stand_by_kept_then_other_modality(name):
    queries, candidates = views(2, 5, 3), views(3, 5, 3)
    pairs = jax.jit(lambda q, c: fusion.pair_scores(SCORES[name], q, c))(queries, candidates)
    both = np.asarray(queries.present)[:, :, None] & np.asarray(candidates.present)[:, None, :]
    assert pairs.shape == (5, 3, 3)
    assert not np.any(np.where(both, 0, pairs))
    assert np.all(np.where(both, pairs, 1))
    swapped = Views(candidates.vectors[:, ::-1], candidates.present[:, ::-1])
    again = jax.jit(lambda q, c: fusion.pair_scores(SCORES[name], q, c))(queries, swapped)
    np.testing.assert_array_equal(again, pairs[:, :, ::-1])


@every_score
@pytest.mark.parametrize('side', [-1.0, 1.0])
def test_query_applies_one_relation_to_every_modality(name, side):
    score, kept = SCORES[name], views(4, 5, 3)
    width = score.relation_width(DIM)
    relation = jnp.asarray(np.random.default_rng(5).normal(size=(5, width)), jnp.float32)
    got = jax.jit(lambda k, r, s: fusion.query(score, k, r, s))(kept, relation, np.full(5, side, np.float32))
    want = jax.jit(lambda k, r: jnp.stack([score.query(k[:, m], r, jnp.full(5, side)) for m in range(3)], axis=1))
    np.testing.assert_allclose(got.vectors, want(kept.vectors, relation), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(got.present, kept.present)


def test_mix_takes_vectors_and_presence_together():
    intruder, original = views(6, 4, 3, 2), views(7, 4, 1, 2)
    replaced = np.random.default_rng(8).random((4, 3, 2)) < 0.5
    mixed = jax.jit(fusion.mix)(jnp.asarray(replaced), intruder, original)
    for index in np.ndindex(4, 3, 2):
        source, at = (intruder, index) if replaced[index] else (original, (index[0], 0, index[2]))
        np.testing.assert_array_equal(mixed.vectors[index], np.asarray(source.vectors)[at])
        assert mixed.present[index] == np.asarray(source.present)[at]


@every_score
def test_finite_numbers_of_an_absent_modality_have_no_effect(name):
    """Neither on scores nor on gradients. NaN would (0 x NaN), so missing rows must stand as zeros."""
    score, queries, candidates = SCORES[name], views(9, 8, 3), views(10, 8, 3)

    def total(queries, candidates):
        scores = fusion.all_pairs(score, queries, candidates)
        return jnp.sum(scores), scores

    def run(*vectors):
        return differentiate(*(v.replace(vectors=x) for v, x in zip((queries, candidates), vectors, strict=True)))

    differentiate = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True, allow_int=True))
    plain = run(queries.vectors, candidates.vectors)
    for filler in (0, 1e4):
        filled = [np.where(np.asarray(v.present)[..., None], v.vectors, filler) for v in (queries, candidates)]
        (_, scores), gradients = run(*map(jnp.asarray, filled))
        np.testing.assert_array_equal(scores, plain[0][1])
        for views_, gradient, before in zip((queries, candidates), gradients, plain[1], strict=True):
            np.testing.assert_array_equal(gradient.vectors, before.vectors)
            assert not np.any(np.where(np.asarray(views_.present)[..., None], 0, gradient.vectors))


@every_score
def test_a_missing_row_gives_finite_gradients(name):
    """The trap: the norm of a row of zeros has gradient NaN, and NaN times a weight of zero is NaN."""
    score = SCORES[name]
    relation = jnp.asarray(np.random.default_rng(1).normal(size=(4, score.relation_width(DIM))), jnp.float32)
    head, tail = views(11, 4, 2), views(12, 4, 2)
    rows = [jnp.asarray(np.where(np.asarray(v.present)[..., None], v.vectors, 0)) for v in (head, tail)]
    assert np.any(np.all(np.asarray(rows[0]) == 0, axis=-1))

    def total(rows, relation):
        head_views, tail_views = (Views(scoring.unit(x), v.present) for x, v in zip(rows, (head, tail), strict=True))
        queries = fusion.query(score, head_views, relation, jnp.ones(4))
        return jnp.sum(fusion.all_pairs(score, queries, tail_views))

    value, gradients = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(rows, relation)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(gradient)) for gradient in jax.tree.leaves(gradients))
    assert np.any(gradients[0][0]) and np.any(gradients[1])


def test_views_index_their_leading_axes():
    whole = views(13, 4, 3)
    part = whole[1:3]
    assert part.vectors.shape == (2, 3, DIM) and part.present.shape == (2, 3)
    np.testing.assert_array_equal(part.vectors, whole.vectors[1:3])


def test_to_choose_is_where_and_so_is_its_gradient():
    rng = np.random.default_rng(0)
    is_first = jnp.asarray(rng.random((3, 5)) < 0.5)
    first, second = (jnp.asarray(rng.normal(size=(3, 2, 4)), jnp.float32) for _ in range(2))
    coming = jnp.asarray(rng.normal(size=(3, 5, 2, 4)), jnp.float32)

    def where(first, second):
        return jnp.where(is_first[:, :, None, None], first[:, None], second[:, None])

    got, of_got = jax.vjp(lambda *both: fusion.choose(is_first, *both), first, second)
    want, of_want = jax.vjp(where, first, second)
    np.testing.assert_array_equal(got, want)
    for gradient, wanted in zip(of_got(coming), of_want(coming), strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-6)
