"""Prints what a training step moves between devices, read from the compiled program, and with --steps what it costs.

    python benchmarks/collectives.py --mesh=data=2,entity=4 --num_entities=100000 --width=768

The devices are simulated, as many as the mesh has places. Bytes are those of a collective's result on one device.
"""

import argparse
import collections
import dataclasses
import math
import re
import time

import jax
import numpy as np

from mans_jax.config import Config
from mans_jax.runs import first_state, make_run, on_mesh
from mans_jax.sharding import parse_mesh
from mans_jax.training_step import make_training_loop

_BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's32': 4, 'u32': 4, 'f32': 4, 's64': 8, 'u64': 8, 'f64': 8}
_ALONE = r'replica_groups=(\[\d+,1\]<=|\{\{\d+\}[,}])'
"""Of a collective along an axis of one device, which moves nothing."""
_COLLECTIVES = 'all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter'


def collectives(program):
    """(kind, shapes) -> how often a compiled program's text has it, and the bytes of one.

    Where rows are exchanged in one of several rooms, it is the first, which even shares fit in.
    """
    found = collections.Counter()
    for shapes, kind, rest in re.findall(rf'= (.*?) ({_COLLECTIVES})(?:-start)?\((.*)', _first_branches(program)):
        if re.search(_ALONE, rest):
            continue
        found[kind, ' '.join(re.findall(r'\w+\[[\d,]*\]', shapes))] += 1
    return {key: (times, sum(map(_size, key[1].split()))) for key, times in found.items()}


def _first_branches(program):
    """The text without what a conditional does in other cases than its first."""
    for branches in re.findall(r'branch_computations=\{(.*?)\}', program):
        for name in branches.split(', ')[1:]:
            program = re.sub(rf'^{re.escape(name)} \(.*?^\}}', '', program, flags=re.MULTILINE | re.DOTALL)
    return program


def _size(shape):
    kind, sizes = re.fullmatch(r'(\w+)\[([\d,]*)\]', shape).groups()
    return _BYTES[kind] * math.prod(int(size) for size in sizes.split(',') if size)


def main():
    """Compiles a step and prints its collectives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--mesh', default='data=2,entity=4')
    parser.add_argument('--num_entities', type=int, default=100_000)
    parser.add_argument('--width', type=int, default=768, help='feature width F')
    parser.add_argument('--dim', type=int, default=128)
    parser.add_argument('--batch_size', type=int, default=1024)
    parser.add_argument('--num_negatives', type=int, default=64)
    parser.add_argument('--strategy', default='normal')
    parser.add_argument('--sampler', default='bernoulli')
    parser.add_argument('--optimizer', default='adam')
    parser.add_argument('--precision', default='float32')
    parser.add_argument('--steps', type=int, default=0, help='so many are timed, three times; without, nothing is run')
    args = parser.parse_args()
    jax.config.update('jax_platforms', 'cpu')
    jax.config.update('jax_num_cpu_devices', math.prod(parse_mesh(args.mesh)))
    # It makes an array when it is imported, after which the number of devices is fixed.
    from training_step import random_graph

    fields = {name: value for name, value in vars(args).items() if name in {f.name for f in dataclasses.fields(Config)}}
    config = Config(data='random', **fields).validate()
    graph = random_graph(args.width, args.num_entities, num_triples=20 * args.batch_size)
    run = on_mesh(make_run(config, graph))
    loop = make_training_loop(run.model, run.config, run.steps_per_epoch)
    compiled = loop.train_steps.lower(first_state(run), run.data, np.int32(1)).compile()
    total = 0
    for (kind, shapes), (times, size) in sorted(collectives(compiled.as_text()).items(), key=lambda item: -item[1][1]):
        total += times * size
        print(f'{times:3} x {kind:20}{size / 1e6:12.3f} MB  {shapes}')
    print(f'{total / 1e6:.3f} MB a step and device; a table shard has {_shard(run) / 1e6:.3f} MB')
    if args.steps:
        state = compiled(first_state(run), run.data, np.int32(args.steps))
        times = []
        for _ in range(3):
            jax.block_until_ready(state)
            used = time.process_time()
            state = jax.block_until_ready(compiled(state, run.data, np.int32(args.steps)))
            times.append(1000 * (time.process_time() - used) / args.steps)
        print(f'{sorted(times)[1]:.0f} ms of processor time a step, of all devices together')


def _shard(run):
    rows = -(-run.graph.num_entities // parse_mesh(run.config.mesh)[1])
    return 4 * rows * (run.config.dim + sum(rows.shape[1] for rows in run.graph.features.values()))


if __name__ == '__main__':
    main()
