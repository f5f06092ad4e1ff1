"""Judges a trained run: `python -m mans_jax.evaluate --workdir=RUN --split=test --tasks=link_prediction,alignment`.

Prints a table and writes evaluation_SPLIT.json into the workdir, beside what an earlier command found of other tasks. A
task that the graph cannot serve is named with the reason on stderr, and the others still run.
"""

import json
import sys
from pathlib import Path

from absl import flags

from mans_jax import command_line
from mans_jax.errors import InputError, check_name

_ALL = 'all'


def define_flags() -> None:
    """Defines the flags; not on import, since flags of one name cannot be defined by two modules."""
    flags.DEFINE_string('workdir', None, 'The folder of the run.')
    flags.DEFINE_string('split', 'test', 'The split that is judged: train, valid or test.')
    flags.DEFINE_list('tasks', [_ALL], 'The tasks, parted by commas: see mans_jax.evaluation.TASKS; all by default.')
    flags.DEFINE_integer('candidates', 100, 'How many candidates sampled_ranking draws for each target.')
    flags.DEFINE_integer('seed', 0, 'What draws corruptions, samples and bootstraps.', lower_bound=0)
    flags.DEFINE_string('mesh', '', 'Where the tables lie meanwhile, as entity=8; by default on one device.')
    flags.DEFINE_bool('json', False, 'Prints the results as JSON instead of the table.')


def main(_) -> int:
    """Runs the tasks, writes their results and prints them."""
    arguments = flags.FLAGS
    # Imported late: a mistyped flag is answered at once.
    from tqdm import tqdm

    from mans_jax.evaluation import SPLITS, TASKS, evaluate_run, read_results, results_path, with_earlier_tasks
    from mans_jax.evaluation_table import table
    from mans_jax.run_log import write_json
    from mans_jax.runs import load_run

    tasks = [name for task in arguments.tasks for name in (TASKS if task == _ALL else [task])]
    if not tasks:
        raise InputError(f'--tasks is empty; name some of {", ".join(TASKS)}')
    check_name('--split', arguments.split, SPLITS, kind='split')
    for name in tasks:
        check_name('--tasks', name, TASKS, kind='task')

    def progress(blocks):
        return tqdm(blocks, disable=not sys.stderr.isatty(), unit='block', leave=False)

    run, state = load_run(arguments.workdir, arguments.mesh)
    results = evaluate_run(run, state, arguments.split, tasks, arguments.seed, arguments.candidates, progress)
    for name, reason in results['not_served'].items():
        print(f'{name} is left out: {reason}', file=sys.stderr)
    path = results_path(Path(arguments.workdir), arguments.split)
    write_json(path, with_earlier_tasks(results, read_results(path)))
    print(json.dumps(results, indent=2) if arguments.json else table(results))
    return 0


if __name__ == '__main__':
    define_flags()
    command_line.run(main, required=('workdir',))
