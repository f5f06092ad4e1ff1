"""Trains with the code published with MANS, some steps whenever it is told to; against_reference.py runs it.

    python benchmarks/reference_worker.py CHECKOUT FOLDER JOB

CHECKOUT is that code, whose sampler (mmns/release/Base.so) must be one that this machine can load; FOLDER is a graph in
the OpenKE layout; JOB is JSON. What its run.py sets up is set up the same way, except that nothing runs on a GPU.
"""

import json
import os
import sys

import torch
from worker_turns import Turns


class Loader:
    """The batches of another loader, with a turn after every so many of them."""

    def __init__(self, loader, steps):
        """The first turn warms up."""
        self.loader, self.steps, self.taken = loader, steps, 0
        self.turns = Turns({'threads': torch.get_num_threads(), 'torch': torch.__version__})

    def __iter__(self):
        for batch in self.loader:
            yield batch
            # The step with it has been taken.
            self.taken += 1
            if self.taken % self.steps == 0:
                self.turns.next()


def main():
    """Trains until no line comes any more."""
    checkout, folder, job = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    sys.path.insert(0, checkout)
    from mmns.config import Trainer
    from mmns.data import TrainDataLoader
    from mmns.module.loss import MarginLoss
    from mmns.module.model import MMTransE
    from mmns.module.strategy import NegativeSampling

    loader = TrainDataLoader(
        in_path=os.path.join(folder, ''),
        batch_size=job['batch_size'],
        threads=8,
        sampling_mode='normal',
        bern_flag=1,
        filter_flag=1,
        neg_ent=job['num_negatives'],
        neg_rel=0,
    )
    torch.manual_seed(0)
    features = torch.randn(loader.get_ent_tot(), job['width'])
    model = MMTransE(
        ent_tot=loader.get_ent_tot(),
        rel_tot=loader.get_rel_tot(),
        dim=job['dim'],
        p_norm=1,
        norm_flag=True,
        img_dim=job['width'],
        img_emb=torch.nn.Embedding.from_pretrained(features, freeze=True),
        beta=0.5,
    )
    model = NegativeSampling(
        model=model, loss=MarginLoss(margin=job['margin']), batch_size=loader.get_batch_size(), neg_mode='normal'
    )
    trainer = Trainer(
        model=model,
        data_loader=Loader(loader, job['steps']),
        train_times=10**6,
        alpha=job['learning_rate'],
        use_gpu=False,
        opt_method='Adam',
        train_mode='normal',
    )
    trainer.run()


if __name__ == '__main__':
    main()
