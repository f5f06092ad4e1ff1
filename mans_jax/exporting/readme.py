"""The README of an export: what each file is and the few lines that read it."""

from mans_jax.exporting.programs import ARRAYS, ENDING
from mans_jax.exporting.trained import Trained

_LABELS = """# {run}, step {step}

{entities:,} entities seen through {modalities}, {relations:,} relations of the graph {graph}.
Score {score}, dimension {dim}. Exported by mans_jax {mans_jax}; `manifest.json` says the same for programs.

`entities.tsv` and `relations.tsv`: id and label, parted by a tab. Backslash, tab, line feed and carriage return of a
label are written as `\\\\`, `\\t`, `\\n` and `\\r`, and nothing is quoted.
"""

_VECTORS = """
## Vectors

`vectors/entities.parquet` and `vectors/relations.parquet`, and the same as safetensors.

- Entities: {entity_vectors}.
- Relations: {relation_vectors}.
- A modality that an entity is not scored by is null in Parquet and a row of NaN in safetensors; `has_NAME` says whether
  the graph has it.
- Where they come from stands in the metadata of the Parquet schema and of the safetensors header, with all labels.

```python
import pandas

entities = pandas.read_parquet('vectors/entities.parquet').set_index('label')
```

```python
from safetensors.numpy import load_file

entities = load_file('vectors/entities.safetensors')['vector_{first}']  # float32[{entities}, {dim}], a row an id
```
"""

_PROJECTOR = """
## Projector

`tensorboard --logdir projector`, then Projector. {shown:,} of {entities:,} entities are shown{how}.
"""

_PROGRAM = """
## Programs

They need JAX {minimum_jax} or later and flatbuffers (`pip install jax flatbuffers`), nothing else, and run on
{platforms}. They take any number of triples or queries, and are compiled once for each number. From this folder:

```python
import jax
import numpy as np
from jax import export

arrays = jax.device_put(dict(np.load('program/{ARRAYS}')))
load = lambda name: export.deserialize(bytearray(open(f'program/{{name}}{ENDING}', 'rb').read()))
score, tails, heads = (jax.jit(load(name).call) for name in ('score', 'tails', 'heads'))
labels = [line.split('\\t')[1] for line in open('entities.tsv', encoding='utf-8').read().split('\\n')[1:-1]]
print(score(arrays, np.int32([[{h}, {r}, {t}]])))  # of (head, relation, tail)
ids, scores = tails(arrays, np.int32([[{h}, {r}]]), False)  # of (head, relation, ?); True leaves known facts out
print([(labels[i], float(s)) for i, s in zip(ids[0, :3], scores[0])])
ids, scores = heads(arrays, np.int32([[{r}, {t}]]), False)  # of (?, relation, tail)
```

Answers come best first, {answers} of them: take as many as you want from the front. An id that does not exist gives
NaN and answers of id -1; id -1 with score minus infinity stands where no answer is left. The programs hold no vectors:
those are in `{ARRAYS}`, so that one copy serves all of them.
"""


def text(trained: Trained, manifest: dict) -> str:
    """The README of what a manifest says was exported."""
    graph, record = trained.run.graph, trained.record()
    modalities = ', '.join(graph.modalities)
    sizes = {'entities': graph.num_entities, 'relations': graph.num_relations, 'modalities': modalities}
    parts = [_LABELS.format(**record | sizes)]
    if 'vectors' in manifest:
        parts += [_VECTORS.format(**record | sizes, first=graph.modalities[-1])]
    if 'projector' in manifest:
        shown = manifest['projector']['entities']
        how = '' if shown == graph.num_entities else f', drawn with seed {manifest["projector"]["seed"]}'
        parts += [_PROJECTOR.format(shown=shown, how=how, **sizes)]
    if 'program' in manifest:
        h, r, t = graph.train[0].tolist()
        platforms = ', '.join(manifest['program']['platforms'])
        names = {'ARRAYS': ARRAYS, 'ENDING': ENDING, 'h': h, 'r': r, 't': t}
        parts += [_PROGRAM.format(**manifest['program'] | names | {'platforms': platforms})]
    return ''.join(parts)
