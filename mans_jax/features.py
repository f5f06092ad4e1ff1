"""Makes features from raw material: `python -m mans_jax.features text|image|numeric --input=... --output=...`.

text: --input is a TSV of label<TAB>text, --model any model of sentence-transformers.
image: --input is a folder with a folder of images for each entity, or any folder of images and an --index of
label<TAB>image id; --model is any vision model of transformers.
numeric: --input is a file of entity<TAB>attribute<TAB>value.

Writes a .safetensors with the labels of its rows, which `--config.features.NAME=FILE` takes. A run that was stopped
goes on where it was when the same command is given again.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags, logging

from mans_jax import command_line
from mans_jax.data import lines, load_graph
from mans_jax.encoders import feature_writer, image, journal, numeric, rows, text
from mans_jax.errors import InputError

_INPUT = flags.DEFINE_string('input', None, 'The file or folder with the texts, images or facts.')
_OUTPUT = flags.DEFINE_string('output', None, 'The .safetensors file to write.')
_GRAPH = flags.DEFINE_string(
    'graph', None, "A graph as for --config.data: only its entities get rows, in the order of its ids; 'digits' too."
)
_DTYPE = flags.DEFINE_enum('dtype', 'float32', list(feature_writer.DTYPES), 'The type of the numbers written.')
_MODEL = flags.DEFINE_string('model', None, 'text, image: a folder with a model, or a name on the Hugging Face hub.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 32, 'text, image: how many the model takes at once.', lower_bound=1)
_KEYS = flags.DEFINE_enum(
    'keys', 'label', ['label', 'id'], "text: what the first column holds; 'id' is an entity's id in --graph."
)
_SEPARATOR = flags.DEFINE_string('separator', '. ', 'text: what joins the columns behind the first.')
_INDEX = flags.DEFINE_string('index', None, 'image: a file of lines label<TAB>image id, several an entity if need be.')
_MIN_ENTITIES = flags.DEFINE_integer(
    'min_entities', 10, 'numeric: attributes that fewer entities have are left out.', lower_bound=1
)

COMMANDS = {
    'text': ('model', 'batch_size', 'keys', 'separator'),
    'image': ('model', 'batch_size', 'index'),
    'numeric': ('min_entities',),
}
"""What can be asked for, with the flags that not every one of them takes."""


def main(arguments) -> int:
    """Makes the features and says what was made."""
    # PyTorch's threads wait for each other at full speed else, which on a machine with other work is most of the time.
    os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
    output = Path(_OUTPUT.value)
    feature_writer.check_output(output)
    partial = feature_writer.partial_folder(output)
    entities = None if _GRAPH.value is None else load_graph(_GRAPH.value, splits='published')[0].entities
    encode = {'text': _text, 'image': _image, 'numeric': _numeric}[arguments[1]]
    encoded = encode(Path(_INPUT.value), partial, entities)
    feature_writer.write(output, encoded, dtype=_DTYPE.value)
    journal.clear(partial)
    number, width = encoded.values.shape
    of = '' if entities is None else f' of {len(entities):,}'
    print(f'{output}: {number:,}{of} entities, {width:,} features each')
    name = 'visual' if arguments[1] == 'image' else arguments[1]
    print(f'use it with --config.features.{name}={output}')
    return 0


def _text(path: Path, partial: Path, entities: Sequence[str] | None) -> rows.Encoded:
    if _KEYS.value == 'id' and entities is None:
        raise InputError('--keys=id: --graph is missing, whose entities the ids are')
    options = {'separator': _SEPARATOR.value, 'by_id': _KEYS.value == 'id', 'batch_size': _BATCH_SIZE.value}
    return text.encode(path, _model(), partial=partial, entities=entities, **options)


def _image(path: Path, partial: Path, entities: Sequence[str] | None) -> rows.Encoded:
    index = None if _INDEX.value is None else Path(_INDEX.value)
    options = {'index': index, 'batch_size': _BATCH_SIZE.value}
    return image.encode(path, _model(), partial=partial, entities=entities, **options)


def _numeric(path: Path, _, entities: Sequence[str] | None) -> rows.Encoded:
    found = numeric.encode(path, min_entities=_MIN_ENTITIES.value, among=entities)
    if found.strangers:
        several = lines.name_some(found.strangers)
        logging.warning('%s: %d labels are no entity and left out: %s', path, len(found.strangers), several)
    kept = rows.select(path, found.labels, entities)
    if found.rare:
        several = lines.name_some(list(found.rare))
        fewer = f'fewer than {_MIN_ENTITIES.value} entities'
        logging.warning('%s: %d attributes of %s are left out: %s', path, len(found.rare), fewer, several)
    if found.odd:
        several = ', '.join(f'{lines.quote(value)} in line {number}' for number, value in found.odd[:3])
        logging.warning('%s: %d values are no number and left out: %s', path, len(found.odd), several)
    record = {
        'kind': 'numeric',
        'input': {'name': path.name, 'sha256': feature_writer.file_digest(path)},
        'graph': feature_writer.labels_digest(entities),
        'min_entities': _MIN_ENTITIES.value,
        'attributes': found.attributes,
        'versions': feature_writer.versions('numpy'),
        'skipped': {
            'rare_attributes': found.rare,
            'without_number': len(found.odd),
            'not_in_graph': len(found.strangers),
        },
    }
    return rows.Encoded([found.labels[i] for i in kept], found.values[kept], record)


def _model() -> str:
    if not _MODEL.value:
        raise InputError('--model is missing; see --help')
    return _MODEL.value


if __name__ == '__main__':
    command_line.run(main, required=('input', 'output'), commands=COMMANDS)
