"""A text for every name that `config.sampler` may hold, with every option that the name has."""

LEAVES = {
    'uniform': 'uniform(num_negatives=3)',
    'bernoulli': 'bernoulli(num_negatives=3)',
    'relation_typed': "relation_typed(num_negatives=3, sides='uniform')",
    'degree_weighted': "degree_weighted(num_negatives=3, sides='uniform', exponent=0.5)",
}
"""Samplers that wrap no other."""

WRAPPERS = {
    'mans_v': 'mans_v(bernoulli)',
    'mans_t': 'mans_t(bernoulli, share=0.5)',
    'mans_h': 'mans_h(bernoulli, share=0.5)',
    'mans_a': "mans_a(bernoulli, marks='per_sample', where_cross_is_closer=False)",
}

EXAMPLES = {**LEAVES, **WRAPPERS}
