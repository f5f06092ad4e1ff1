"""MANS on MKG-Y, a sparse graph over YAGO.

The settings of the MANS paper for DB15K, with 400 batches an epoch.

    python -m mans_jax.train --config=configs/mkg_y.py:mans_a --config.data=FOLDER --config.features.text=FILE.npy \\
        --workdir=runs/mkg_y

Neither time nor score is measured yet.
"""

from mans_jax.config import default_config


def get_config(strategy: str = 'normal'):
    """The recipe; `strategy` is normal, mans_v, mans_t, mans_h or mans_a."""
    return default_config(
        strategy=strategy,
        data='data/mkg-y',
        features={'visual': '', 'text': '', 'numeric': ''},
        margin=12.0,
        batch_size=53,
        num_epochs=1000,
    )
