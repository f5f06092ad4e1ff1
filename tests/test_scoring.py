"""Scores against second formulas, in complex numbers and plain sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import scoring
from mans_jax.scoring import SCORES


def transe_l1(head, relation, tail):
    return -sum(abs(head[..., d] + relation[..., d] - tail[..., d]) for d in range(head.shape[-1]))


def transe_l2(head, relation, tail):
    return -np.linalg.norm(head + relation - tail, axis=-1)


def distmult(head, relation, tail):
    return sum(head[..., d] * relation[..., d] * tail[..., d] for d in range(head.shape[-1]))


def as_complex(vectors):
    half = vectors.shape[-1] // 2
    return vectors[..., :half] + 1j * vectors[..., half:]


def complex_(head, relation, tail):
    return np.sum(as_complex(head) * as_complex(relation) * np.conj(as_complex(tail)), axis=-1).real


def rotate(head, relation, tail):
    return -np.sum(np.abs(as_complex(head) * np.exp(1j * relation) - as_complex(tail)), axis=-1)


SECOND_FORMULAS = {
    'transe_l1': (transe_l1, scoring.transe),
    'transe_l2': (transe_l2, lambda h, r, t: scoring.transe(h, r, t, norm=2)),
    'distmult': (distmult, scoring.distmult),
    'complex': (complex_, scoring.complex),
    'rotate': (rotate, scoring.rotate),
}
"""Name in SCORES -> (the formula in numpy, the public function of that score)."""

every_score = pytest.mark.parametrize('name', SECOND_FORMULAS)


def is_complex(name):
    return name in ('complex', 'rotate')


def vectors(name, dim, *leading_axes, seed=0):
    """Head, relation and tail with the given leading axes, float64."""
    rng = np.random.default_rng(seed)
    widths = (dim, SCORES[name].relation_width(dim), dim)
    return [rng.normal(size=(*axes, width)) for axes, width in zip(leading_axes, widths, strict=True)]


def float32(arrays):
    return [jnp.asarray(a, jnp.float32) for a in arrays]


def assert_close(got, want, rtol=2e-5):
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * max(np.max(np.abs(want), initial=0), 1))


@every_score
@pytest.mark.parametrize('dim', [2, 6, 20])
def test_equals_second_formula(name, dim):
    formula, function = SECOND_FORMULAS[name]
    triples = vectors(name, dim, (3, 4), (3, 4), (3, 4))
    got = jax.jit(function)(*float32(triples))
    assert got.shape == (3, 4) and got.dtype == jnp.float32
    assert_close(got, formula(*triples))
    np.testing.assert_array_equal(jax.jit(SCORES[name].score)(*float32(triples)), got)


@pytest.mark.parametrize('name', [name for name in SECOND_FORMULAS if not is_complex(name)])
@pytest.mark.parametrize('dim', [1, 5])
def test_odd_widths(name, dim):
    triples = vectors(name, dim, (4,), (4,), (4,))
    assert_close(jax.jit(SCORES[name].score)(*float32(triples)), SECOND_FORMULAS[name][0](*triples))


@every_score
def test_leading_axes_broadcast(name):
    triples = vectors(name, 6, (2, 1, 3), (3,), (5, 1))
    got = jax.jit(SCORES[name].score)(*float32(triples))
    assert got.shape == (2, 5, 3)
    leading = [(2, 5, 3)] * 3
    full = [np.broadcast_to(a, (*axes, a.shape[-1])) for a, axes in zip(triples, leading, strict=True)]
    assert_close(got, SECOND_FORMULAS[name][0](*full))


@every_score
def test_vmap_equals_broadcasting(name):
    triples = float32(vectors(name, 6, (4,), (4,), (4,)))
    score = SCORES[name].score
    assert_close(jax.jit(jax.vmap(score))(*triples), jax.jit(score)(*triples))


@every_score
def test_gradient_equals_finite_differences(name):
    formula, function = SECOND_FORMULAS[name]
    triple, step = vectors(name, 6, (), (), ()), 1e-6
    gradients = jax.jit(jax.grad(function, argnums=(0, 1, 2)))(*float32(triple))
    for which, gradient in enumerate(gradients):
        differences = []
        for d in range(len(triple[which])):
            moved = [np.array([a, a]) for a in triple]
            moved[which][:, d] += [step, -step]
            up, down = formula(*moved)
            differences.append((up - down) / (2 * step))
        assert_close(gradient, np.array(differences), rtol=1e-4)


@every_score
def test_query_from_either_side_gives_the_same_score(name):
    score = SCORES[name]

    def from_both_sides(head, relation, tail):
        asked_for_tail = score.compare(score.query(head, relation, scoring.direction(jnp.int8(1))), tail)
        asked_for_head = score.compare(score.query(tail, relation, scoring.direction(jnp.int8(0))), head)
        return asked_for_tail, asked_for_head

    triples = vectors(name, 8, (50,), (50,), (50,))
    for got in jax.jit(from_both_sides)(*float32(triples)):
        assert_close(got, SECOND_FORMULAS[name][0](*triples))


# Q, C and D at their least, odd, and beside the widths that the loop over coordinates takes at a time.
SHAPES = [(1, 1, 1), (1, 1, 2), (3, 1, 7), (1, 4, 8), (2, 5, 9), (3, 130, 22)]


@every_score
@pytest.mark.parametrize(('num_queries', 'num_candidates', 'dim'), SHAPES)
def test_compare_all_equals_compare(name, num_queries, num_candidates, dim):
    if is_complex(name):
        dim += dim % 2
    rng = np.random.default_rng(dim)
    queries, candidates = rng.normal(size=(num_queries, dim)), rng.normal(size=(num_candidates, dim))
    # As a target is its own query where the embedding is perfect.
    candidates[0] = queries[0]
    queries, candidates = float32([queries, candidates])
    got, want = jax.jit(lambda q, c: (SCORES[name].compare_all(q, c.T), SCORES[name].compare(q[:, None], c[None, :])))(
        queries, candidates
    )
    assert got.shape == (num_queries, num_candidates)
    assert_close(got, want)


@every_score
def test_compare_chunk_and_its_gradients_are_those_of_compare(name):
    """Of distances of the size that training has: what is left of near ones in a matrix product is rounding."""
    rng = np.random.default_rng(0)
    queries, candidates = (jnp.asarray(rng.normal(size=(n, 12)), jnp.float32) for n in (5, 7))
    cotangent = jnp.asarray(rng.normal(size=(5, 7)), jnp.float32)

    def chunk(q, c):
        return SCORES[name].compare_chunk(q, c.T, jax.lax.Precision.HIGHEST)

    def compare(q, c):
        return SCORES[name].compare(q[:, None], c[None, :])

    got, want = ((value, *vjp(cotangent)) for value, vjp in (jax.vjp(f, queries, candidates) for f in (chunk, compare)))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


@every_score
def test_the_gradient_of_compare_chunk_stays_in_bounds_near_zero(name):
    """That of a distance is 1 long at most for L2, and 1 a coordinate for L1, however near the vectors are."""
    far = np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)
    for distance in (0, 1e-8, 1e-6, 1e-4, 1e-2):
        near = far + np.float32(distance)

        def total(queries, near=near):
            return jnp.sum(jnp.diag(SCORES[name].compare_chunk(queries, near.T, jax.lax.Precision.HIGHEST)))

        gradient = jax.grad(total)(jnp.asarray(far))
        if name.startswith('transe_l2'):
            assert np.all(np.linalg.norm(gradient, axis=1) < 1.6), distance
        else:
            assert np.all(np.abs(gradient) <= 1 + np.abs(far).max())


@every_score
def test_gradients_are_finite_where_norms_vanish(name):
    """At h + r == t and at vectors of zeros, which a missing feature row is."""
    dim, width = 6, SCORES[name].relation_width(6)
    rng = np.random.default_rng(0)
    head, relation, zeros = rng.normal(size=dim), rng.normal(size=width), np.zeros(dim)
    perfect = np.asarray(SCORES[name].query(*float32([head, relation]), jnp.float32(1)))
    cases = [(head, relation, perfect), (zeros, relation, zeros), (zeros, np.zeros(width), zeros)]
    batch = float32([np.stack(column) for column in zip(*cases, strict=True)])
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(SCORES[name].score, argnums=(0, 1, 2))))(*batch)
    assert np.all(np.isfinite(values))
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_unit():
    rows = np.random.default_rng(0).normal(size=(2, 3, 4))
    rows[0, 1] = 0
    rows[1, 2] *= 1e-9
    got = np.asarray(jax.jit(scoring.unit)(jnp.asarray(rows, jnp.float32)))
    want = rows / np.where(np.any(rows, -1, keepdims=True), np.linalg.norm(rows, axis=-1, keepdims=True), 1)
    assert_close(got, want)
    assert not np.any(got[0, 1])


@pytest.mark.parametrize('name', SCORES)
def test_the_gradient_of_compare_all_is_that_of_compare(name):
    """A width that is no multiple of what a step of the loop takes; with a pair of equal vectors."""
    rng = np.random.default_rng(1)
    queries, candidates, weights = (rng.normal(size=shape).astype(np.float32) for shape in ((5, 6), (7, 6), (5, 7)))
    candidates[2] = queries[3]

    def gradient(scores):
        return jax.jit(jax.grad(lambda q, c: jnp.sum(weights * scores(q, c)), argnums=(0, 1)))(queries, candidates)

    got = gradient(lambda q, c: SCORES[name].compare_all(q, c.T))
    want = gradient(lambda q, c: SCORES[name].compare(q[:, None], c[None]))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_unit_has_gradient_zero_at_zero_and_is_tangent_elsewhere():
    rows = np.random.default_rng(0).normal(size=(3, 4))
    rows[1] = 0
    toward = jnp.arange(4.0)
    gradient = np.asarray(
        jax.jit(jax.grad(lambda x: jnp.sum(scoring.unit(x) @ toward)))(jnp.asarray(rows, jnp.float32))
    )
    assert not np.any(gradient[1])
    assert_close(np.sum(gradient * rows, axis=-1), np.zeros(3))
    assert np.all(np.any(gradient[[0, 2]], axis=-1))


def test_distance_has_gradient_zero_at_zero():
    for name in ('transe_l2', 'rotate'):
        gradient = jax.jit(jax.grad(SCORES[name].compare))(np.ones(4, np.float32), np.ones(4, np.float32))
        assert not np.any(gradient), name


def test_direction():
    assert scoring.direction(jnp.array([0, 1], jnp.int8)).tolist() == [-1, 1]


def test_transe_knows_two_norms():
    with pytest.raises(ValueError, match='norm.*3'):
        scoring.transe(*float32(vectors('transe_l1', 4, (), (), ())), norm=3)


@pytest.mark.parametrize('function', [scoring.complex, scoring.rotate])
def test_complex_numbers_need_an_even_width(function):
    with pytest.raises(ValueError):
        function(jnp.ones(5), jnp.ones(5), jnp.ones(5))
