"""A ranking of a test split that is timed."""

import time

import jax
import numpy as np

from mans_jax.graph import KnownTriples
from mans_jax.models import frozen_variables, init_params, model_for
from mans_jax.ranking import block_sizes, pack
from mans_jax.scoring import SCORES
from mans_jax.tasks.link_prediction import predict_links
from mans_jax.tasks.link_prediction_by_blocks import candidates_at_once


class Ranking:
    """The filtered link prediction of a graph's test split, on both sides, with parameters that are not trained."""

    def __init__(self, graph, config):
        """Compiles it and ranks once."""
        model = model_for(graph, SCORES[config.score], dim=config.dim, normalize=config.normalize)
        params, frozen = init_params(model, jax.random.key(config.seed)), frozen_variables(graph)
        triples = np.concatenate([graph.train, graph.valid, graph.test])
        known = KnownTriples.build(triples, num_entities=graph.num_entities, num_relations=graph.num_relations)
        self._rank = lambda: predict_links(model, params, frozen, graph, graph.test, known)
        self._graph, self._config, self._room = graph, config, candidates_at_once(model)
        self.run()

    def run(self):
        """Seconds of all, by the clock and of processor time."""
        start, used = time.perf_counter(), time.process_time()
        self._rank()
        return time.perf_counter() - start, time.process_time() - used

    def counted(self):
        """Its operations and bytes, as they follow from the sizes.

        A pair of modalities takes two operations a coordinate where the score is an inner product, else three: a
        difference, its absolute value and a sum. A block of queries reads all embedded entities, writes the scores, and
        reads those of its query once for each target.
        """
        blocks, _ = pack(self._graph.test, *block_sizes(self._room))
        (num_blocks, num_queries), num_targets = blocks.queries.kept.shape, blocks.target.shape[1]
        num_entities, width = self._graph.num_entities, len(self._graph.modalities) * self._config.dim
        each = 2 if self._config.score in ('distmult', 'complex') else 3
        operations = each * num_queries * num_entities * width * len(self._graph.modalities)
        bytes_moved = 4 * num_entities * (width + num_queries + num_targets)
        # Where not all are candidates at once, they are gone through twice.
        looks = num_blocks * (1 if self._room == num_entities else 2)
        return looks * operations, looks * bytes_moved
