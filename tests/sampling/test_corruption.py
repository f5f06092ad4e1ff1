"""What a corruption is and what a view gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.graph import HEAD, TAIL, Triple
from mans_jax.sampling import Corruption, View, stateless

POSITIVES = Triple(*(jnp.array(ids) for ids in ([0, 1], [5, 6], [2, 3])))
CORRUPTION = Corruption(
    entity=jnp.array([[7, 8, 9], [7, 8, 9]]),
    side=jnp.array([[HEAD, TAIL, TAIL], [TAIL, HEAD, TAIL]], jnp.int8),
    replaced=jnp.array([[[True, True], [False, True], [True, False]], [[True, True]] * 3]),
)


def test_apply_puts_the_intruder_on_its_side():
    negatives = jax.jit(Corruption.apply)(CORRUPTION, POSITIVES)
    rows = np.stack([negatives.head, negatives.relation, negatives.tail], axis=-1)
    want = [[[7, 5, 2], [0, 5, 8], [0, 5, 9]], [[1, 6, 7], [8, 6, 3], [1, 6, 9]]]
    np.testing.assert_array_equal(rows, want)


def test_virtual_is_what_leaves_a_modality():
    assert CORRUPTION.virtual().tolist() == [[False, True, True], [False, False, False]]
    normal = CORRUPTION.replace(replaced=jnp.ones((2, 3, 1), bool))
    assert not np.any(normal.virtual())


VIEWS = {
    'progress': lambda view: view.need_progress(),
    'scores_fn': lambda view: view.scores(POSITIVES, CORRUPTION),
    'pair_scores_fn': lambda view: view.pair_scores(POSITIVES, CORRUPTION),
    'entity_vectors_fn': lambda view: view.entity_vectors(POSITIVES.head),
    'relation_vectors_fn': lambda view: view.relation_vectors(POSITIVES.relation),
    'query_vectors_fn': lambda view: view.query_vectors(POSITIVES.head * 0, POSITIVES.tail, POSITIVES.relation),
}

TABLE = jnp.arange(20.0).reshape(10, 2)

FULL = View(
    progress=jnp.float32(0.25),
    parameters={'table': TABLE},
    scores_fn=lambda p, positives, c: jnp.sum(p['table'][c.entity], -1),
    pair_scores_fn=lambda p, positives, c: p['table'][c.entity][..., None] * jnp.ones(2),
    entity_vectors_fn=lambda p, entities: p['table'][entities][..., None, :],
    relation_vectors_fn=lambda p, relations: p['table'][relations],
    query_vectors_fn=lambda p, side, kept, relations: (p['table'][kept] + p['table'][relations])[..., None, :],
)


@pytest.mark.parametrize('name', VIEWS)
def test_view_gives_what_it_has_and_names_what_it_has_not(name):
    ask = jax.jit(VIEWS[name])
    assert np.all(np.isfinite(ask(FULL)))
    with pytest.raises(ValueError, match=rf'looks at {name}, .*View\({name}='):
        ask(FULL.replace(**{name: None}))


@pytest.mark.parametrize('name', [name for name in VIEWS if name != 'progress'])
def test_no_gradient_reaches_the_parameters_of_a_view(name):
    def through_view(table):
        return jnp.sum(VIEWS[name](FULL.replace(parameters={'table': table})))

    value, gradient = jax.jit(jax.value_and_grad(through_view))(TABLE)
    assert value != 0
    assert not np.any(gradient)


def test_view_passes_through_jit_and_vmap_as_a_pytree():
    assert len(jax.tree.leaves(FULL)) == 2
    tables = jnp.stack([TABLE, 2 * TABLE])

    def scores(table):
        return FULL.replace(parameters={'table': table}).scores(POSITIVES, CORRUPTION)

    got = jax.jit(jax.vmap(scores))(tables)
    np.testing.assert_array_equal(got[1], 2 * got[0])


def test_stateless_sampler_hands_its_state_on():
    sampler = stateless(lambda key, positives, view: CORRUPTION)
    assert sampler.init(jax.random.key(0)) == ()
    corruption, state = sampler.sample((), jax.random.key(0), POSITIVES, View())
    assert corruption is CORRUPTION and state == ()
