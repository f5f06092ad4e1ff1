"""Answers whether MANS helps: trains all parts of configs/compare_mans.py and draws what came of them.

    python benchmarks/feature_controls.py --features=FILE.npy --output=controls
    python benchmarks/does_mans_help.py --workdir=runs/compare_mans --output=FOLDER \\
        --config.data=FOLDER --config.features.text=FILE.npy

What follows the two folders goes to `mans_jax.compare`, part by part; what an earlier call has trained is not trained
again. Written into FOLDER are each part's table, PART.md and PART.json, and three figures as SVG: MRR by the degree of
the answer, by the share of virtual negatives, and by what the features still say. `--parts=strategies,share` takes
some of the parts.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys

import matplotlib.figure

PARTS = ('strategies', 'share', 'negatives', 'controls')
CONFIG = pathlib.Path(__file__).parent.parent / 'configs' / 'compare_mans.py'

BY_DEGREE = (
    'structure alone',
    'normal',
    'mans_v',
    'mans_h 0.3',
    'mans_a count',
    'normal + virtual',
    'normal + virtual own margin',
)
FEATURES = ('given', 'blurred_1', 'blurred_2', 'shuffled', 'random')


def main():
    """Trains, copies the tables and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--workdir', required=True, type=pathlib.Path)
    parser.add_argument('--output', required=True, type=pathlib.Path)
    parser.add_argument('--parts', default=','.join(PARTS))
    arguments, others = parser.parse_known_args()
    parts = arguments.parts.split(',')
    if not set(parts) <= set(PARTS):
        sys.exit(f'--parts={arguments.parts}: choose from {",".join(PARTS)}')
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = {part: train(part, arguments.workdir, arguments.output, others) for part in parts}
    for part, name, draw in (
        ('strategies', 'mrr_by_degree', draw_by_degree),
        ('share', 'mrr_by_share', draw_by_share),
        ('controls', 'mrr_by_features', draw_by_features),
    ):
        if part in rows:
            figure = matplotlib.figure.Figure(figsize=(8, 4), layout='constrained')
            axis = figure.subplots()
            draw(axis, {row['row']: row for row in rows[part]})
            axis.grid(alpha=0.3)
            axis.margins(y=0.08)
            axis.set_ylabel('MRR on test')
            axis.legend(loc='upper left', bbox_to_anchor=(1.02, 1), frameon=False)
            figure.savefig(arguments.output / f'{name}.svg', metadata={'Date': None})


def train(part, workdir, output, others):
    """Trains what is left of a part; returns its rows."""
    command = [sys.executable, '-m', 'mans_jax.compare', f'--config={CONFIG}:{part}', f'--workdir={workdir}', *others]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f'{part}: stopped; the same command goes on')
    shutil.copy(workdir / 'table.md', output / f'{part}.md')
    shutil.copy(workdir / 'comparison.json', output / f'{part}.json')
    return json.loads((workdir / 'comparison.json').read_text())['rows']


def draw_by_degree(axis, rows):
    """A line for each of BY_DEGREE, a place for each degree."""
    of_degree = re.compile('mrr_degree_(.*)_mean')
    degrees = [found[1] for name in next(iter(rows.values())) if (found := of_degree.fullmatch(name))]
    for label in BY_DEGREE:
        if label in rows:
            means = [rows[label][f'mrr_degree_{degree}_mean'] for degree in degrees]
            deviations = [rows[label][f'mrr_degree_{degree}_std'] for degree in degrees]
            axis.errorbar(degrees, means, yerr=deviations, marker='o', capsize=2, label=label)
    axis.set_xlabel('train triples that the answer is in')


def draw_by_share(axis, rows):
    """A line for each sampler that has a share, beside normal negatives."""
    lines = {}
    for label, row in rows.items():
        if found := re.fullmatch(r'(mans_\w) ([\d.]+)(.*)', label):
            lines.setdefault(found[1] + found[3], []).append((float(found[2]), row['mrr_mean'], row['mrr_std']))
    for label, points in lines.items():
        shares, means, deviations = zip(*sorted(points), strict=True)
        axis.errorbar(shares, means, yerr=deviations, marker='o', capsize=2, label=label)
    axis.axhline(rows['normal']['mrr_mean'], color='black', linestyle='--', label='normal')
    axis.set_xlabel('share of virtual negatives, or, of mans_t, of the training that has them')


def draw_by_features(axis, rows):
    """A group of bars for each kind of feature, beside structure alone."""
    labels = ('normal', 'mans_h 0.3', 'normal + virtual own margin')
    width = 0.8 / len(labels)
    for number, label in enumerate(labels):
        bars = [rows[label if name == 'given' else f'{label} {name}'] for name in FEATURES]
        places = [place + (number - 1) * width for place in range(len(FEATURES))]
        heights, errors = [row['mrr_mean'] for row in bars], [row['mrr_std'] for row in bars]
        axis.bar(places, heights, width, yerr=errors, capsize=2, label=label)
    axis.axhline(rows['structure alone']['mrr_mean'], color='black', linestyle='--', label='structure alone')
    axis.set_xticks(range(len(FEATURES)), FEATURES)
    axis.set_xlabel('what the features are')


if __name__ == '__main__':
    main()
