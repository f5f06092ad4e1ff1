"""Which number does an image show? The embedded graph, with no file needed.

    python -m mans_jax.train --config=configs/digits.py --workdir=runs/digits

About 15 seconds of training on 2 cores. Expect a test MRR of 0.87 (seeds differ by 0.01), 0.79 with normal negatives
and 0.09 without the pixels.
"""

from mans_jax.config import default_config


def get_config(strategy: str = 'mans_v'):
    """The recipe; `strategy` is normal, mans_v, mans_t, mans_h or mans_a."""
    return default_config(
        strategy=strategy,
        data='digits',
        features={'pixels': 'embedded'},
        dim=32,
        num_negatives=8,
        margin=4.0,
        learning_rate=0.01,
        batch_size=64,
        num_epochs=100,
        evaluate_every=10,
        checkpoint_every=10,
    )
