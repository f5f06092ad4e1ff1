"""Looks at a graph before anything is trained on it: `python -m mans_jax.audit --graph=FOLDER`.

Prints what would make results on it look better or worse than they should: duplicates, leaks, triples that others give
away, gaps. `--write_clean=DIR` writes the graph with a split that has neither duplicates nor leaks.
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

from mans_jax import command_line
from mans_jax.data import load_graph, openke
from mans_jax.data.audit import audit
from mans_jax.data.audit_report import problems, table
from mans_jax.data.feature_files import FORMATS
from mans_jax.data.resplit import resplit
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph

_GRAPH = flags.DEFINE_string(
    'graph',
    None,
    "A folder in OpenKE form or with train, valid and test as labelled triples, one file of these, 'digits', "
    "'synthetic:entities=1000,triples=5000', or 'tfds:NAME' for one that mans_jax.prepare has prepared.",
)
_FEATURES = flags.DEFINE_multi_string(
    'features',
    [],
    f'A modality as NAME=FILE ({", ".join(FORMATS)}), or NAME=embedded for one that the graph brings along; give it '
    'once for each.',
)
_JSON = flags.DEFINE_string('json', None, "The file to write all numbers to; without one, or '-', to stdout.")
_WRITE_CLEAN = flags.DEFINE_string('write_clean', None, 'The new folder to write the cleaned graph to, as OpenKE.')
_SEED = flags.DEFINE_integer('seed', 0, 'What draws the valid split of --write_clean.', lower_bound=0)

# Makes absl take the flag without a value too; it then reads 'true'.
flags.FLAGS['json'].boolean = True
_STDOUT = ('true', '-')


def main(_) -> int:
    """Audits the graph, and writes what was asked for."""
    graph, _ = load_graph(_GRAPH.value, command_line.parse_features(_FEATURES.value), splits='published')
    result = audit(graph)
    content = {**dataclasses.asdict(result), 'problems': [dataclasses.asdict(x) for x in problems(result)]}
    if _WRITE_CLEAN.value is not None:
        content['clean'] = write_clean(graph, _WRITE_CLEAN.value, seed=_SEED.value)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    if _JSON.value in _STDOUT:
        print(text)
        return 0
    if _JSON.value is not None:
        _write(Path(_JSON.value), text + '\n')
    print(table(result))
    if 'clean' in content:
        print('\n' + _clean_line(content['clean']))
    return 0


def write_clean(graph: KnowledgeGraph, folder: str, *, seed: int) -> dict:
    """Writes a graph as an OpenKE folder with a split that has neither duplicates nor leaks; see `resplit`.

    Entities and relations keep their ids, so that features made for the graph fit the folder too.

    Args:
        graph: the graph as published.
        folder: a folder that is empty or does not exist yet.
        seed: what draws the valid split.

    Returns:
        The folder and the numbers of triples, by name.

    Raises:
        InputError: the folder cannot be written, or no such split can be made.
    """
    try:
        split = resplit({name: graph.split(name) for name in ('train', 'valid', 'test')}, seed=seed)
    except InputError as error:
        raise InputError(f'{graph.name}: {error}') from None
    openke.write(folder, graph.entities, graph.relations, split.triples)
    numbers = {name: len(rows) for name, rows in split.triples.items()}
    others = {field: getattr(split, field) for field in ('left_test', 'joined_train', 'wanted_valid')}
    return {'folder': folder, 'seed': seed, **numbers, **others}


def _clean_line(clean: dict) -> str:
    less = f' of the {clean["wanted_valid"]:,} wanted' if clean['valid'] < clean['wanted_valid'] else ''
    return (
        f'{clean["folder"]}: {clean["train"]:,} train, {clean["valid"]:,} valid{less}, {clean["test"]:,} test triples; '
        f'{clean["left_test"]:,} left test, {clean["joined_train"]:,} of the old valid joined train'
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding='utf-8')
    except OSError as error:
        raise InputError(f'{path}: cannot be written ({error.strerror})') from None


if __name__ == '__main__':
    command_line.run(main, required=('graph',))
