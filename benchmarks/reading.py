"""Times the reading of text: a graph of FB15K-237's size to arrays, the audit of it, and millions of labelled triples.

    python benchmarks/reading.py --data=FOLDER

FOLDER is FB15K-237 in OpenKE form; without it a random graph of its size is written, whose audit finds less. The file
of labelled triples is random too and always the same: labels as long as DBpedia's, a million entities, of which a
few are named often. pandas and polars read the same files in the same run, as far as they are installed: a table, then
integer codes of its labels, all heads numbered before all tails.

Every reader is a process of its own, so that its peak memory is its own, and they take turns.
"""

import argparse
import functools
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENTITIES, RELATIONS = 1_000_000, 500
_LINES = 500_000


def write_triples(path: str, number: str) -> None:
    """Writes so many lines 'head<TAB>relation<TAB>tail'."""
    import numpy as np

    rng = np.random.default_rng(0)
    entities = [f'<http://dbpedia.org/resource/Entity_{i * 7919 % ENTITIES}>' for i in range(ENTITIES)]
    relations = [f'<http://dbpedia.org/ontology/relation{i}>' for i in range(RELATIONS)]
    with Path(path).open('w', encoding='utf-8') as file:
        for start in range(0, int(number), _LINES):
            size = min(_LINES, int(number) - start)
            # The cube of a uniform number: a tenth of all ends is one of a thousand entities.
            head, tail = ((ENTITIES * rng.random(size) ** 3).astype(int).tolist() for _ in range(2))
            relation = (RELATIONS * rng.random(size) ** 3).astype(int).tolist()
            for h, r, t in zip(head, relation, tail, strict=True):
                file.write(f'{entities[h]}\t{relations[r]}\t{entities[t]}\n')


def write_graph(folder: str) -> None:
    """Writes a random OpenKE folder of FB15K-237's size."""
    from prepared_graph import write_random

    write_random('fb15k_237', Path(folder))


def triples_by_mans_jax(path):
    """Ids by the reader of this library, which also numbers in order of appearance and checks every line."""
    from mans_jax.data import labelled

    return lambda: len(labelled.read_file(path)[0])


def triples_by_pandas(path):
    """A table, then `factorize`."""
    import numpy as np
    import pandas as pd

    def read():
        table = pd.read_csv(path, sep='\t', header=None, names=['h', 'r', 't'], quoting=3, keep_default_na=False)
        ids, labels = pd.factorize(np.concatenate([table['h'], table['t']]))
        relation, _ = pd.factorize(table['r'])
        np.stack([*ids.reshape(2, -1), relation], axis=1).astype(np.int32)
        return len(labels)

    return read


def triples_by_polars(path):
    """A table of categoricals and their codes; its own threads use every core."""
    import numpy as np
    import polars as pl

    def read():
        table = pl.read_csv(path, separator='\t', has_header=False, new_columns=['h', 'r', 't'], quote_char=None)
        ends = pl.concat([table['h'], table['t']]).cast(pl.Categorical)
        ids = ends.to_physical().to_numpy()
        relation = table['r'].cast(pl.Categorical).to_physical().to_numpy()
        np.stack([*ids.reshape(2, -1), relation], axis=1).astype(np.int32)
        return ends.n_unique()

    return read


def graph_by_mans_jax(folder):
    """Labels, and checked ids of every split."""
    from mans_jax.data import openke

    return lambda: len(openke.read(folder)[0])


def loading_by_mans_jax(folder):
    """The same with duplicates and leaks left out, as training takes it."""
    from mans_jax.data import load_graph

    return lambda: load_graph(folder)[0].num_entities


def graph_by_pandas(folder):
    """The same five files, their ids unchecked."""
    import pandas as pd

    def read():
        options = {'sep': r'[ \t]', 'engine': 'python', 'header': None, 'skiprows': 1}
        labels = [pd.read_csv(Path(folder) / f'{name}2id.txt', **options) for name in ('entity', 'relation')]
        options = {'sep': r'\s+', 'header': None, 'skiprows': 1, 'dtype': 'int32'}
        for name in ('train', 'valid', 'test'):
            pd.read_csv(Path(folder) / f'{name}2id.txt', **options).to_numpy()
        return len(labels[0])

    return read


def audit_by_mans_jax(folder):
    """Everything that `python -m mans_jax.audit` counts, from the graph in memory."""
    from mans_jax.data import load_graph
    from mans_jax.data.audit import audit

    return functools.partial(lambda graph: audit(graph).entities, load_graph(folder, splits='published')[0])


READERS = {
    'graph': {'mans_jax': graph_by_mans_jax, 'mans_jax, cleaned': loading_by_mans_jax, 'pandas': graph_by_pandas},
    'audit': {'mans_jax': audit_by_mans_jax},
    'triples': {'mans_jax': triples_by_mans_jax, 'pandas': triples_by_pandas, 'polars': triples_by_polars},
}


def measure(work: str, reader: str, path: str) -> None:
    """Reads once, after the imports, and prints what it took as JSON."""
    read = READERS[work][reader](path)
    wall, processor = time.perf_counter(), time.process_time()
    entities = read()
    found = {'wall': time.perf_counter() - wall, 'processor': time.process_time() - processor, 'entities': entities}
    print(json.dumps(found | {'peak': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))


TASKS = {'measure': measure, 'write_graph': write_graph, 'write_triples': write_triples}
"""What a process of its own does."""


def child(*arguments) -> str:
    """What this program prints with these arguments, in a process of its own."""
    command = [sys.executable, __file__, '--child', *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def compare(work: str, path: Path, repeats: int, bound: str) -> None:
    """Prints a line for each reader of a file or folder."""
    readers = [name for name in READERS[work] if importlib.util.find_spec(name.partition(',')[0])]
    found = {name: [] for name in readers}
    for _ in range(repeats):
        for name in readers:
            found[name].append(json.loads(child('measure', work, name, path)))
    if len({run['entities'] for runs in found.values() for run in runs}) != 1:
        raise AssertionError(f'the readers disagree: {found}')
    for name, runs in found.items():
        walls = [run['wall'] for run in runs]
        processor, peak = (statistics.median(run[what] for run in runs) for what in ('processor', 'peak'))
        print(
            f'{work:9}{name:20}{statistics.median(walls):8.2f} s ({min(walls):.2f} to {max(walls):.2f})'
            f'{processor:9.2f} s of processor time{peak:7.2f} GiB peak{bound if name == "mans_jax" else ""}'
        )
    for name in READERS[work]:
        if name not in readers:
            print(f'{work:9}{name:20}not installed')


def main() -> None:
    """Writes what is read, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, help='FB15K-237 in OpenKE form')
    parser.add_argument('--triples', type=int, default=10_000_000, help='lines of the file of labelled triples')
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--child', nargs='+', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        TASKS[arguments.child[0]](*arguments.child[1:])
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder, path = arguments.data or Path(temporary) / 'graph', Path(temporary) / 'triples.tsv'
        if not arguments.data:
            folder.mkdir()
            child('write_graph', folder)
        compare('graph', folder, arguments.repeats, '; bound 1.0 s')
        compare('audit', folder, arguments.repeats, '; bound 5 s')
        child('write_triples', path, arguments.triples)
        print(f'{arguments.triples:,} labelled triples, {path.stat().st_size / 2**30:.2f} GiB')
        compare('triples', path, arguments.repeats, '; bound 30 s, 4 GB' if arguments.triples == 10_000_000 else '')


if __name__ == '__main__':
    main()
