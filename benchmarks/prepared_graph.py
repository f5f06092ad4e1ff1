"""Times the loading of a graph of FB15K's size from its text files and from its prepared form.

    python benchmarks/prepared_graph.py

The graph is random, with FB15K's numbers of entities, relations and triples. The first load of the prepared form
imports TensorFlow Datasets, which is in its time. On a machine that others use too, look at the processor seconds.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mans_jax.data import load_graph, openke, prepared
from mans_jax.data.published import GRAPHS


def write_random(name: str, folder: Path) -> None:
    """Writes an OpenKE folder with as many entities, relations and triples as a published graph."""
    entities, relations, *splits = GRAPHS[name].counts
    rng = np.random.default_rng(0)
    for what, number in (('entity', entities), ('relation', relations)):
        labels = ''.join(f'/m/0{what}{i:05}\t{i}\n' for i in range(number))
        (folder / f'{what}2id.txt').write_text(f'{number}\n{labels}')
    for split, number in zip(('train', 'valid', 'test'), splits, strict=True):
        rows = rng.integers(0, [entities, entities, relations], size=(number, 3)).tolist()
        text = ''.join(f'{head} {tail} {relation}\n' for head, tail, relation in rows)
        (folder / f'{split}2id.txt').write_text(f'{number}\n{text}')


def report(label: str, function, *arguments, **options) -> None:
    """Calls a function once and prints how long it took."""
    wall, processor = time.perf_counter(), time.process_time()
    function(*arguments, **options)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f'{label:40}{wall:8.3f} s{processor:8.3f} s of processor time')


def main() -> None:
    """Prepares the graph in another process, then loads it in this one."""
    with tempfile.TemporaryDirectory() as temporary:
        source, data_dir = Path(temporary) / 'source', Path(temporary) / 'data'
        source.mkdir()
        write_random('fb15k', source)
        arguments = ['--dataset=fb15k', f'--source={source}', f'--data_dir={data_dir}']
        command = [sys.executable, '-m', 'mans_jax.prepare', *arguments]
        subprocess.run(command, check=True, capture_output=True)
        folder = prepared.locate('fb15k', data_dir)
        report('prepared form, with imports', prepared.read, folder)
        report('prepared form', prepared.read, folder)
        report('text files', openke.read, source)
        report('load_graph of the prepared form', load_graph, folder)


if __name__ == '__main__':
    main()
