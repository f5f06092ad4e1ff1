"""A text for every name that `config.sampler` may hold, with every option that the name has."""

import json
from pathlib import Path

import numpy as np
import safetensors.numpy

from mans_jax.graph import KnowledgeGraph

LEAVES = {
    'uniform': 'uniform(num_negatives=3)',
    'bernoulli': 'bernoulli(num_negatives=3)',
    'relation_typed': "relation_typed(num_negatives=3, sides='uniform')",
    'degree_weighted': "degree_weighted(num_negatives=3, sides='uniform', exponent=0.5)",
    'sans': "sans(num_negatives=3, sides='uniform', variant='random_walk', hops=2, walks=20)",
    'cans': "cans(num_negatives=3, sides='uniform', concepts='concepts.tsv')",
    'in_batch': "in_batch(num_negatives=3, sides='uniform')",
    'shared_pool': "shared_pool(num_negatives=3, pool=8, sides='uniform')",
    'chunk_pool': "chunk_pool(num_negatives=3, chunk=0, sides='uniform')",
    'nscaching': "nscaching(num_negatives=3, cache_size=5, candidates=4, sides='uniform')",
    'mmrns': 'mmrns(num_negatives=3, candidates=30, temperature=5, learning_rate=0.01)',
    'kbgan': "kbgan(num_negatives=3, generator='complex', pretrained='.', candidates=5, learning_rate=0.1, "
    "sides='uniform')",
    'eans': "eans(num_negatives=3, sides='uniform', every=3, clusters=4, spread=5.0)",
    'from_file': "from_file(num_negatives=3, sides='uniform', negatives='negatives.tsv', keys='id')",
}
"""Samplers that wrap no other."""

WRAPPERS = {
    'mixture': 'mixture(bernoulli, mans_v(in_batch), uniform, share=0.2, share_end=0.8)',
    'concatenate': 'concatenate(bernoulli, mans_v(eans(clusters=4)), in_batch(num_negatives=2))',
    'fallback': 'fallback(mans_h(in_batch), uniform)',
    'mans_v': 'mans_v(bernoulli)',
    'mans_t': 'mans_t(bernoulli, share=0.5)',
    'mans_h': 'mans_h(bernoulli, share=0.5)',
    'mans_a': "mans_a(bernoulli, marks='per_sample', where_cross_is_closer=False)",
    'random_modalities': 'random_modalities(bernoulli, share=0.7)',
    'own_margin': 'own_margin(mans_h(bernoulli))',
    'dhns': 'dhns(bernoulli, steps=20, weight=0.1, learning_rate=0.01)',
}

EXAMPLES = {**LEAVES, **WRAPPERS}


def write_files(folder: Path, graph: KnowledgeGraph) -> None:
    """Writes the files that the texts name, for a graph."""
    concepts = [f'{label}\tconcept {i % 4}\n' for i, label in enumerate(graph.entities)]
    (folder / 'concepts.tsv').write_text(''.join(concepts))
    vectors = {'entities': ('vector_structure', graph.entities), 'relations': ('vector', graph.relations)}
    for file, (name, labels) in vectors.items():
        rows = np.random.default_rng(0).normal(size=(len(labels), 6)).astype(np.float32)
        metadata = {'labels': json.dumps(labels), 'score': 'complex'}
        safetensors.numpy.save_file({name: rows}, folder / f'{file}.safetensors', metadata)
    known = set(map(tuple, graph.train.tolist()))
    lines = []
    # Of every other triple, all tails that may stand in place of its own.
    for head, relation, tail in graph.train[::2].tolist():
        tails = [other for other in range(graph.num_entities) if (head, relation, other) not in known]
        lines.append('\t'.join(map(str, [head, relation, tail, 'tail', *tails])) + '\n')
    (folder / 'negatives.tsv').write_text(''.join(lines))
