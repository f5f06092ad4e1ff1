"""What the seeds of a cell came to, read from its folder."""

import dataclasses
import json
import statistics
from pathlib import Path

import numpy as np

from mans_jax.comparison.cells import FAILURE, RANKS, RESULTS, Plan, seed_folder
from mans_jax.ranking import ranks

METRICS = ('mrr', 'hits_at_1', 'hits_at_3', 'hits_at_10', 'head_mrr', 'tail_mrr')
"""Of the test split: both sides together, and the MRR of each."""


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """What a seed came to.

    Attributes:
        seed: the seed.
        test: METRICS by name.
        reciprocal: float64[2, N], the reciprocal rank of the head and of the tail of each test triple.
        curve: (step, MRR on valid) of each validation.
        seconds_per_step: of this seed, without compilation, validation and checkpoints.
    """

    seed: int
    test: dict
    reciprocal: np.ndarray
    curve: list
    seconds_per_step: float


@dataclasses.dataclass(frozen=True)
class CellResult:
    """What a cell came to.

    Attributes:
        plan: of the cell.
        folder: of the cell.
        seeds: those that were tested.
        failures: by seed, why it has diverged.
        steps: that each was trained, but for early stopping.
    """

    plan: Plan
    folder: Path
    seeds: list
    failures: dict

    @property
    def steps(self) -> int:
        return self.plan.num_epochs * self.plan.steps_per_epoch

    @property
    def seconds_per_step(self) -> float:
        """The median over the seeds."""
        return statistics.median(seed.seconds_per_step for seed in self.seeds)

    def mean(self, metric: str) -> float:
        """Over the seeds, of one of METRICS."""
        return float(np.mean([seed.test[metric] for seed in self.seeds]))

    def deviation(self, metric: str) -> float | None:
        """The standard deviation over seeds, None for a single one."""
        return _deviation([seed.test[metric] for seed in self.seeds])

    def mrr_of(self, positions: np.ndarray) -> tuple[float, float | None]:
        """The mean over seeds, and the deviation, of some of the 2 N answers, heads first."""
        values = [float(np.mean(seed.reciprocal.ravel()[positions])) for seed in self.seeds]
        return float(np.mean(values)), _deviation(values)


def read_results(folder: Path, plan: Plan, seeds) -> CellResult:
    """Reads those seeds of a cell that are done."""
    found, failures = [], {}
    for seed in seeds:
        workdir = seed_folder(folder, seed)
        if (workdir / RESULTS).exists():
            found.append(_read_seed(workdir, seed, plan))
        elif (workdir / FAILURE).exists():
            failures[seed] = json.loads((workdir / FAILURE).read_text())['why']
    return CellResult(plan, folder, found, failures)


def _deviation(values):
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _read_seed(workdir, seed, plan) -> SeedResult:
    test = json.loads((workdir / RESULTS).read_text())['test']
    test |= {f'{side}_mrr': test[side]['mrr'] for side in ('head', 'tail')}
    with np.load(workdir / RANKS) as counts:
        reciprocal = 1 / ranks(counts['better'], counts['tied'], plan.asked['ties'])
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    speeds = [line['triples_per_second'] for line in lines if line['split'] == 'train']
    return SeedResult(
        seed=seed,
        test={name: test[name] for name in METRICS},
        reciprocal=reciprocal,
        curve=[(line['step'], line['mrr']) for line in lines if line['split'] == 'valid'],
        seconds_per_step=plan.asked['batch_size'] / statistics.median(speeds),
    )
