"""The device index of known triples against sets of tuples, and the graph on the host."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple

E, R = 11, 4


def brute_force_answers(triples):
    answers = {}
    for head, relation, tail in np.asarray(triples).tolist():
        answers.setdefault((HEAD, tail, relation), set()).add(head)
        answers.setdefault((TAIL, head, relation), set()).add(tail)
    return answers


def every_query():
    side, kept, relation = np.meshgrid([HEAD, TAIL], np.arange(E), np.arange(R), indexing='ij')
    return [ids.ravel() for ids in (side, kept, relation)]


find = jax.jit(KnownTriples.find)


GRAPHS = {
    'empty': lambda make_triples: np.zeros((0, 3), np.int32),
    'one triple': lambda make_triples: np.array([[E - 1, R - 1, E - 1]]),
    'sparse': lambda make_triples: make_triples(0, E, R, 15),
    'dense': lambda make_triples: make_triples(1, E, R, 200),
    'one relation, one head': lambda make_triples: np.stack(np.broadcast_arrays(3, 2, np.arange(E)), axis=-1),
    'duplicates': lambda make_triples: np.tile(make_triples(2, E, R, 15), (3, 1)),
}


@pytest.fixture(params=GRAPHS.values(), ids=GRAPHS.keys())
def triples(request, make_triples):
    return request.param(make_triples)


@pytest.fixture
def known(triples):
    return KnownTriples.build(triples, num_entities=E, num_relations=R)


def test_find_gives_the_sorted_answers_of_every_query(triples, known):
    want = brute_force_answers(triples)
    queries = every_query()
    start, count = jax.device_get(find(known, *queries))
    assert start.dtype == count.dtype == np.int32
    answers = np.asarray(known.answers)
    for query, first, number in zip(zip(*(q.tolist() for q in queries), strict=True), start, count, strict=True):
        assert answers[first : first + number].tolist() == sorted(want.get(query, ()))


def test_known_queries_are_numbered_in_the_order_of_their_answers(triples, known):
    want, queries = brute_force_answers(triples), every_query()
    number, is_known = jax.device_get(jax.jit(KnownTriples.find_query)(known, *queries))
    in_order = [query for query in zip(*(q.tolist() for q in queries), strict=True) if query in want]
    assert sorted(in_order) == sorted(want) and is_known.sum() == len(want)
    of_known = dict(zip(in_order, number[is_known].tolist(), strict=True))
    assert [of_known[query] for query in sorted(want)] == list(range(len(want)))


def test_unknown_lists_every_non_answer_in_order(triples, known):
    want = brute_force_answers(triples)
    queries = every_query()
    start, count = jax.device_get(find(known, *queries))
    listed = jax.jit(KnownTriples.unknown)(known, start[:, None], count[:, None], np.arange(E)[None, :])
    for row, number, query in zip(
        np.asarray(listed), count, zip(*(q.tolist() for q in queries), strict=True), strict=True
    ):
        assert row[: E - number].tolist() == [e for e in range(E) if e not in want.get(query, ())]


def test_contains_tells_every_triple(triples, known):
    everything = np.stack(np.meshgrid(*map(np.arange, (E, R, E)), indexing='ij'), axis=-1).reshape(-1, 3)
    contained = jax.jit(KnownTriples.contains)(known, Triple.from_rows(jnp.asarray(everything)))
    assert {tuple(row) for row in everything[np.asarray(contained)].tolist()} == {
        tuple(row) for row in triples.tolist()
    }


def test_answers_among_some_entities(triples, known):
    want, queries = brute_force_answers(triples), every_query()
    entities = jnp.asarray(np.random.default_rng(0).permutation(E)[: E - 3])
    among = jax.jit(lambda known, *query: known.answers_among(*known.find(*query), entities))(known, *queries)
    for row, query in zip(np.asarray(among), zip(*(q.tolist() for q in queries), strict=True), strict=True):
        assert row.tolist() == [e in want.get(query, ()) for e in entities.tolist()]


def test_answers_of_more_than_one_step_of_the_walk_are_all_found():
    rows = np.array([(head, 0, tail) for head in range(40) for tail in range(60) if (head + tail) % 7])
    known = KnownTriples.build(rows, num_entities=60)
    among = known.answers_among(*known.find(TAIL, jnp.arange(40), 0), jnp.arange(60))
    want = (np.arange(40)[:, None] + np.arange(60)) % 7 > 0
    assert want.sum() > 2 * 1000
    np.testing.assert_array_equal(among, want)


def test_find_under_vmap_and_broadcasting(make_triples):
    known = KnownTriples.build(make_triples(0, E, R, 30), num_entities=E, num_relations=R)
    entities, relations = np.arange(E), np.arange(R)
    want = jax.device_get(find(known, TAIL, entities[:, None], relations))
    one_by_one = jax.jit(jax.vmap(jax.vmap(known.find, (None, None, 0)), (None, 0, None)))(TAIL, entities, relations)
    assert want[0].shape == (E, R)
    # The start of a query without an answer means nothing.
    for a, b in zip(want, one_by_one, strict=True):
        np.testing.assert_array_equal(np.where(want[1] > 0, a, 0), np.where(want[1] > 0, b, 0))


def test_side_may_be_as_narrow_as_a_corruption_has_it():
    num_entities = 300
    known = KnownTriples.build([[299, 0, 298]], num_entities=num_entities)
    side = jnp.array([HEAD, TAIL], jnp.int8)
    start, count = jax.device_get(find(known, side, np.array([298, 299]), np.array([0, 0])))
    assert (count.tolist(), np.asarray(known.answers)[start].tolist()) == ([1, 1], [299, 298])


def test_build_takes_rows_or_a_triple_and_counts_relations(make_triples):
    rows = make_triples(3, E, R, 20)
    from_rows = KnownTriples.build(rows, num_entities=E)
    from_triple = KnownTriples.build(Triple.from_rows(jnp.asarray(rows)), num_entities=E, num_relations=R)
    assert from_rows.num_relations == R
    assert jax.tree.all(jax.tree.map(np.array_equal, from_rows, from_triple))


@pytest.mark.parametrize(
    ('triple', 'message'),
    [
        ((0, 0, E), rf'entity id {E} is not in \[0, {E}\)'),
        ((-1, 0, 1), 'entity id -1'),
        ((0, R, 1), rf'relation id {R} is not in \[0, {R}\)'),
        ((0, -2, 1), 'relation id -2'),
    ],
)
def test_ids_out_of_range_are_refused(triple, message):
    with pytest.raises(ValueError, match=message):
        KnownTriples.build([(0, 0, 1), triple], num_entities=E, num_relations=R)


def test_index_passes_through_jit_as_a_pytree(make_triples):
    known = KnownTriples.build(make_triples(4, E, R, 20), num_entities=E, num_relations=R)
    same = jax.jit(lambda index: index)(known)
    assert jax.tree.structure(same) == jax.tree.structure(known)
    assert all(leaf.dtype == jnp.int32 for leaf in jax.tree.leaves(same))


def test_checksum_tells_every_part_apart(make_graph):
    graph = make_graph(0)
    assert make_graph(0).checksum() == graph.checksum()
    image = graph.features['image'].copy()
    image[-1, -1] += 1e-6
    changes = {
        'entities': (*graph.entities[:-1], 'another'),
        'relations': (*graph.relations[:-1], 'another'),
        'train': graph.train[::-1],
        'valid': graph.valid[:-1],
        'test': graph.test + 1,
        'features': {**graph.features, 'image': image},
        'present': ~graph.present,
    }
    sums = [dataclasses.replace(graph, **{field: value}).checksum() for field, value in changes.items()]
    renamed = {'picture': graph.features['image'], 'text': graph.features['text']}
    sums.append(dataclasses.replace(graph, features=renamed).checksum())
    assert len({graph.checksum(), *sums}) == 1 + len(sums)


def test_graph_says_what_it_holds(make_graph):
    graph = make_graph(0, num_entities=20, num_relations=3)
    assert (graph.num_entities, graph.num_relations) == (20, 3)
    assert graph.modalities == ('structure', 'image', 'text')
    assert graph.describe(np.array([4, 1, 7])) == '(entity 4, relation 1, entity 7)'
    for split in ('train', 'valid', 'test'):
        assert graph.split(split) is getattr(graph, split)
