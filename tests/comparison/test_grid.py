"""A grid: its cells, and what is refused by name before anything is read or trained."""

import dataclasses

import jax.numpy as jnp
import ml_collections
import pytest

from mans_jax.comparison.grid import WITH_MARGIN, Search, comparison_config, from_config_dict
from mans_jax.comparison.rows import ALIKE, OF_THE_GRID, row_fields
from mans_jax.config import Config, from_fields
from mans_jax.errors import InputError
from mans_jax.losses import LOSSES
from mans_jax.samplers import FAMILIES
from mans_jax.scoring import SCORES

RECIPE = {'data': 'digits', 'features': {'pixels': 'embedded', 'text': ''}}


def make(samplers=('normal: bernoulli', 'mans_v(bernoulli)'), baseline='normal', **fields):
    return from_config_dict(comparison_config(samplers, baseline, **{**RECIPE, **fields}))


def refusal(make, *arguments, **fields) -> str:
    """The one line with which something is refused."""
    with pytest.raises(InputError) as error:
        make(*arguments, **fields)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_a_grid_is_every_row_with_every_score():
    grid = make(scores=('transe_l1', 'distmult'), dim=16)
    cells = grid.cells()
    assert [(cell.label, cell.score) for cell in cells] == [
        ('normal', 'transe_l1'),
        ('mans_v(bernoulli)', 'transe_l1'),
        ('normal', 'distmult'),
        ('mans_v(bernoulli)', 'distmult'),
    ]
    expected = from_fields({**RECIPE, 'dim': 16, 'sampler': 'mans_v(bernoulli)', 'score': 'distmult'})
    assert dataclasses.replace(cells[3].config, num_epochs=expected.num_epochs) == expected
    assert len({cell.name for cell in cells}) == 4
    assert cells[0].name == 'normal.transe_l1' and '(' not in cells[1].name


def test_the_config_has_every_field_of_a_recipe_but_those_that_the_grid_says():
    config = comparison_config(('bernoulli',), 'bernoulli', **RECIPE)
    names = {field.name for field in dataclasses.fields(Config)} - set(OF_THE_GRID)
    own = {'samplers', 'scores', 'seeds', 'baseline', 'budget', 'seeds_at_once', 'search'}
    assert set(config) == names | own
    with pytest.raises(AttributeError, match='sampler'):
        config.sampler = 'uniform'
    with pytest.raises(AttributeError, match='trials'):
        config.search.trial = 3


def test_every_field_of_a_search_is_of_its_defaults_type():
    for field in dataclasses.fields(Search):
        assert type(getattr(Search(), field.name)) is field.type


@pytest.mark.parametrize(
    ('seeds_at_once', 'groups'), [(0, [(3, 1, 2)]), (1, [(3,), (1,), (2,)]), (2, [(3, 1), (2,)]), (9, [(3, 1, 2)])]
)
def test_seeds_train_in_groups(seeds_at_once, groups):
    assert make(seeds=(3, 1, 2), seeds_at_once=seeds_at_once).seed_groups() == groups


# Rows.


@pytest.mark.parametrize(
    ('text', 'label', 'own'),
    [
        ('bernoulli', 'bernoulli', {'sampler': 'bernoulli'}),
        (
            'mans_h(bernoulli, share=0.3)',
            'mans_h(bernoulli, share=0.3)',
            {'sampler': 'mans_h(bernoulli, share=0.3)'},
        ),
        ('two words: uniform', 'two words', {'sampler': 'uniform'}),
        ('K=16: uniform', 'K=16', {'sampler': 'uniform'}),
        ('bernoulli; num_negatives=16; margin=3', None, {'sampler': 'bernoulli', 'num_negatives': 16, 'margin': 3.0}),
        (
            'a: bernoulli; strategy=mans_a; marks=per_sample ; exchange_absent=True',
            'a',
            {'sampler': 'bernoulli', 'strategy': 'mans_a', 'marks': 'per_sample', 'exchange_absent': True},
        ),
        ('a: bernoulli; features=', 'a', {'sampler': 'bernoulli', 'features': {'pixels': '', 'text': ''}}),
        (
            'a: bernoulli; features=pixels',
            'a',
            {'sampler': 'bernoulli', 'features': {'pixels': 'embedded', 'text': ''}},
        ),
        (
            'a: bernoulli; features.text=b.npy; features=text',
            'a',
            {'sampler': 'bernoulli', 'features': {'pixels': '', 'text': 'b.npy'}},
        ),
    ],
)
def test_a_row_is_read(text, label, own):
    assert row_fields(text, RECIPE) == (label or text, own)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a: unifrom', "'a': config.sampler: 'unifrom' is not a known name; did you mean 'uniform'? Known: "),
        ('bernoulli; dims=3', "'bernoulli; dims=3': 'dims' is not a known field of a recipe; did you mean 'dim'? "),
        ('a: bernoulli; dim', "'a': 'dim' is not of the form FIELD=VALUE"),
        ('a: bernoulli; dim=x', "'a': dim=x must be of type int"),
        ('a: bernoulli; features=pixel', "'a': features: 'pixel' is not a known modality of the recipe; did you mean"),
        ('a: bernoulli; features=text', "'a': config.features.text names no file; give it one"),
        ('a: bernoulli; features.x=b.npy', "'a': features: 'x' is not a known modality of the recipe; Known: "),
        ('a: mans_v', "'a': config.sampler: mans_v wraps 1 samplers, not 0, as in mans_v(bernoulli)"),
        ('bernoulli,uniform', "for several rows quote each, as in \"('bernoulli', 'mans_v(bernoulli)')\""),
    ],
)
def test_a_row_that_cannot_be_read_is_named(text, message):
    said = refusal(make, (text,), text)
    assert said.startswith('config.samplers: row ') and message in said


