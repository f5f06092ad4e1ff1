"""Evaluates a trained run: `python -m mans_jax.evaluate --workdir=RUN --split=test`.

Prints tables, and writes every number to evaluation_<split>.json in the workdir. `--tasks` names some of the tasks
instead of all; a task that the graph cannot serve is named on stderr with the reason, and the others are done.
"""

import json
import sys
from pathlib import Path

from absl import flags

from mans_jax import command_line

_WORKDIR = flags.DEFINE_string('workdir', None, 'The folder of the trained run.')
_SPLIT = flags.DEFINE_string('split', 'test', 'What to evaluate on: train, valid or test.')
_TASKS = flags.DEFINE_list('tasks', None, 'Names of tasks, with commas between them; by default all.')
_SEED = flags.DEFINE_integer('seed', 0, 'Of everything that is drawn: resamples, negatives, candidates.', lower_bound=0)
_RESAMPLES = flags.DEFINE_integer(
    'resamples', 1000, 'Resamples of the triples for the intervals; 0 for none.', lower_bound=0
)
_JSON = flags.DEFINE_bool('json', False, 'Print the numbers as JSON instead of tables.')


def main(_) -> int:
    """Evaluates the run, prints and writes the result."""
    # Imported late: a mistyped flag is answered at once.
    from mans_jax.evaluation import TASKS, Options, check_names, evaluate_run
    from mans_jax.evaluation_report import table
    from mans_jax.run_log import write_json
    from mans_jax.runs import load_run

    tasks = list(TASKS) if _TASKS.value is None else _TASKS.value
    check_names(_SPLIT.value, tasks)
    run, state = load_run(_WORKDIR.value)
    result = evaluate_run(run, state, _SPLIT.value, tasks, Options(seed=_SEED.value, resamples=_RESAMPLES.value))
    for task, reason in result['left_out'].items():
        print(f'{task}: left out, {reason}', file=sys.stderr)
    write_json(Path(_WORKDIR.value) / f'evaluation_{_SPLIT.value}.json', result)
    print(json.dumps(result, indent=2, ensure_ascii=False) if _JSON.value else table(result))
    return 0


if __name__ == '__main__':
    command_line.run(main, required=('workdir',))
