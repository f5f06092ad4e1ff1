"""The streamed top k against a stable sort of all scores."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mans_jax.candidates import Candidates
from mans_jax.graph import HEAD, TAIL, KnownTriples
from mans_jax.models import FROZEN, PARAMS, frozen_variables, init_params, model_for
from mans_jax.prediction.embedded import Embedded, embed_relations
from mans_jax.prediction.top_k import top_answers
from mans_jax.ranking import Queries
from mans_jax.scoring import SCORES

E, R, Q, C = 23, 3, 8, 4
KNOWN_TRIPLES = 150


@pytest.fixture(scope='module')
def made(make_graph):
    """seed -> a model, what `top_answers` takes, with small exact numbers, and the known triples as a set."""
    graph = make_graph(0, num_entities=E, num_relations=R, number=KNOWN_TRIPLES - 74)
    model = model_for(graph, SCORES['transe_l1'], dim=4, normalize=False)

    def make(seed):
        rng = np.random.default_rng(seed)
        params, frozen = init_params(model, jax.random.key(seed)), frozen_variables(graph)
        # Halves: sums are exact, so that many scores are tied whatever the order they are added up in.
        params = jax.tree.map(lambda x: jnp.asarray(rng.integers(-2, 3, x.shape) / 2, jnp.float32), params)
        frozen['features'] = jax.tree.map(jnp.round, frozen['features'])
        frozen['present'] = jnp.asarray(np.where(rng.random((E, 3)) < 0.6, True, [True, False, False]))
        variables = {PARAMS: params, FROZEN: frozen}
        candidates = model.apply(variables, method=model.candidates)
        columns, present = (np.moveaxis(np.asarray(x[0]), -1, 0)[: -(-E // C) * C] for x in candidates)
        blocks = type(candidates)(
            jnp.moveaxis(jnp.asarray(columns).reshape(-1, C, *columns.shape[1:]), 1, -1),
            jnp.moveaxis(jnp.asarray(present).reshape(-1, C, *present.shape[1:]), 1, -1),
        )
        rows = rng.integers(0, [E, R, E], (KNOWN_TRIPLES, 3))
        rows[:E] = np.stack([np.full(E, rows[0, 0]), np.full(E, rows[0, 1]), np.arange(E)], axis=1)
        known = KnownTriples.build(rows, num_entities=E, num_relations=R)
        # Bounds of loops, which would else make a program for every seed.
        known = dataclasses.replace(known, max_queries=R, max_answers=E)
        known = jax.tree.map(lambda x, size: jnp.pad(x, (0, size - len(x)), mode='edge'), known, sizes_of(known))
        queries = Queries(*(rng.integers(0, bound, Q).astype(np.int32) for bound in (2, E, R)))
        for ids, first in zip(queries, (TAIL, rows[0, 0], rows[0, 1]), strict=True):
            ids[0] = first
        embedded = Embedded(blocks, embed_relations(model, variables))
        return model, variables, candidates, embedded, known, queries, {tuple(row) for row in rows.tolist()}

    return make


def sizes_of(known):
    """Sizes that hold any index of so many triples."""
    most = 2 * KNOWN_TRIPLES + 2
    return dataclasses.replace(
        known,
        query_start=2 * E + 1,
        query_relation=most,
        answer_start=most,
        answers=most,
        unknown_below=most,
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), k=st.sampled_from([1, 3, 7, 13, E]), novel=st.booleans())
def test_equals_a_stable_sort_of_all_scores(made, seed, k, novel):
    """With ties, absent modalities, blocks that k exceeds, and a query that every entity is known to answer."""
    model, variables, candidates, embedded, known, queries, rows = made(seed)
    top = jax.device_get(top_answers(model.score, embedded, queries, k, known, novel))
    assert top.bad_query == -1
    scores = np.array(ALL_SCORES(model, variables, queries, candidates))
    for q, (side, kept, relation) in enumerate(zip(*(ids.tolist() for ids in queries), strict=True)):
        answers = [(e, relation, kept) if side == HEAD else (kept, relation, e) for e in range(E)]
        left = [e for e in range(E) if not (novel and answers[e] in rows)]
        want = sorted(left, key=lambda e: (-scores[q, e], e))[:k]
        assert top.entity[q].tolist() == want + [E] * (k - len(want))
        assert top.score[q].tolist() == scores[q, want].tolist() + [-np.inf] * (k - len(want))
    assert not novel or top.entity[0].tolist() == [E] * k


ALL_SCORES = jax.jit(
    lambda model, variables, queries, candidates: model.apply(
        variables, queries, candidates, method=model.score_candidates
    ),
    static_argnums=0,
)


def test_examples_have_ties(made):
    model, variables, candidates, _, _, queries, _ = made(0)
    scores = np.array(ALL_SCORES(model, variables, queries, candidates))
    assert all(len(set(row)) < E for row in scores.tolist())


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_reported(made, value):
    model, _, _, embedded, known, queries, _ = made(1)
    columns = np.array(embedded.entities.columns)
    block, column = divmod(E - 1, C)
    columns[block, 0, :, column] = value
    entities = Candidates(jnp.asarray(columns), jnp.ones_like(embedded.entities.present))
    queries = queries._replace(kept=np.minimum(queries.kept, E - 2))
    top = jax.device_get(top_answers(model.score, Embedded(entities, embedded.relations), queries, 3, known, False))
    assert top.bad_query >= 0 and top.bad_entity == E - 1


def test_memory_does_not_grow_with_the_number_of_entities_times_queries(made):
    """What the compiled program needs besides its arguments, for 64 times as many blocks."""
    model, _, _, embedded, known, queries, _ = made(2)
    sizes = []
    for times in (1, 64):
        many = jax.tree.map(lambda x, times=times: jnp.concatenate([x] * times), embedded.entities)
        larger = dataclasses.replace(known, num_entities=E * times)
        lowered = top_answers.lower(model.score, Embedded(many, embedded.relations), queries, 3, larger, False)
        sizes.append(lowered.compile().memory_analysis().temp_size_in_bytes)
    scores = E * 64 * Q * 4
    assert sizes[1] - sizes[0] < scores / 2, sizes
