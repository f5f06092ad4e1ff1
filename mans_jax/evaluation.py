"""Evaluates a trained run on one split, by any of the tasks."""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from tqdm import tqdm

from mans_jax.config import check_name
from mans_jax.runs import Run
from mans_jax.tasks import Unserved
from mans_jax.tasks.link_breakdowns import breakdowns
from mans_jax.tasks.link_prediction import stand_by_protocol
from mans_jax.training_step import TrainState

SPLITS = ('train', 'valid', 'test')


@dataclasses.dataclass(frozen=True)
class Options:
    """What an evaluation may be told.

    Attributes:
        seed: of everything that is drawn: resamples, negatives, candidates.
        resamples: of the bootstrap; 0 for no intervals.
    """

    seed: int = 0
    resamples: int = 1000


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a task reads.

    Attributes:
        run: the run.
        state: its state.
        split: one of SPLITS.
        options: see `Options`.
        found: the results of the tasks before, and what else they leave for others.
    """

    run: Run
    state: TrainState
    split: str
    options: Options
    found: dict

    @property
    def triples(self) -> np.ndarray:
        """The triples of the split."""
        return self.run.graph.split(self.split)

    @property
    def model(self) -> tuple:
        """The first arguments of every task: the model, its parameters and features, and the graph."""
        return self.run.model, self.state.params, self.run.data.frozen, self.run.graph

    def progress(self, blocks: Iterable) -> Iterable:
        """A progress bar where a person watches."""
        return tqdm(blocks, desc=f'evaluating {self.split}', unit='block', leave=False, disable=not sys.stderr.isatty())


def evaluate_run(run: Run, state: TrainState, split: str, tasks: Sequence[str], options: Options) -> dict:
    """Evaluates a run by tasks, one after the other.

    Args:
        run: the run.
        state: its state, from `load_run`.
        split: one of SPLITS.
        tasks: names of TASKS.
        options: see `Options`.

    Returns:
        {'graph', 'split', 'triples', 'step', 'ties', 'seed', 'tasks': {task: result}, 'left_out': {task: why}}.

    Raises:
        InputError: a name is not known, or a score is not finite.
    """
    check_names(split, tasks)
    setting = Setting(run, state, split, options, {})
    done, left_out = {}, {}
    # In the order of TASKS: some tell their result beside that of one before.
    for name in (name for name in TASKS if name in tasks):
        try:
            done[name] = TASKS[name](setting)
        except Unserved as reason:
            left_out[name] = str(reason)
    return {
        'graph': run.graph.name,
        'split': split,
        'triples': len(setting.triples),
        'step': int(state.step),
        'ties': run.config.ties,
        'seed': options.seed,
        'tasks': done,
        'left_out': left_out,
    }


def check_names(split: str, tasks: Iterable[str]) -> None:
    """Raises an InputError that suggests the nearest one where a split or a task is not known."""
    check_name('--split', split, SPLITS, kind='split')
    for task in tasks:
        check_name('--tasks', task, TASKS, kind='task')


def _link_prediction(setting: Setting) -> dict:
    standing = stand_by_protocol(*setting.model, setting.triples, setting.run.known, setting.progress)
    setting.found['standing'] = standing
    return breakdowns(
        standing,
        setting.run.graph,
        setting.triples,
        ties=setting.run.config.ties,
        resamples=setting.options.resamples,
        seed=setting.options.seed,
    )


TASKS: dict[str, Callable[[Setting], dict]] = {
    'link_prediction': _link_prediction,
}
"""The names that `--tasks` may hold."""
