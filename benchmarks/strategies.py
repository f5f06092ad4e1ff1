"""Trains a recipe with every strategy and several seeds, and prints a Markdown table of test results.

    python benchmarks/strategies.py --config=configs/digits.py --seeds=3 --workdir=runs/strategies

`--structure` adds a row without any feature. Fields are changed as in training, `--set num_epochs=150`. A run that is
done is not run again.
"""

import argparse
import ast
import importlib.util
import json
import pathlib

import numpy as np

from mans_jax.config import from_config_dict
from mans_jax.sampling import STRATEGIES
from mans_jax.training import train_and_evaluate

_METRICS = ('mrr', 'hits_at_1', 'hits_at_3', 'hits_at_10')


def main():
    """Runs the grid and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', required=True, help='a file in configs/')
    parser.add_argument('--workdir', required=True, type=pathlib.Path)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--strategies', default=','.join(STRATEGIES), help='names, separated by commas')
    parser.add_argument('--structure', action='store_true', help='also train on structure alone')
    parser.add_argument('--set', action='append', default=[], metavar='FIELD=VALUE', help='any config field')
    arguments = parser.parse_args()
    rows = [('structure alone', 'normal')] if arguments.structure else []
    rows += [(name, name) for name in arguments.strategies.split(',')]
    print(f'| test | MRR | {" | ".join(_METRICS[1:])} | MRR head side | MRR tail side |\n|---|' + '---|' * 6)
    for label, strategy in rows:
        results = [run(arguments, label, strategy, seed)['test'] for seed in range(arguments.seeds)]
        cells = [spread([r[m] for r in results]) for m in _METRICS]
        cells += [spread([r[side]['mrr'] for r in results]) for side in ('head', 'tail')]
        print(f'| {label} | {" | ".join(cells)} |', flush=True)


def run(arguments, label, strategy, seed):
    """The results of one cell, from its workdir where it is done."""
    workdir = arguments.workdir / f'{label.replace(" ", "_")}_{seed}'
    if not (workdir / 'results.json').exists():
        train_and_evaluate(make_config(arguments, strategy, seed, keep_features=label != 'structure alone'), workdir)
    return json.loads((workdir / 'results.json').read_text())


def make_config(arguments, strategy, seed, keep_features):
    """The recipe's config with the changed fields."""
    spec = importlib.util.spec_from_file_location('recipe', arguments.config)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    config = recipe.get_config(strategy)
    config.seed = seed
    for change in arguments.set:
        name, _, value = change.partition('=')
        old = config
        *path, last = name.split('.')
        for part in path:
            old = old[part]
        old[last] = value if isinstance(old[last], str) else ast.literal_eval(value)
    if not keep_features:
        for name in config.features:
            config.features[name] = ''
    return from_config_dict(config)


def spread(values):
    """Mean and standard deviation over seeds."""
    return f'{np.mean(values):.3f}' + (f' ± {np.std(values, ddof=1):.3f}' if len(values) > 1 else '')


if __name__ == '__main__':
    main()
