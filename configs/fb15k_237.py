"""MANS on FB15K-237, the split of FB15K without inverse relations.

The settings of the MANS paper for FB15K, with 400 batches an epoch.

    python -m mans_jax.train --config=configs/fb15k_237.py:mans_a --config.data=FOLDER \\
        --config.features.text=FILE.npy --workdir=runs/fb15k_237

Neither time nor score is measured yet.
"""

from mans_jax.config import default_config


def get_config(strategy: str = 'normal'):
    """The recipe; `strategy` is normal, mans_v, mans_t, mans_h or mans_a."""
    return default_config(
        strategy=strategy,
        data='data/fb15k-237',
        features={'visual': '', 'text': '', 'numeric': ''},
        margin=6.0,
        batch_size=680,
        num_epochs=1000,
    )
