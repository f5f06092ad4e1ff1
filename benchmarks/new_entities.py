"""What an extended run knows of its new entities: a share of a graph's entities is left out, then added.

    python benchmarks/new_entities.py --config=configs/db15k.py --set data=FOLDER --set features.text=FILE \\
        --set num_epochs=50 --workdir=runs/new_entities

The first run is trained without the new entities. Of their train triples half are added and half are what is asked for,
both sides, filtered. Rows of the table: the run as it is, which sees new entities through their features alone; their
structural rows at random, and as `mans_jax.extend` estimates them; both after more epochs; and all of it from scratch.
"""

import argparse
import ast
import dataclasses
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax.config import from_config_dict
from mans_jax.data import load_graph, openke
from mans_jax.graph import KnownTriples
from mans_jax.ranking import rank_metrics, ranks
from mans_jax.runs import load_run, prepare_run
from mans_jax.tasks.link_prediction import predict_links
from mans_jax.training import train_and_evaluate
from mans_jax.training_step import init_state, make_training_loop
from mans_jax.warm_start import extend_state


def main():
    """Trains, extends and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', required=True, help='a file in configs/')
    parser.add_argument('--workdir', required=True, type=pathlib.Path, help='a run that is done here is not run again')
    parser.add_argument('--set', action='append', default=[], metavar='FIELD=VALUE', help='any config field')
    parser.add_argument('--strategy', default='normal')
    parser.add_argument('--share', type=float, default=0.05, help='of the entities, how many are new')
    parser.add_argument('--epochs', type=int, help='of training on; by default a tenth of the first')
    arguments = parser.parse_args()
    config = make_config(arguments)
    epochs = arguments.epochs or max(config.num_epochs // 10, 1)
    folder = arguments.workdir / 'graphs'
    if not folder.exists():
        write_graphs(load_graph(config.data, config.features)[0], folder, arguments.share)
    old_config, new_config = (with_graph(config, folder / name) for name in ('old', 'all'))
    if not (arguments.workdir / 'run' / 'results.json').exists():
        train_and_evaluate(old_config, arguments.workdir / 'run')
    old, old_state = load_run(arguments.workdir / 'run')
    new = prepare_run(dataclasses.replace(new_config, num_epochs=config.num_epochs + epochs))
    asked = np.load(folder / 'asked.npy')

    def report(label, run, state):
        print(f'| {label} | {" | ".join(judge(old, run, state, asked))} |', flush=True)

    number = new.graph.num_entities - old.graph.num_entities
    print(f'{number} of {new.graph.num_entities} entities are new, {len(asked)} of their triples are asked for')
    print('| rows of new entities | MRR | hits_at_10 | MRR where a new entity is asked for |\n|---|---|---|---|')
    unseen = prepare_run(with_graph(config, folder / 'unseen'))
    report('none: their features alone', unseen, extend_state(old, old_state, unseen)[0])
    start, estimates = extend_state(old, old_state, new)
    random = init_state(new.model, new.config, new.data).params['entity']
    rows = jnp.where(estimates.estimated[:, None], random, start.params['entity'])
    loop = make_training_loop(new.model, new.config, new.steps_per_epoch)
    for label, row in (('at random', rows), ('estimated', start.params['entity'])):
        state = jax.tree.map(jnp.copy, start.replace(params={**start.params, 'entity': row}))
        report(label, new, state)
        for _ in range(epochs):
            state = loop.train_steps(state, new.data, new.steps_per_epoch)
        report(f'{label}, then {epochs} epochs', new, state)
    if not (arguments.workdir / 'scratch' / 'results.json').exists():
        train_and_evaluate(new_config, arguments.workdir / 'scratch')
    report(f'from scratch, {new_config.num_epochs} epochs', *load_run(arguments.workdir / 'scratch'))


def make_config(arguments):
    """The recipe's config with the changed fields, and seed 0."""
    spec = importlib.util.spec_from_file_location('recipe', arguments.config)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    config = recipe.get_config(arguments.strategy)
    for change in arguments.set:
        name, _, value = change.partition('=')
        old = config
        *path, last = name.split('.')
        for part in path:
            old = old[part]
        old[last] = value if isinstance(old[last], str) else ast.literal_eval(value)
    return from_config_dict(config)


def write_graphs(graph, folder, share):
    """The graph without new entities, with them but none of their train triples, and with half of those."""
    rng = np.random.default_rng(0)
    is_new = np.zeros(graph.num_entities, dtype=bool)
    is_new[rng.permutation(graph.num_entities)[: int(share * graph.num_entities)]] = True
    order, first = np.argsort(is_new, kind='stable'), graph.num_entities - is_new.sum()
    entities = [graph.entities[i] for i in order]
    id_of = np.argsort(order).astype(np.int32)
    features = {
        name: np.where(graph.present[:, [m]], rows, np.nan)[order]
        for m, (name, rows) in enumerate(graph.features.items(), start=1)
    }
    kept = {}
    for name in ('train', 'valid', 'test'):
        head, relation, tail = graph.split(name).T
        rows = np.stack([id_of[head], relation, id_of[tail]], axis=1)
        about_new = (rows[:, [0, 2]] >= first).any(axis=1)
        kept[name] = rows[~about_new]
        if name == 'train':
            context, asked = np.array_split(rng.permutation(rows[about_new]), 2)
    for name, size, train in (
        ('old', first, kept['train']),
        ('unseen', len(order), kept['train']),
        ('all', len(order), np.concatenate([kept['train'], context])),
    ):
        openke.write(folder / name, entities[:size], graph.relations, {**kept, 'train': train})
        for modality, rows in features.items():
            np.save(folder / name / f'{modality}.npy', rows[:size])
    np.save(folder / 'asked.npy', asked)


def with_graph(config, folder):
    """The config with another graph of the same modalities."""
    features = {name: str(folder / f'{name}.npy') for name in config.features}
    return dataclasses.replace(config, data=str(folder), features=features)


def judge(old, run, state, asked):
    """The numbers of a row."""
    every = np.concatenate([run.graph.train, run.graph.valid, run.graph.test, asked])
    known = KnownTriples.build(every, num_entities=run.graph.num_entities, num_relations=run.graph.num_relations)
    counts = predict_links(run.model, state.params, run.data.frozen, run.graph, asked, known)
    by_side = ranks(counts.better, counts.tied)
    both, of_new = rank_metrics(by_side), rank_metrics(by_side[asked[:, [0, 2]].T >= old.graph.num_entities])
    return [f'{number:.3f}' for number in (both['mrr'], both['hits_at_10'], of_new['mrr'])]


if __name__ == '__main__':
    main()