@pytest.mark.parametrize('field', [*ALIKE, *OF_THE_GRID])
def test_what_a_row_must_not_set_is_refused(field):
    said = refusal(make, (f'a: bernoulli; {field}=1',), 'a')
    assert said.startswith(f"config.samplers: row 'a' sets {field}")
    assert said.endswith('for all of them') or said.endswith('; leave it out')


def test_a_row_is_a_text():
    assert refusal(make, (3,), '3') == 'config.samplers: 3 is not a text; write the sampler of each row in quotes'


# Combinations.


def test_a_value_that_makes_no_sense_names_its_row_and_score():
    said = refusal(make, ('a: bernoulli; dim=7',), 'a', scores=('transe_l1', 'rotate'))
    assert said == (
        "config.samplers: row 'a' with rotate: config.dim is 7, but rotate needs an even one: real and imaginary parts"
    )


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'samplers': ()}, 'config.samplers is empty: a comparison needs at least one'),
        ({'scores': ()}, 'config.scores is empty: a comparison needs at least one'),
        ({'seeds': ()}, 'config.seeds is empty: a comparison needs at least one'),
        ({'seeds': (0, 1, 0)}, 'config.seeds: 0 stands there 2 times; once is enough'),
        ({'seeds': (0, -1)}, 'config.seeds: -1 is no seed: a whole number from 0, below 2**32'),
        ({'seeds': ('a',)}, "config.seeds: 'a' is no seed: a whole number from 0, below 2**32"),
        ({'seeds_at_once': -1}, 'config.seeds_at_once is -1, but must be at least 0 (all of them)'),
        ({'scores': ('trans',)}, "config.scores: 'trans' is not a known name; did you mean 'transe_"),
        ({'baseline': 'norml'}, "config.baseline: 'norml' is not a known row; did you mean 'normal'? Known: normal, "),
        (
            {'samplers': ('normal: bernoulli', 'normal: uniform')},
            "config.samplers: 2 rows are called 'normal'; give each its own label",
        ),
        (
            {'samplers': ('normal: bernoulli', 'a b: uniform', 'a_b: uniform')},
            "config.samplers: row 'a b': its folder would be that of 'a_b'; give it another label",
        ),
        ({'learning_rate': 0.0}, "config.samplers: row 'normal' with transe_l1: config.learning_rate is 0.0, but "),
        (
            {'samplers': ('normal: bernoulli; dim=3.5',)},
            "config.samplers: row 'normal' with transe_l1: config.dim is 3.5, but must be of type int",
        ),
        ({'budget': '60 second'}, "config.budget: 'second' is not a known unit; did you mean 'seconds'? Known: "),
        ({'search': {'trials': -1}}, 'config.search.trials is -1, but must be at least 0'),
        ({'search': {'trials': 3}}, 'config.search.trials is set, but nothing to search for: set search.learning_rat'),
        ({'search': {'margin': (3.0,)}}, 'config.search.margin is (3.0,), but must be the least and the greatest, at'),
        ({'search': {'learning_rate': (0, 1)}}, 'config.search.learning_rate is (0, 1), but must be the least and th'),
        ({'search': {'margin': (3, 1)}}, 'config.search.margin is (3, 1), but must be the least and the greatest'),
        (
            {'search': {'trials': 2, 'margin': (1, 2)}, 'loss': 'softplus'},
            "config.samplers: row 'normal' has no margin to search for: its loss is softplus; empty search.margin",
        ),
        (
            {'search': {'trials': 2, 'margin': (1, 2)}, 'samplers': ('normal: bernoulli; margin=3',)},
            "config.samplers: row 'normal' sets margin, which is searched for; leave one of the two out",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(fields, message):
    assert refusal(make, **fields).startswith(message)


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('seedes', (1,), "config: 'seedes' is not a known field of a comparison; did you mean 'seeds'? Known: "),
        ('seeds', 3, 'config.seeds is 3, but must be of type tuple'),
        ('baseline', 3, 'config.baseline is 3, but must be of type str'),
        ('search', 3, 'config.search is 3, but has the fields trials, learning_rate, margin and seed'),
    ],
)
def test_a_config_that_is_no_grid_is_refused(name, value, message):
    config = ml_collections.ConfigDict({**comparison_config(('bernoulli',), 'bernoulli', **RECIPE), name: value})
    assert refusal(from_config_dict, config).startswith(message)


def test_a_recipe_alone_is_no_grid():
    config = ml_collections.ConfigDict({'data': 'digits', 'dim': 3})
    assert refusal(from_config_dict, config).startswith('config.baseline is missing: make the config with ')


def test_losses_with_a_margin_are_those_that_change_with_it():
    """A positive and a negative of one score: what the loss is at two margins."""
    changed = set()
    for name, make_loss in LOSSES.items():
        low, high = (float(make_loss(margin, 1.0)(jnp.zeros(1), jnp.zeros((1, 1)))) for margin in (1.0, 2.0))
        changed |= {name} if low != high else set()
    assert changed == set(WITH_MARGIN)


def test_every_sampler_that_needs_nothing_else_may_be_a_row():
    plain = [name for name, family in FAMILIES.items() if family.num_inner == (0, 0)]
    grid = make(tuple(plain), plain[0], scores=tuple(SCORES))
    assert len(grid.cells()) == len(plain) * len(SCORES)
