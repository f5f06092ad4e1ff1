"""Times seeds that train together in one program against as many runs one after the other, in turns.

    python benchmarks/seeds.py --config=configs/compare_digits.py --config.samplers="('normal: bernoulli',)"

All are whole commands, from the start of Python to the results: `mans_jax.compare` with one row and all seeds
together, the same with one seed after the other in one process (`--config.seeds_at_once=1`), and the `mans_jax.train`
commands that repeat the row. Whatever else is given goes to `mans_jax.compare`. Printed are the time by the clock and
of the processor, the time of a step without all that is around it, and the load of the machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(command):
    """Runs a command; returns its seconds by the clock and of the processor."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(errors)
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


def milliseconds_of_a_step(workdirs):
    """The median over epochs and seeds, in milliseconds."""
    lines = [json.loads(line) for path in workdirs for line in (path / 'metrics.jsonl').read_text().splitlines()]
    speeds = [line['triples_per_second'] for line in lines if line['split'] == 'train']
    batch_size = json.loads((workdirs[0] / 'config.json').read_text())['batch_size']
    return 1000 * batch_size / statistics.median(speeds)


def main():
    """Prints each repeat, and the ratios of the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--repeats', type=int, default=3)
    arguments, given = parser.parse_known_args()
    seeds = ','.join(map(str, range(arguments.seeds))) + ','
    sums = {}
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as folder:
            compare = [sys.executable, '-m', 'mans_jax.compare', *given, f'--config.seeds={seeds}']
            for name, at_once in (('together', 0), ('in turn in one process', 1)):
                workdir = Path(folder) / name.replace(' ', '_')
                times = run([*compare, f'--config.seeds_at_once={at_once}', f'--workdir={workdir}'])
                report(sums, name, times, sorted(workdir.glob('cells/*/seed_*')))
            (recipe,) = workdir.glob('cells/*/recipe.py')
            runs = [Path(folder) / f'run_{seed}' for seed in range(arguments.seeds)]
            train = [sys.executable, '-m', 'mans_jax.train', f'--config={recipe}']
            each = [run([*train, f'--config.seed={i}', f'--workdir={path}']) for i, path in enumerate(runs)]
            report(sums, f'{arguments.seeds} commands', [sum(parts) for parts in zip(*each, strict=True)], runs)
    *shared, alone = sums
    for name in shared:
        clock, processor, step = (sums[name][i] / sums[alone][i] for i in range(3))
        print(f'{name} / {alone}: {clock:.2f} by the clock, {processor:.2f} of the processor, {step:.2f} a step')


def report(sums, name, times, workdirs):
    """Prints a line, and adds its numbers to the sums."""
    clock, processor = times
    step = milliseconds_of_a_step(workdirs)
    sums[name] = [a + b for a, b in zip(sums.get(name, (0, 0, 0)), (clock, processor, step), strict=True)]
    load = os.getloadavg()[0]
    print(
        f'{name:24}{clock:8.1f} s{processor:8.1f} s of the processor{step:8.2f} ms a step, load {load:.1f}', flush=True
    )


if __name__ == '__main__':
    main()
