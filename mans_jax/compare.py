"""Compares samplers: `python -m mans_jax.compare --config=configs/compare_digits.py --workdir=runs/compare_digits`.

Trains every sampler of a grid with every score function and several seeds on an equal budget, and writes a table with
means, deviations and tests against a baseline. The same command goes on where an interrupted one stopped.
"""

import signal

from absl import flags
from ml_collections import config_flags

from mans_jax import command_line
from mans_jax.comparison.grid import from_config_dict

_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'The grid: a file in configs/; change a field with --config.FIELD=VALUE.', lock_config=True
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'The folder of the comparison: cells, tables, plot.')


def main(_) -> int:
    """Trains what is left of the grid and prints its table."""
    grid = from_config_dict(_CONFIG.value)
    # Imported late: a mistyped flag is answered at once.
    from mans_jax.comparison.comparing import compare
    from mans_jax.training import Interrupted

    try:
        table = compare(grid, _WORKDIR.value)
    except Interrupted as stop:
        print(stop)
        return 128 + signal.SIGTERM
    print(table, end='')
    return 0


if __name__ == '__main__':
    command_line.run(main, required=('config', 'workdir'))
