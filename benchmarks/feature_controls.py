"""Feature files that hold less than a given one, to tell what a score owes to what the features say.

    python benchmarks/feature_controls.py --features=text.npy --output=FOLDER

Writes into FOLDER, with the same entities present: random.npy (directions drawn at random, as long as the given rows),
shuffled.npy (the given rows, dealt out to other entities) and blurred_1.npy, blurred_2.npy ... (the given rows plus
noise of so many times their own length, brought back to it; `--blur=1,2`). They keep the width, so that a model has
as many parameters as with the given file.
"""

import argparse
import pathlib

import numpy as np


def main():
    """Writes the files and says how alike each row still is to the given one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--features', required=True, type=pathlib.Path, help='.npy, one row an entity, NaN for none')
    parser.add_argument('--output', required=True, type=pathlib.Path)
    parser.add_argument('--blur', default='1,2', help='lengths of the noise, separated by commas')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    given = np.load(arguments.features)
    there = ~np.isnan(given).any(axis=1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, rows in controls(given[there].astype(np.float32), arguments.blur.split(','), arguments.seed):
        table = np.full(given.shape, np.nan, np.float32)
        table[there] = rows
        np.save(arguments.output / f'{name}.npy', table)
        cosine = np.sum(unit(rows) * unit(given[there].astype(np.float32)), axis=1).mean()
        print(f'{arguments.output / name}.npy: {len(rows)} rows, mean cosine to the given ones {cosine:.3f}')


def controls(rows, blur, seed):
    """Yields names and rows float32[N, F]."""
    rng = np.random.default_rng(seed)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    noise = unit(rng.normal(size=rows.shape).astype(np.float32)) * length
    yield 'random', noise
    yield 'shuffled', rows[rng.permutation(len(rows))]
    for level in blur:
        yield f'blurred_{level}', unit(rows + float(level) * noise) * length


def unit(rows):
    """Rows of length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


if __name__ == '__main__':
    main()
