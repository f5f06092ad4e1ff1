"""The embedded graph."""

import numpy as np
from sklearn.datasets import load_digits

from mans_jax.data import digits, load_graph

DEPICTS, SAME_DIGIT, SUCCESSOR, DOUBLE = range(4)


def test_every_call_gives_the_same_graph():
    assert digits.load().checksum() == digits.load().checksum()


def test_every_image_depicts_its_number_in_exactly_one_split():
    graph = digits.load()
    depicts = np.concatenate([graph.train[graph.train[:, 1] == DEPICTS], graph.valid, graph.test])
    np.testing.assert_array_equal(np.sort(depicts[:, 0]), np.arange(10, 1807))
    np.testing.assert_array_equal(depicts[np.argsort(depicts[:, 0]), 2], load_digits().target)


def test_splits_are_60_10_30():
    graph = digits.load()
    assert [(split[:, 1] == DEPICTS).sum() for split in (graph.train, graph.valid, graph.test)] == [1078, 179, 540]


def test_a_held_out_image_has_nothing_but_pixels():
    graph, _ = load_graph('digits', {'pixels': 'embedded'})
    held_out = np.concatenate([graph.valid[:, 0], graph.test[:, 0]])
    assert not np.isin(held_out, graph.train[:, [0, 2]]).any()
    np.testing.assert_array_equal(graph.present[held_out], np.tile([False, True], (len(held_out), 1)))
    # Numbers have structure alone, train images both.
    np.testing.assert_array_equal(graph.present[:10], np.tile([True, False], (10, 1)))
    train_images = np.setdiff1d(np.arange(10, 1807), held_out)
    assert graph.present[train_images].all()


def test_relations_tell_the_truth():
    graph = digits.load()
    target = np.append(np.full(10, -1), load_digits().target)
    for head, relation, tail in graph.train:
        if relation == SAME_DIGIT:
            assert head >= 10 and tail >= 10 and target[head] == target[tail]
        elif relation == SUCCESSOR:
            assert tail == (head + 1) % 10
        elif relation == DOUBLE:
            assert tail == 2 * head % 10


def test_without_its_feature_only_structure_is_left():
    graph, _ = load_graph('digits')
    assert graph.modalities == ('structure',)
    assert graph.present.all()
