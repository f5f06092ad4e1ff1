"""Every negative sampler that needs no file of its own, on DB15K in the split published with the MANS paper.

    python -m mans_jax.compare --config=configs/compare_db15k.py --config.data=FOLDER \\
        --config.features.text=FILE.npy --workdir=runs/compare_db15k

The recipe is that of configs/db15k.py, with fewer epochs than the paper's 1000 (--config.budget='1000 epochs').
"""

from mans_jax.comparison.grid import comparison_config


def get_config():
    """The grid: the strategies of MANS, and the samplers that they are compared with."""
    return comparison_config(
        samplers=(
            'normal: bernoulli',
            'uniform',
            'mans_v: mans_v(bernoulli)',
            'mans_t: mans_t(bernoulli, share=0.3)',
            'mans_h: mans_h(bernoulli, share=0.3)',
            'mans_a count: mans_a(bernoulli)',
            "mans_a per sample: mans_a(bernoulli, marks='per_sample')",
            'relation_typed',
            'degree_weighted',
            'in_batch',
            'shared_pool',
            'nscaching',
            'mans_a(nscaching)',
            'kbgan',
            'sans',
            'eans',
            'mmrns',
            'dhns(bernoulli)',
        ),
        baseline='normal',
        budget='150 epochs',
        data='data/db15k',
        features={'visual': '', 'text': '', 'numeric': ''},
        margin=12.0,
        batch_size=181,
        evaluate_every=25,
    )
