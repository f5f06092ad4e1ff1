"""Sets of entities as bits, against plain lists of their members."""

import jax
import numpy as np
import pytest

from mans_jax.sampling.bit_rows import WORD, BitRows


@pytest.mark.parametrize('num_entities', [3, 32, 100, 70_000])
def test_members_stand_in_order_and_are_located(num_entities):
    rng = np.random.default_rng(num_entities)
    dense = rng.random((6, num_entities)) < np.array([[0], [0.02], [0.3], [0.6], [0.97], [1]])
    words = np.zeros((6, -(-num_entities // WORD) * WORD), np.uint8)
    words[:, :num_entities] = dense
    rows = BitRows.build(np.packbits(words, axis=1, bitorder='little').view('<u4'))
    assert rows.before.dtype == (np.uint32 if num_entities > 65_535 else np.uint16)
    members = [np.flatnonzero(row) for row in dense]
    np.testing.assert_array_equal(rows.size(np.arange(6)), [len(found) for found in members])
    group = np.concatenate([np.full(len(found), g) for g, found in enumerate(members)])
    index = np.concatenate([np.arange(len(found)) for found in members])
    np.testing.assert_array_equal(jax.jit(rows.at)(group, index), np.concatenate(members))
    group, entity = (x.ravel() for x in np.meshgrid(np.arange(6), np.arange(num_entities), indexing='ij'))
    below, is_member = rows.locate(group, entity)
    np.testing.assert_array_equal(is_member, dense.ravel())
    np.testing.assert_array_equal(below, (np.cumsum(dense, axis=1) - dense).ravel())
