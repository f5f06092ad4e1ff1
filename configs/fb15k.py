"""MANS on FB15K.

The settings of the MANS paper (arXiv 2304.11618): D=128, Adam with learning rate 1, one negative a triple, 400 batches
an epoch. The visual features that the paper used are not redistributable; give any matrix with one row an entity id.

    python -m mans_jax.train --config=configs/fb15k.py:mans_h --config.data=FOLDER --config.features.visual=FILE.npy \\
        --workdir=runs/fb15k

FOLDER is the standard OpenKE folder: entity2id.txt, relation2id.txt, train2id.txt (483,142 triples), valid2id.txt and
test2id.txt. Neither time nor score is measured here: its train split is not at hand.
"""

from mans_jax.config import default_config


def get_config(strategy: str = 'normal'):
    """The recipe; `strategy` is normal, mans_v, mans_t, mans_h or mans_a."""
    return default_config(
        strategy=strategy,
        data='data/fb15k',
        features={'visual': '', 'text': '', 'numeric': ''},
        margin=6.0,
        batch_size=1207,
        num_epochs=1000,
    )
