"""Trains, validates and tests one recipe: `python -m mans_jax.train --config=configs/digits.py --workdir=runs/digits`.

The same command goes on where an interrupted run stopped.
"""

import json
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


def main(_) -> int:
    """Runs the recipe and prints a table of its results."""
    config = from_config_dict(_CONFIG.value)
    # Imported late: a mistyped flag is answered at once.
    from mans_jax.run_log import results_table
    from mans_jax.training import Interrupted, train_and_evaluate

    try:
        train_and_evaluate(config, _WORKDIR.value)
    except Interrupted as stop:
        print(stop)
        return 128 + signal.SIGTERM
    print(results_table(json.loads((Path(_WORKDIR.value) / 'results.json').read_text())))
    return 0


if __name__ == '__main__':
    command_line.run(main, required=('config', 'workdir'))
