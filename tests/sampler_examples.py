"""A text for every name that `config.sampler` may hold, with every option that the name has."""

LEAVES = {
    'uniform': 'uniform(num_negatives=3)',
    'bernoulli': 'bernoulli(num_negatives=3)',
    'nscaching': 'nscaching(num_negatives=3, cache_size=5, candidates=4)',
    'mmrns': 'mmrns(num_negatives=3, candidates=30, temperature=5, learning_rate=0.01)',
    'kbgan': "kbgan(num_negatives=3, generator='complex', candidates=5, learning_rate=0.01)",
}
"""Samplers that wrap no other."""

WRAPPERS = {
    'mans_v': 'mans_v(bernoulli)',
    'mans_t': 'mans_t(bernoulli, share=0.5)',
    'mans_h': 'mans_h(bernoulli, share=0.5)',
    'mans_a': "mans_a(bernoulli, marks='per_sample', where_cross_is_closer=False)",
}

EXAMPLES = {**LEAVES, **WRAPPERS}
