"""Sums of squares over all triples in closed form, against loops over all triples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.non_sampling import SQUARE_FORMS, form_of, moments
from mans_jax.scoring import SCORES

H, R, T, D = 5, 3, 4, 6


def by_distance(head, relation, tail):
    return 3 - np.sum((head + relation - tail) ** 2)


def by_product(head, relation, tail):
    return np.sum(head * relation * tail)


def by_complex_product(head, relation, tail):
    h, r, t = (v[: D // 2] + 1j * v[D // 2 :] for v in (head, relation, tail))
    return np.sum((h * r * np.conj(t)).real)


LOOPS = {'transe_l2': by_distance, 'distmult': by_product, 'complex': by_complex_product}


@pytest.fixture(scope='module')
def vectors():
    """Unit vectors of heads, relations and tails, three different sets, and weights of heads and of tails."""
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(n, D)) for n in (H, R, T)]
    return [x / np.linalg.norm(x, axis=1, keepdims=True) for x in sets], rng.random(H), rng.random(T)


@pytest.mark.parametrize('name', LOOPS)
def test_a_score_is_that_of_a_loop(name, vectors):
    (heads, relations, tails), _, _ = vectors
    form = form_of(SCORES[name])
    spread = form.spread(*(jnp.float32(x) for x in (heads[:3], relations, tails[:3])))
    want = [LOOPS[name](heads[i], relations[i], tails[i]) for i in range(3)]
    np.testing.assert_allclose(form.score(*spread), want, rtol=1e-4, atol=1e-5)
    # What ranks high in the model is near to what facts should have.
    of_model = SCORES[name].score(*(jnp.float32(x) for x in (heads[:3], relations, tails[:3])))
    assert np.array_equal(np.argsort(of_model), np.argsort(want))


@pytest.mark.parametrize('name', LOOPS)
@pytest.mark.parametrize('weighted', [False, True])
def test_a_sum_of_squares_is_that_of_loops_over_all_triples(name, vectors, weighted):
    (heads, relations, tails), of_heads, of_tails = vectors
    if not weighted:
        of_heads, of_tails = np.ones(H), np.ones(T)
    form = SQUARE_FORMS[name]
    a, b, c = form.spread(*(jnp.float32(x) for x in (heads, relations, tails)))
    weights = [jnp.float32(w) if weighted else None for w in (of_heads, of_tails)]
    got = form.sum_of_squares(moments(a, weights[0]), moments(b), moments(c, weights[1]))
    want = sum(
        of_heads[h] * of_tails[t] * LOOPS[name](heads[h], relations[r], tails[t]) ** 2
        for h, r, t in np.ndindex(H, R, T)
    )
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_without_the_two_terms_that_cancel_for_equal_sets_a_sum_would_be_another(vectors):
    (heads, relations, tails), _, _ = vectors
    h, r, t = (np.sum(x, axis=0) for x in (heads, relations, tails))
    left_out = 8 * (h @ (tails.T @ tails) @ r - t @ (heads.T @ heads) @ r)
    of_all = sum(by_distance(heads[i], relations[j], tails[k]) ** 2 for i, j, k in np.ndindex(H, R, T))
    # The closed form is equal to within 1e-4 of it, see above.
    assert abs(left_out) > 0.01 * of_all


def test_moments_are_those_of_numpy(vectors):
    (heads, _, _), weight, _ = vectors
    got = jax.jit(moments)(jnp.float32(heads), jnp.float32(weight))
    want = weight.sum(), weight @ heads, np.einsum('n,ni,nj->ij', weight, heads, heads)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_score_without_a_form_is_refused():
    with pytest.raises(KeyError):
        form_of(SCORES['rotate'])
