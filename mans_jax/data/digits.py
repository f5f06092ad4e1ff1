"""The embedded graph: handwritten digits and what is true of the numbers that they show.

1,797 images and the ten numbers are entities. Only an image has a feature, its 8 x 8 pixels, and a held-out image has
nothing but them: whoever reads a number off an image, or finds the images of a number, has to link the modalities.
"""

import numpy as np

from mans_jax.graph import KnowledgeGraph

NUMBERS = tuple(f'number_{i}' for i in range(10))
RELATIONS = ('depicts', 'same_digit', 'successor', 'double')


def load() -> KnowledgeGraph:
    """Builds the graph from the images that scikit-learn ships; nothing is downloaded, and every call gives the same.

    Returns:
        A KnowledgeGraph of 1,807 entities, the ten numbers first, with the feature 'pixels', float32[1807, 64] in
        [0, 1]. `depicts` (image, number) is split 60 / 10 / 30 into train, valid and test. Train also has
        `same_digit`, a ring through the train images of each number, and `successor` and `double` between numbers,
        modulo ten.
    """
    # Imported here, so that a graph of one's own does not wait for scikit-learn.
    from sklearn.datasets import load_digits

    images = load_digits()
    num_images = len(images.target)
    image = np.arange(num_images) + 10
    depicts = np.stack([image, np.full(num_images, 0), images.target], axis=1)
    order = np.random.default_rng(0).permutation(num_images)
    bounds = [0, num_images * 6 // 10, num_images * 7 // 10, num_images]
    train, valid, test = (depicts[np.sort(order[a:b])] for a, b in zip(bounds[:-1], bounds[1:], strict=True))
    number = np.arange(10)
    rings = [train[train[:, 2] == n, 0] for n in number]
    same_digit = np.concatenate([np.stack([ring, np.full(len(ring), 1), np.roll(ring, 1)], axis=1) for ring in rings])
    successor = np.stack([number, np.full(10, 2), (number + 1) % 10], axis=1)
    double = np.stack([number, np.full(10, 3), (2 * number) % 10], axis=1)
    pixels = np.concatenate([np.zeros((10, 64)), images.data / 16])
    entity = np.arange(10 + num_images)
    is_number = entity < 10
    return KnowledgeGraph(
        name='digits',
        entities=(*NUMBERS, *(f'image_{i:04}' for i in range(num_images))),
        relations=RELATIONS,
        train=np.concatenate([train, same_digit, successor, double]).astype(np.int32),
        valid=valid.astype(np.int32),
        test=test.astype(np.int32),
        features={'pixels': pixels.astype(np.float32)},
        present=np.stack([is_number | np.isin(entity, train[:, 0]), ~is_number], axis=1),
    )
