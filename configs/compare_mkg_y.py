"""The strategies of MANS on MKG-Y, with whatever features are at hand.

    python -m mans_jax.compare --config=configs/compare_mkg_y.py --config.data=FOLDER \\
        --config.features.text=FILE.npy --workdir=runs/compare_mkg_y

The recipe is that of configs/mkg_y.py.
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
        data='data/mkg-y',
        features={'visual': '', 'text': '', 'numeric': ''},
        margin=12.0,
        batch_size=53,
        evaluate_every=25,
    )
