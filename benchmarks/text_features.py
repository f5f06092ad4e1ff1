"""Times the features of a table of texts beside sentence-transformers called directly on the same texts.

    python benchmarks/text_features.py --input=data/db15k/entity_text.tsv --model=FOLDER_OR_NAME

Both load the model and encode all texts, in turns; ours also reads the table, keeps what is done and writes the file.
On a machine that others use too, look at the processor seconds; the threads of both wait passively, as the command line
has it, for otherwise their waiting would count as work.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from mans_jax.data.features import read
from mans_jax.encoders import feature_writer, journal, text, text_table


def directly(texts, model, batch_size):
    """What the library gives, called once."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(model, device='cpu').encode(texts, batch_size=batch_size, show_progress_bar=False)


def ours(path, model, batch_size, folder):
    """What `python -m mans_jax.features text` does."""
    output = folder / 'text.safetensors'
    partial = feature_writer.partial_folder(output)
    feature_writer.write(output, text.encode(path, model, partial=partial, batch_size=batch_size))
    journal.clear(partial)
    return output


def timed(function, *arguments):
    """The result, wall seconds and processor seconds of a call."""
    wall, processor = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return result, time.perf_counter() - wall, time.process_time() - processor


def main():
    """Prints each repeat, the ratio of the sums and how far the numbers are apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--input', type=Path, required=True, help='lines label<TAB>text')
    parser.add_argument('--model', required=True, help='a folder or a name on the Hugging Face hub')
    parser.add_argument('--batch_size', type=int, default=32)
    parser.add_argument('--repeats', type=int, default=2)
    args = parser.parse_args()
    table = text_table.read(args.input)
    os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
    import sentence_transformers  # noqa: F401  Its import is in neither time.

    sums = np.zeros((2, 2))
    print(f'{len(table.texts):,} texts, batches of {args.batch_size}, load of the machine {os.getloadavg()[0]:.1f}')
    for _ in range(args.repeats):
        with tempfile.TemporaryDirectory() as folder:
            expected, *direct = timed(directly, table.texts, args.model, args.batch_size)
            output, *own = timed(ours, args.input, args.model, args.batch_size, Path(folder))
            found, _ = read(output, table.labels)
        sums += [direct, own]
        for name, (wall, processor) in (('sentence-transformers', direct), ('mans_jax', own)):
            print(f'{name:24}{wall:8.2f} s{processor:8.2f} s of processor time', flush=True)
    wall, processor = sums[1] / sums[0]
    print(f'ratio {wall:.3f}, of processor time {processor:.3f}; apart by at most {np.abs(found - expected).max():.1e}')


if __name__ == '__main__':
    main()
