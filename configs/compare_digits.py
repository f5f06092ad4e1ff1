"""The samplers of MANS on the embedded graph: which of them links the modalities best?

python -m mans_jax.compare --config=configs/compare_digits.py --workdir=runs/compare_digits
"""

from mans_jax.comparison.grid import comparison_config


def get_config():
    """The grid: every strategy of MANS over Bernoulli sampling, and structure alone."""
    return comparison_config(
        samplers=(
            'structure alone: bernoulli; features=',
            'normal: bernoulli',
            'mans_v: mans_v(bernoulli)',
            'mans_t: mans_t(bernoulli)',
            'mans_h: mans_h(bernoulli)',
            'mans_a: mans_a(bernoulli)',
        ),
        baseline='normal',
        seeds=(0, 1, 2, 3, 4),
        budget='100 epochs',
        data='digits',
        features={'pixels': 'embedded'},
        dim=32,
        num_negatives=8,
        margin=4.0,
        learning_rate=0.01,
        batch_size=64,
        evaluate_every=10,
        checkpoint_every=10,
    )
