"""The strategies of MANS on FB15K-237.

    python -m mans_jax.compare --config=configs/compare_fb15k_237.py --config.data=FOLDER \\
        --config.features.text=FILE.npy --workdir=runs/compare_fb15k_237

The recipe is that of configs/fb15k_237.py. Neither time nor score is measured yet.
"""

from mans_jax.comparison.grid import comparison_config


def get_config():
    """The grid: every strategy of MANS over Bernoulli sampling."""
    return comparison_config(
        samplers=(
            'normal: bernoulli',
            'mans_v: mans_v(bernoulli)',
            'mans_t: mans_t(bernoulli, share=0.3)',
            'mans_h: mans_h(bernoulli, share=0.3)',
            'mans_a count: mans_a(bernoulli)',
            "mans_a per sample: mans_a(bernoulli, marks='per_sample')",
        ),
        baseline='normal',
        budget='150 epochs',
        data='data/fb15k-237',
        features={'visual': '', 'text': '', 'numeric': ''},
        margin=6.0,
        batch_size=680,
        evaluate_every=25,
    )
