"""The score of triples and the best answers of queries as programs that JAX alone runs, for any number of them.

The programs hold no numbers: vectors and known facts are arguments, which lie beside them in one file. As constants
they would stand in each program again, and XLA takes them for something to compute with: of 100,000 entities (D=128,
two modalities), a program that holds them takes half a minute until its first answer.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import export

from mans_jax.candidates import Candidates
from mans_jax.exporting.trained import Trained
from mans_jax.graph import HEAD, TAIL, Triple
from mans_jax.prediction.embedded import Embedded, score_triples
from mans_jax.prediction.top_k import top_answers
from mans_jax.ranking import Queries

LIBRARIES = ('flatbuffers',)
"""What JAX writes programs with, and does not bring along."""

PLATFORMS = ('cpu', 'cuda', 'rocm', 'tpu')
ENDING = '.jax_export'
ARRAYS = 'arrays.npz'

_KNOWN = ('query_start', 'query_relation', 'answer_start', 'answers')
"""The arrays of `KnownTriples` that answers are filtered by; the one beside them serves sampling alone."""

_BATCH = 'b'


def arrays_of(trained: Trained) -> dict[str, np.ndarray]:
    """What the programs compute with.

    Args:
        trained: the run.

    Returns:
        entity_columns float32[blocks, M, D, C] and entity_present bool[blocks, M, C], the entities in blocks of C
        columns, the last one padded; relation float32[R, W]; and the known facts, int32 arrays of `KnownTriples`.
    """
    entities, known = trained.embedded.entities, trained.run.known
    return {
        'entity_columns': np.asarray(entities.columns),
        'entity_present': np.asarray(entities.present),
        'relation': trained.relations,
        **{f'known_{name}': np.asarray(getattr(known, name)) for name in _KNOWN},
    }


def functions_of(trained: Trained, k: int) -> dict[str, Callable]:
    """The functions that become programs, by name; each takes `arrays_of` first.

    - score: (arrays, triples int32[b, 3]) -> plausibility float32[b].
    - tails: (arrays, queries int32[b, 2] of head and relation, novel bool[]) -> (ids int32[b, k], scores
      float32[b, k]), the k entities that answer best, best first; with `novel` known facts are left out.
    - heads: the same, queries of relation and tail.

    An id that does not exist makes NaN, and answers of id -1. Where fewer than k answers are left, which only happens
    with `novel`, the rest has id -1 and score minus infinity.

    Args:
        trained: the run.
        k: how many answers, at most E.
    """
    score_function, sizes = trained.run.model.score, trained.run.known

    def score(arrays, triples):
        triples = Triple.from_rows(triples)
        scores = score_triples(score_function, _embedded(arrays), triples)
        return jnp.where(_exist(sizes, [triples.head, triples.tail], triples.relation), scores, jnp.nan)

    def answer(side, arrays, kept, relation, novel):
        queries = Queries(jnp.full(kept.shape, side, jnp.int32), kept, relation)
        known = dataclasses.replace(sizes, **{name: arrays[f'known_{name}'] for name in _KNOWN}, unknown_below=None)
        top = top_answers(score_function, _embedded(arrays), queries, k, known, novel)
        exist = _exist(sizes, [kept], relation)[:, None]
        ids = jnp.where(exist & (top.entity < sizes.num_entities), top.entity, -1)
        return ids, jnp.where(exist, top.score, jnp.nan)

    def tails(arrays, queries, novel):
        return answer(TAIL, arrays, queries[:, 0], queries[:, 1], novel)

    def heads(arrays, queries, novel):
        return answer(HEAD, arrays, queries[:, 1], queries[:, 0], novel)

    return {'score': score, 'tails': tails, 'heads': heads}


def export_programs(trained: Trained, k: int, platforms: Sequence[str]) -> dict[str, export.Exported]:
    """The functions of a run, lowered for any number of triples or queries, by name.

    Args:
        trained: the run.
        k: how many answers, at most E.
        platforms: some of PLATFORMS, whether they are there or not.
    """
    arrays = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in arrays_of(trained).items()}
    (batch,) = export.symbolic_shape(_BATCH)
    ids, flag = (lambda width: jax.ShapeDtypeStruct((batch, width), jnp.int32)), jax.ShapeDtypeStruct((), jnp.bool_)
    inputs = {'score': (ids(3),), 'tails': (ids(2), flag), 'heads': (ids(2), flag)}
    return {
        name: export.export(jax.jit(function), platforms=platforms)(arrays, *inputs[name])
        for name, function in functions_of(trained, k).items()
    }


def write(folder: Path, trained: Trained, k: int, platforms: Sequence[str]) -> dict:
    """Writes the programs and what they compute with.

    Args:
        folder: where they go.
        trained: the run.
        k: how many answers the queries give, at most E.
        platforms: some of PLATFORMS.

    Returns:
        What the manifest says of them.
    """
    arrays = arrays_of(trained)
    np.savez(folder / ARRAYS, **arrays)
    described = {}
    for name, exported in export_programs(trained, k, platforms).items():
        (folder / f'{name}{ENDING}').write_bytes(exported.serialize())
        described[name] = _describe(name, exported)
    return {
        'jax': jax.__version__,
        'jaxlib': jaxlib.__version__,
        'minimum_jax': minimum_jax(jax.__version__),
        'platforms': list(platforms),
        'answers': k,
        'programs': described,
        'arrays': {
            'file': ARRAYS,
            'shapes': {name: {'shape': list(x.shape), 'dtype': x.dtype.name} for name, x in arrays.items()},
        },
    }


_OLDEST_READERS = {'0.10': '0.9.2', '0.12': '0.11.0'}
"""The oldest release of JAX that was seen to read what one has written; each writes for little older ones alone."""


def minimum_jax(version: str) -> str:
    """The oldest version of JAX that reads what a version has written: as far as is known, that version itself."""
    return _OLDEST_READERS.get('.'.join(version.split('.')[:2]), version)


_INPUTS = {
    'score': {'triples': 'head, relation, tail'},
    'tails': {'queries': 'head, relation', 'novel': 'leaves known facts out'},
    'heads': {'queries': 'relation, tail', 'novel': 'leaves known facts out'},
}
_OUTPUTS = {'score': ('scores',), 'tails': ('ids', 'scores'), 'heads': ('ids', 'scores')}


def _describe(name, exported):
    (_, *inputs), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
    return {
        'file': f'{name}{ENDING}',
        'inputs': {'arrays': f'all of {ARRAYS}'}
        | {
            key: _shape(aval) | {'holds': holds}
            for (key, holds), aval in zip(_INPUTS[name].items(), inputs, strict=True)
        },
        'outputs': {key: _shape(aval) for key, aval in zip(_OUTPUTS[name], exported.out_avals, strict=True)},
        'calling_convention_version': exported.calling_convention_version,
    }


def _shape(aval):
    return {'shape': [x if isinstance(x, int) else str(x) for x in aval.shape], 'dtype': aval.dtype.name}


def _embedded(arrays) -> Embedded:
    return Embedded(Candidates(arrays['entity_columns'], arrays['entity_present']), arrays['relation'])


def _exist(sizes, entities, relation):
    exist = (relation >= 0) & (relation < sizes.num_relations)
    for ids in entities:
        exist &= (ids >= 0) & (ids < sizes.num_entities)
    return exist
