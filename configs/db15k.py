"""MANS on DB15K, in the split published with the paper.

The settings of the MANS paper (arXiv 2304.11618): D=128, Adam with learning rate 1, one negative a triple, 400 batches
an epoch. The visual features that the paper used are not redistributable; give any matrix with one row an entity id.

    python -m mans_jax.train --config=configs/db15k.py:mans_a --config.data=FOLDER --config.features.text=FILE.npy \\
        --workdir=runs/db15k

On 2 cores 100 epochs take about 3 minutes with 384-wide features and 9 with 4096-wide ones. After 150 epochs with
MiniLM text features and splits=published: test MRR 0.282 (normal), 0.272 (mans_t), 0.232 (mans_h), 0.221 (mans_a).
"""

from mans_jax.config import default_config


def get_config(strategy: str = 'normal'):
    """The recipe; `strategy` is normal, mans_v, mans_t, mans_h or mans_a."""
    return default_config(
        strategy=strategy,
        data='data/db15k',
        features={'visual': '', 'text': '', 'numeric': ''},
        margin=12.0,
        batch_size=181,
        num_epochs=1000,
    )
