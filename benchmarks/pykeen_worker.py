"""Trains and ranks with PyKEEN, a part of it whenever it is told to. against_pykeen.py runs it in PyKEEN's environment.

    python benchmarks/pykeen_worker.py GRAPH.npz JOB

GRAPH.npz holds int[N, 3] `train`, `valid` and `test` and the numbers of entities and of relations. JOB is JSON: a turn
is some steps of training, or a whole ranking where the job has `rank_batch`.
"""

import json
import sys

import numpy as np
import torch
from pykeen.evaluation import RankBasedEvaluator
from pykeen.models import TransE
from pykeen.training import SLCWATrainingLoop, TrainingCallback
from pykeen.triples import CoreTriplesFactory
from pykeen.version import get_version
from worker_turns import Turns

ENDLESS = 10**6
"""Epochs: the training ends when no line comes any more."""


class CountSteps(TrainingCallback):
    """Takes a turn every so many steps."""

    def __init__(self, steps):
        """The first turn warms up."""
        super().__init__()
        self.steps, self.taken, self.turns = steps, 0, new_turns()

    def post_batch(self, **_):
        """Between two steps."""
        self.taken += 1
        if self.taken % self.steps == 0:
            self.turns.next()


def new_turns():
    """Turns that begin by saying what runs here."""
    return Turns({'threads': torch.get_num_threads(), 'torch': torch.__version__, 'pykeen': get_version()})


def main():
    """Does one job."""
    job = json.loads(sys.argv[2])
    with np.load(sys.argv[1]) as arrays:
        sizes = {name: int(arrays[name]) for name in ('num_entities', 'num_relations')}
        splits = {name: torch.from_numpy(arrays[name].astype(np.int64)) for name in ('train', 'valid', 'test')}
    train = CoreTriplesFactory(splits['train'], **sizes)
    model = TransE(
        triples_factory=train,
        embedding_dim=job['dim'],
        scoring_fct_norm=1,
        loss='marginranking',
        loss_kwargs={'margin': job['margin']},
        random_seed=0,
    )
    if 'rank_batch' in job:
        rank(model, splits, job['rank_batch'])
    else:
        fit(model, train, job)


def fit(model, train, job):
    """Trains, as PyKEEN's pipeline does."""
    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=train,
        optimizer=torch.optim.Adam(model.parameters(), lr=job['learning_rate']),
        negative_sampler='bernoulli',
        negative_sampler_kwargs={'num_negs_per_pos': job['num_negatives'], 'filtered': job['filtered']},
    )
    callback = CountSteps(job['steps'])
    loop.train(train, num_epochs=ENDLESS, batch_size=job['batch_size'], callbacks=callback, use_tqdm=False)


def rank(model, splits, batch_size):
    """Ranks test on both sides, filtered, again and again."""
    turns = new_turns()
    while True:
        RankBasedEvaluator().evaluate(
            model,
            splits['test'],
            batch_size=batch_size,
            additional_filter_triples=[splits['train'], splits['valid']],
            use_tqdm=False,
        )
        turns.next()


if __name__ == '__main__':
    main()
