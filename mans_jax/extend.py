"""Adds entities and triples to a trained run: `python -m mans_jax.extend --workdir=RUN --triples=FILE`.

New entities are those that the run's graph does not have; `--features=NAME=FILE` gives them the run's modalities. Their
structural rows start from their features and their neighbours (see `warm_start`), then training goes on. The extended
run goes to a folder of its own, and the one that it starts from stays as it is. The same command goes on where it was
stopped.
"""

import json
import signal
from pathlib import Path

from absl import flags

from mans_jax import command_line
from mans_jax.errors import InputError

_WORKDIR = flags.DEFINE_string('workdir', None, 'The folder of the trained run.')
_TRIPLES = flags.DEFINE_string(
    'triples', None, 'A file of labelled triples (TSV, CSV, N-Triples), all for train, or a folder with splits.'
)
_FEATURES = flags.DEFINE_multi_string('features', [], 'A modality as NAME=FILE, with labels; give it once for each.')
_NEW_WORKDIR = flags.DEFINE_string('new_workdir', None, 'Where the extended run goes; by default WORKDIR-extended.')
_EPOCHS = flags.DEFINE_integer(
    'epochs', None, "How long training goes on; by default a tenth of the run's epochs.", lower_bound=0
)


def main(_) -> int:
    """Extends the run, or goes on with that, and prints a table of its results."""
    if not (_TRIPLES.value or _FEATURES.value):
        raise InputError('--triples and --features are missing: name a file with what shall be added')
    features = command_line.parse_features(_FEATURES.value)
    workdir = Path(_WORKDIR.value).absolute()
    new_workdir = Path(_NEW_WORKDIR.value or workdir.with_name(f'{workdir.name}-extended'))
    # Imported late: a mistyped flag is answered at once.
    from mans_jax.extension import extend
    from mans_jax.run_log import results_table
    from mans_jax.training import Interrupted

    try:
        extend(_WORKDIR.value, new_workdir, triples=_TRIPLES.value, features=features, epochs=_EPOCHS.value)
    except Interrupted as stop:
        print(stop)
        return 128 + signal.SIGTERM
    print(results_table(json.loads((new_workdir / 'results.json').read_text())))
    return 0


if __name__ == '__main__':
    command_line.run(main, required=('workdir',))
