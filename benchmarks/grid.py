"""Rows of a table, each a recipe trained with several seeds: what strategies.py and modalities.py have in common."""

import argparse
import ast
import importlib.util
import json
import pathlib

import numpy as np

from mans_jax.config import from_config_dict
from mans_jax.training import train_and_evaluate

_METRICS = ('mrr', 'hits_at_1', 'hits_at_3', 'hits_at_10')


def argument_parser(description):
    """The options that every table has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', required=True, help='a file in configs/')
    parser.add_argument('--workdir', required=True, type=pathlib.Path, help='a run that is done here is not run again')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--set', action='append', default=[], metavar='FIELD=VALUE', help='any config field')
    return parser


def print_table(arguments, rows):
    """Trains every row and prints its line as soon as all of its seeds are done.

    Args:
        arguments: those of `argument_parser`.
        rows: (label, strategy, names of the features that stay, or None for all).
    """
    print(f'| test | MRR | {" | ".join(_METRICS[1:])} | MRR head side | MRR tail side |\n|---|' + '---|' * 6)
    for label, strategy, kept in rows:
        results = [run(arguments, label, strategy, kept, seed)['test'] for seed in range(arguments.seeds)]
        cells = [spread([r[m] for r in results]) for m in _METRICS]
        cells += [spread([r[side]['mrr'] for r in results]) for side in ('head', 'tail')]
        print(f'| {label} | {" | ".join(cells)} |', flush=True)


def run(arguments, label, strategy, kept, seed):
    """The results of one run, from its workdir where it is done."""
    workdir = arguments.workdir / f'{label.replace(" ", "_")}_{seed}'
    if not (workdir / 'results.json').exists():
        train_and_evaluate(make_config(arguments, strategy, kept, seed), workdir)
    return json.loads((workdir / 'results.json').read_text())


def make_config(arguments, strategy, kept, seed):
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
    for name in config.features:
        if kept is not None and name not in kept:
            config.features[name] = ''
    return from_config_dict(config)


def spread(values):
    """Mean and standard deviation over seeds."""
    return f'{np.mean(values):.3f}' + (f' ± {np.std(values, ddof=1):.3f}' if len(values) > 1 else '')
