"""The learning rate and the margin of a cell, searched for on valid."""

import json
import shutil
from pathlib import Path

import numpy as np
from absl import logging

from mans_jax.comparison.grid import Search
from mans_jax.config import Config, from_fields
from mans_jax.data.extras import import_for_comparison
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph
from mans_jax.run_log import write_json
from mans_jax.runs import make_run, on_mesh, restore_tested
from mans_jax.training import Checkpoints, evaluate, train_seeds, writable

_TRIALS = 'trials.json'


def search(config: Config, graph: KnowledgeGraph, asked: Search, folder: Path) -> dict[str, float]:
    """Tries values, each by training one seed, and returns those with the highest MRR on valid.

    What is tried next follows from the trials before and from the seed alone, so that a search which is interrupted
    ends as one that is not. The first trial has the values of the recipe, where they are within the ranges; the others
    are Optuna's, by its tree-structured Parzen estimator. A training that diverges counts as an MRR of 0.

    Args:
        config: the recipe of the cell, with its epochs.
        graph: its graph, of which no test triple is ranked.
        asked: what to search for.
        folder: where trials.json is kept, and the training that is under way.

    Returns:
        Value by field of the recipe.

    Raises:
        InputError: Optuna is not installed, or there are no valid triples.
        Interrupted: SIGTERM came; what has been tried is saved.
    """
    if not len(graph.valid):
        raise InputError(f'config.search.trials is {asked.trials}, but {graph.name} has no valid triples to search on')
    writable(folder)
    path = folder / _TRIALS
    trials = json.loads(path.read_text()) if path.exists() else []
    while len(trials) < asked.trials:
        values = _next_values(config, asked, trials)
        said = ', '.join(f'{name} {value:.4g}' for name, value in values.items())
        logging.info('trial %d of %d: %s', len(trials) + 1, asked.trials, said)
        mrr = _valid_mrr(config, values, graph, asked.seed, folder / f'trial_{len(trials)}')
        trials.append({**values, 'valid_mrr': mrr})
        write_json(path, trials)
    best = max(trials, key=lambda trial: trial['valid_mrr'])
    if not best['valid_mrr']:
        raise InputError(f'{path}: every trial has diverged; lower config.search.learning_rate and delete this file')
    return {name: best[name] for name in asked.ranges()}


def check_installed() -> None:
    """Raises an InputError where Optuna is not installed."""
    import_for_comparison('optuna')


def _next_values(config, asked, trials) -> dict[str, float]:
    ranges = asked.ranges()
    own = {name: getattr(config, name) for name in ranges}
    if not trials and all(low <= own[name] <= high for name, (low, high) in ranges.items()):
        return own
    optuna = import_for_comparison('optuna')
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {
        name: optuna.distributions.FloatDistribution(low, high, log=name == 'learning_rate')
        for name, (low, high) in ranges.items()
    }
    # Anew for each trial: a sampler that goes on drawing could not be resumed.
    seed = int(np.random.SeedSequence([asked.seed, len(trials)]).generate_state(1)[0])
    study = optuna.create_study(direction='maximize', sampler=optuna.samplers.TPESampler(seed=seed))
    for trial in trials:
        values = {name: trial[name] for name in ranges}
        study.add_trial(optuna.trial.create_trial(params=values, distributions=distributions, value=trial['valid_mrr']))
    return study.ask(distributions).params


def _valid_mrr(config, values, graph, seed, workdir) -> float:
    """Of the best state on valid; the last one's where the recipe validates nothing."""
    config = from_fields({**vars(config), **values, 'seed': seed})
    run = on_mesh(make_run(config, graph))
    (member,) = train_seeds(run, {seed: writable(workdir)})
    if member.failure is not None:
        return 0.0
    mrr = member.progress.best_mrr
    if mrr is None:
        with Checkpoints(workdir / 'checkpoints') as checkpoints:
            mrr = evaluate(member.run, restore_tested(member.run, checkpoints), 'valid')['mrr']
    shutil.rmtree(workdir / 'checkpoints')
    return mrr
