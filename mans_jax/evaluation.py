"""Everything that a trained run can be judged by: the tasks by name, and their results as a table."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from mans_jax.blocks import score_rows
from mans_jax.errors import InputError, NotServable, check_name
from mans_jax.models import FROZEN, PARAMS
from mans_jax.runs import Run, first_state, parameters_digest
from mans_jax.tasks.alignment import alignment
from mans_jax.tasks.breakdowns import link_prediction_breakdowns
from mans_jax.tasks.cross_modal import cross_modal
from mans_jax.tasks.protocols import Tally, rank_links
from mans_jax.tasks.protocols_on_mesh import rank_links_on_mesh
from mans_jax.tasks.relation_prediction import relation_prediction
from mans_jax.tasks.sampled_ranking import sampled_ranking
from mans_jax.tasks.triple_classification import HONEST, REFERENCE, classify_triples
from mans_jax.training_step import TrainState

SPLITS = ('train', 'valid', 'test')


@dataclasses.dataclass(frozen=True)
class Trial:
    """A trained run before its judges.

    Attributes:
        run: its graph and model.
        params: its trained parameters.
        split: the split that is judged.
        tasks: the names of all that it is judged by.
        seed: of everything that is drawn.
        num_candidates: of sampled ranking.
        progress: wraps sequences of blocks, for a progress bar.
    """

    run: Run
    params: dict
    split: str
    tasks: Sequence[str]
    seed: int = 0
    num_candidates: int = 100
    progress: Callable[[Iterable], Iterable] = iter

    @property
    def triples(self) -> np.ndarray:
        """Those that are judged, int32[N, 3]."""
        return self.run.graph.split(self.split)

    def variables(self, params: dict | None = None) -> dict:
        """Parameters, the trained ones by default, and features."""
        if params is None:
            return {PARAMS: self.params, FROZEN: self.run.data.frozen}
        return {PARAMS: params, FROZEN: self.run.frozen(params)}

    @functools.cached_property
    def tallies(self) -> dict[str, Tally]:
        """Of link prediction; counted once for all tasks."""
        rank = rank_links_on_mesh if self.run.model.mesh else rank_links
        return rank(self.run.model, self.variables(), self.run.graph, self.triples, self.run.known, self.progress)


def _link_prediction(trial):
    config = trial.run.config
    found = link_prediction_breakdowns(trial.tallies, trial.run.graph, trial.triples, config.ties, trial.seed)
    return {'ties_of_metrics': config.ties, **found}


def _triple_classification(trial):
    run = trial.run

    def score(rows):
        return score_rows(run.model, trial.variables(), run.graph, rows)

    return {
        protocol: classify_triples(score, run.graph, trial.split, run.known, trial.seed, protocol)
        for protocol in (HONEST, REFERENCE)
    }


def _relation_prediction(trial):
    run = trial.run
    return relation_prediction(
        run.model, trial.variables(), run.graph, trial.triples, run.known, run.config.ties, trial.seed
    )


def _cross_modal(trial):
    run = trial.run
    return cross_modal(
        run.model,
        trial.variables(),
        run.graph,
        trial.triples,
        run.known,
        run.config.ties,
        trial.seed,
        trial.progress,
    )


def _alignment(trial):
    run = trial.run
    before = first_state(run).params
    return {
        'before': alignment(run.model, trial.variables(before), run.graph),
        'after': alignment(run.model, trial.variables(), run.graph),
    }


def _sampled_ranking(trial):
    run = trial.run
    return sampled_ranking(
        run.model,
        trial.variables(),
        run.graph,
        trial.triples,
        run.known,
        # Whoever leaves link prediction out may have a graph too large for it.
        trial.tallies['filtered'] if 'link_prediction' in trial.tasks else None,
        trial.num_candidates,
        run.config.ties,
        trial.seed,
    )


TASKS = {
    'link_prediction': _link_prediction,
    'triple_classification': _triple_classification,
    'relation_prediction': _relation_prediction,
    'cross_modal': _cross_modal,
    'alignment': _alignment,
    'sampled_ranking': _sampled_ranking,
}
"""The names that `--tasks` may hold: (trial) -> results that JSON can hold."""


def evaluate_run(
    run: Run,
    state: TrainState,
    split: str = 'test',
    tasks: Sequence[str] = tuple(TASKS),
    seed: int = 0,
    num_candidates: int = 100,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict:
    """Judges a trained run by tasks.

    Args:
        run: from `runs.load_run`.
        state: likewise.
        split: 'train', 'valid' or 'test'.
        tasks: names in TASKS; sampled_ranking stands beside the full one where link_prediction is among them.
        seed: of everything that is drawn.
        num_candidates: of sampled ranking.
        progress: wraps sequences of blocks, for a progress bar.

    Returns:
        {'split', 'step', 'parameters': their digest, 'graph', 'triples', 'seed', 'tasks': {name: results},
        'not_served': {name: why}}; the last holds the tasks that the graph or the split cannot serve.

    Raises:
        InputError: there is no such split or task, or a score is not finite.
    """
    check_name('--split', split, SPLITS, kind='split')
    for name in tasks:
        check_name('--tasks', name, TASKS, kind='task')
    if num_candidates < 1:
        raise InputError(f'--candidates={num_candidates}: at least 1 candidate')
    return judge(Trial(run, state.params, split, tasks, seed, num_candidates, progress), int(state.step))


def judge(trial: Trial, step: int) -> dict:
    """The results of a trial, as `evaluate_run` returns them; `step` is that of its parameters."""
    results, not_served = {}, {}
    for name in dict.fromkeys(trial.tasks):
        try:
            results[name] = TASKS[name](trial)
        except NotServable as reason:
            not_served[name] = str(reason)
    return {
        'split': trial.split,
        'step': step,
        'parameters': parameters_digest(trial.params, trial.run.graph.num_entities),
        'graph': trial.run.graph.name,
        'triples': len(trial.triples),
        'seed': trial.seed,
        'tasks': results,
        'not_served': not_served,
    }


def results_path(workdir: Path, split: str) -> Path:
    """Where the results of a run on a split are kept."""
    return workdir / f'evaluation_{split}.json'


def read_results(path: Path) -> dict:
    """What an earlier evaluation wrote, or nothing where it is not there or cannot be used."""
    try:
        content = json.loads(path.read_text())
        return content if isinstance(content.get('tasks'), dict) and isinstance(content.get('not_served'), dict) else {}
    except (OSError, ValueError, AttributeError):
        return {}


def with_earlier_tasks(results: dict, earlier: dict) -> dict:
    """Results, with those tasks that an earlier evaluation of the same parameters, split and seed had besides."""
    same = ('split', 'parameters', 'triples', 'seed')
    if any(earlier.get(name) != results[name] for name in same):
        return results
    now = {*results['tasks'], *results['not_served']}
    before = {part: {k: v for k, v in earlier[part].items() if k not in now} for part in ('tasks', 'not_served')}
    tasks = {**before['tasks'], **results['tasks']}
    in_order = {name: tasks[name] for name in TASKS if name in tasks}
    return {**results, 'tasks': in_order, 'not_served': {**before['not_served'], **results['not_served']}}
