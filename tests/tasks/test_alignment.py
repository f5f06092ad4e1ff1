"""Alignment of modalities: against brute force, and where the answer is known."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mans_jax.errors import NotServable
from mans_jax.graph import STRUCTURE
from mans_jax.tasks.alignment import alignment, find_own
from tests.exact import exact_world

N, D = 300, 4


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_equals_brute_force_over_more_rows_than_a_block_has(seed):
    """Axes as vectors: cosines are -1, 0 and 1, with many ties."""
    rng = np.random.default_rng(seed)
    a, b = (np.eye(D)[rng.integers(0, D, N)] * rng.choice([-1, 1], (N, 1)) for _ in range(2))
    better, tied, exponentials = find_own(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32))
    cosine = a @ b.T
    own = np.diagonal(cosine)[:, None]
    np.testing.assert_array_equal(better, np.sum(cosine > own, axis=1))
    np.testing.assert_array_equal(tied, np.sum(cosine == own, axis=1) - 1)
    squared = np.sum((a[:, None] - a[None]) ** 2, axis=-1)
    np.testing.assert_allclose(exponentials, np.exp(-2 * squared).sum(axis=1) - 1, rtol=1e-5)


def test_counts_only_entities_that_have_both_and_goes_both_ways():
    world = exact_world(0)
    found = alignment(world.model, world.variables, world.graph)
    names = world.graph.modalities
    assert set(found) == {f'{a} -> {b}' for a in names for b in names if a != b} and names[0] == STRUCTURE
    for a, of_a in enumerate(names):
        for b, of_b in enumerate(names):
            if a != b:
                both = world.graph.present[:, a] & world.graph.present[:, b]
                assert found[f'{of_a} -> {of_b}']['entities'] == both.sum()
                assert found[f'{of_a} -> {of_b}']['alignment'] == pytest.approx(found[f'{of_b} -> {of_a}']['alignment'])


def test_views_that_are_the_same_are_aligned_and_find_each_other(monkeypatch):
    world = exact_world(1)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(world.graph.entities), 1, D)).repeat(3, axis=1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    monkeypatch.setattr('mans_jax.tasks.alignment._unit_vectors', lambda *_: vectors.astype(np.float32))
    found = alignment(world.model, world.variables, world.graph)['image -> text']
    assert (found['recall_at_1'], found['mrr'], found['alignment']) == (1, 1, 0)
    assert found['chance_at_1'] == 1 / found['entities']
    assert found['uniformity'] < 0


def test_one_point_has_uniformity_zero_and_a_mean_rank_in_the_middle(monkeypatch):
    world = exact_world(1)
    point = np.broadcast_to(np.eye(D, dtype=np.float32)[0], (len(world.graph.entities), 3, D))
    monkeypatch.setattr('mans_jax.tasks.alignment._unit_vectors', lambda *_: point)
    found = alignment(world.model, world.variables, world.graph)['image -> text']
    assert found['uniformity'] == pytest.approx(0, abs=1e-6)
    assert found['mrr'] == pytest.approx(2 / (found['entities'] + 1))


def test_fewer_than_two_entities_are_no_comparison_and_structure_alone_is_not_served():
    world = exact_world(2)
    present = world.graph.present.copy()
    present[1:, 1] = False
    graph = dataclasses.replace(world.graph, present=present)
    assert alignment(world.model, world.variables, graph)['image -> text'] is None
    plain = dataclasses.replace(world.graph, features={}, present=present[:, :1])
    with pytest.raises(NotServable, match='^exact is read without any modality beside structure'):
        alignment(world.model, world.variables, plain)
