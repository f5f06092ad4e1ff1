"""Trains, validates and tests one recipe: `python -m mans_jax.train --config=configs/digits.py --workdir=runs/digits`.

The same command goes on where an interrupted run stopped.
"""

import json
import os
import signal
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from mans_jax import command_line
from mans_jax.config import from_config_dict

_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'The recipe: a file in configs/; change a field with --config.FIELD=VALUE.', lock_config=True
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'The folder of the run: checkpoints, logs, results.')

_COORDINATOR = flags.DEFINE_string(
    'coordinator',
    os.environ.get('JAX_COORDINATOR_ADDRESS'),
    "Of several processes: HOST:PORT of process 0, or 'auto' on a TPU pod and under Slurm.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
    'num_processes', os.environ.get('JAX_NUM_PROCESSES'), 'How many processes train together.', lower_bound=1
)
_PROCESS_ID = flags.DEFINE_integer(
    'process_id', os.environ.get('JAX_PROCESS_ID'), 'Which of them this is, from 0 on.', lower_bound=0
)
_START_TIMEOUT_S = flags.DEFINE_integer(
    'start_timeout_s', 300, 'Seconds after which processes that are not complete give up.', lower_bound=1
)


def main(_) -> int:
    """Runs the recipe and prints a table of its results."""
    config = from_config_dict(_CONFIG.value)
    # Imported late: a mistyped flag is answered at once.
    from mans_jax.processes import is_first, join, loss_of_others_is_told
    from mans_jax.run_log import results_table
    from mans_jax.training import Interrupted, train_and_evaluate

    if _COORDINATOR.value:
        join(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value, _START_TIMEOUT_S.value)
    try:
        with loss_of_others_is_told():
            train_and_evaluate(config, _WORKDIR.value)
    except Interrupted as stop:
        print(stop)
        return 128 + signal.SIGTERM
    if not is_first():
        return 0
    print(results_table(json.loads((Path(_WORKDIR.value) / 'results.json').read_text())))
    return 0


if __name__ == '__main__':
    command_line.run(main, required=('config', 'workdir'))
