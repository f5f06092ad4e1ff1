"""The recipe: defaults, refusals by name, and what a resumed run may change."""

import dataclasses
import json

import ml_collections
import pytest

from mans_jax.config import Config, check_resumable, default_config, from_config_dict, from_fields
from mans_jax.errors import InputError
from mans_jax.losses import LOSSES
from mans_jax.objectives import OBJECTIVES, SCORES_FOR
from mans_jax.optim import OPTIMIZERS
from mans_jax.ranking import TIES
from mans_jax.samplers import FAMILIES, STRATEGIES
from mans_jax.scoring import SCORES

FIELDS = [field.name for field in dataclasses.fields(Config)]


def refusal(make, *arguments) -> str:
    """The one line with which something is refused."""
    with pytest.raises(InputError) as error:
        make(*arguments)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_a_recipe_of_defaults_is_the_dataclass_of_defaults():
    recipe = default_config(data='digits')
    assert sorted(recipe) == sorted(FIELDS)
    assert from_config_dict(recipe) == Config(data='digits')


def test_every_default_is_of_its_fields_type():
    for field in dataclasses.fields(Config):
        if field.name != 'features':
            assert type(getattr(Config(), field.name)) is field.type


def test_a_recipe_overrides_defaults_and_is_locked():
    recipe = default_config(data='graph', dim=6, features={'visual': '', 'text': 'text.npy'})
    recipe.features.visual = 'visual.npy'
    with pytest.raises(AttributeError, match='dim'):
        recipe.dims = 3
    with pytest.raises(AttributeError, match='visual'):
        recipe.features.visuals = 'x.npy'
    config = from_config_dict(recipe)
    assert (config.data, config.dim) == ('graph', 6)
    # Their order is that of the names, whatever that of the recipe: a resume finds the same modalities.
    assert list(config.features.items()) == [('text', 'text.npy'), ('visual', 'visual.npy')]


def test_a_modality_without_a_file_is_left_out():
    assert from_config_dict(default_config(data='graph', features={'visual': '', 'text': ''})).features == {}


@pytest.mark.parametrize(
    ('field', 'wrong', 'nearest', 'known'),
    [
        ('score', 'transe', 'transe_l1', SCORES),
        ('sampler', 'unifrom', 'uniform', FAMILIES),
        ('strategy', 'mans-a', 'mans_a', STRATEGIES),
        ('loss', 'margin', 'margin_ranking', {**LOSSES, **OBJECTIVES}),
        ('optimizer', 'adams', 'adam', OPTIMIZERS),
        ('ties', 'optimist', 'optimistic', TIES),
        ('marks', 'counts', 'count', ('count', 'per_sample')),
        ('splits', 'cleaned', 'clean', ('clean', 'published')),
        ('protocol', 'reverence', 'reference', ('honest', 'reference')),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_and_the_list(field, wrong, nearest, known):
    message = refusal(from_config_dict, default_config(data='digits', **{field: wrong}))
    if nearest in ('transe_l1', 'margin_ranking'):  # Others are as near.
        nearest = next(name for name in known if f'did you mean {name!r}?' in message)
    assert message.startswith(f'config.{field}: {wrong!r} is not a known name; did you mean {nearest!r}?')
    assert message.endswith(f'Known: {", ".join(known)}')


def test_a_name_like_no_other_is_refused_with_the_list_alone():
    message = refusal(from_config_dict, default_config(data='digits', loss='xyz'))
    assert message == f"config.loss: 'xyz' is not a known name; Known: {', '.join([*LOSSES, *OBJECTIVES])}"


def test_an_unknown_field_is_refused_with_the_nearest():
    recipe = default_config(data='digits', lerning_rate=1.0)
    assert "'lerning_rate' is not a known field; did you mean 'learning_rate'?" in refusal(from_config_dict, recipe)


WRONG_TYPES = {'data': 3, 'dim': 8.0, 'normalize': 'yes', 'score': 1, 'learning_rate': '0.1', 'num_epochs': '3'}


@pytest.mark.parametrize('field', WRONG_TYPES)
def test_a_wrong_type_is_refused(field):
    recipe = ml_collections.ConfigDict({**default_config(data='digits'), field: WRONG_TYPES[field]})
    want = next(f.type.__name__ for f in dataclasses.fields(Config) if f.name == field)
    message = refusal(from_config_dict, recipe)
    assert message == f'config.{field} is {WRONG_TYPES[field]!r}, but must be of type {want}'


def test_a_whole_number_is_a_number():
    recipe = ml_collections.ConfigDict({**default_config(data='digits'), 'learning_rate': 1, 'margin': 9})
    assert (from_config_dict(recipe).learning_rate, from_config_dict(recipe).margin) == (1, 9)


TOO_LOW = {
    'dim': 0,
    'num_negatives': 0,
    'margin': -0.5,
    'temperature': -1.0,
    'non_fact_weight': -1.0,
    'substitution_weight': -0.5,
    'substitution_share': -0.1,
    'batch_size': 0,
    'num_epochs': 0,
    'seed': -1,
    'evaluate_every': -1,
    'patience': -1,
    'checkpoint_every': -1,
    'keep_checkpoints': 0,
    'learning_rate': 0.0,
    'share': -0.1,
    'device_memory_gb': -0.5,
}


@pytest.mark.parametrize(
    ('field', 'value'),
    [*TOO_LOW.items(), ('share', 1.1), ('seed', 2**32)]
    + [(field, bad) for field in ('learning_rate', 'margin', 'temperature') for bad in (float('inf'), float('nan'))],
)
def test_a_value_out_of_range_is_refused(field, value):
    message = refusal(from_config_dict, default_config(data='digits', **{field: value}))
    assert message.startswith(f'config.{field} is {value}, but ')


def test_every_number_of_a_recipe_has_a_range():
    numbers = {field.name for field in dataclasses.fields(Config) if field.type in (int, float)}
    assert set(TOO_LOW) == numbers


@pytest.mark.parametrize('score', ['complex', 'rotate'])
def test_a_complex_score_needs_an_even_width(score):
    assert f'config.dim is 7, but {score}' in refusal(Config(data='digits', score=score, dim=7).validate)
    Config(data='digits', score=score, dim=8).validate()


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (
            {'loss': 'non_sampling', 'score': 'rotate', 'dim': 8},
            "config.score is 'rotate', but loss non_sampling is for transe_l2, distmult, complex: "
            'its sum over all triples has a closed form for those alone',
        ),
        (
            {'loss': 'k_vs_all'},
            "config.score is 'transe_l1', but loss k_vs_all is for distmult, complex: it needs scores of both signs",
        ),
        (
            {'loss': 'non_sampling', 'score': 'transe_l2', 'normalize': False},
            'config.normalize is False, but loss non_sampling takes transe_l2 with unit vectors alone',
        ),
        (
            {'loss': 'k_vs_all', 'score': 'distmult', 'strategy': 'mans_a'},
            "config.strategy is 'mans_a', but loss k_vs_all takes no negatives: set it to normal",
        ),
        (
            {'loss': 'one_vs_all', 'sampler': 'nscaching'},
            "config.sampler is 'nscaching', but loss one_vs_all takes no negatives: set it to bernoulli",
        ),
        (
            {'loss': 'softplus', 'sampler': 'concatenate(uniform, own_margin(mans_v(uniform)))'},
            "config.sampler is 'concatenate(uniform, own_margin(mans_v(uniform)))', but loss softplus has no margin of "
            'which own_margin could take a share: leave it out, or take one of margin_ranking, self_adversarial',
        ),
        (
            {'loss': 'margin_ranking', 'sampler': 'eans', 'substitution_weight': 0.5},
            'config.substitution_weight is 0.5, but loss margin_ranking has no false negatives to predict: take one of '
            'softplus, self_adversarial, or set it to 0',
        ),
        (
            {'loss': 'softplus', 'sampler': 'dhns(in_batch)', 'substitution_weight': 0.5},
            "config.substitution_weight is 0.5, but sampler 'dhns(in_batch)' shows no known triples to learn from, as "
            'eans, in_batch and the pools do: take one of them, or set it to 0',
        ),
        (
            {'loss': 'softplus', 'sampler': 'fallback(eans, uniform)', 'substitution_weight': 0.5},
            "config.substitution_weight is 0.5, but sampler 'fallback(eans, uniform)' shows no known triples to learn "
            'from, as eans, in_batch and the pools do: take one of them, or set it to 0',
        ),
        (
            {'loss': 'one_vs_all', 'optimizer': 'lazy_adam'},
            "config.optimizer is 'lazy_adam', but loss one_vs_all moves the rows of all entities: "
            'take one of adam, adagrad, sgd',
        ),
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields, message):
    assert refusal(Config(data='digits', **fields).validate) == message


def test_a_loss_without_negatives_is_taken_with_every_score_that_it_is_for():
    for loss, (scores, _) in SCORES_FOR.items():
        for score in scores:
            Config(data='digits', loss=loss, score=score, dim=8).validate()


def test_an_empty_source_is_refused():
    assert 'config.data is empty' in refusal(from_config_dict, default_config())


def test_the_reference_protocol_is_spelled_out():
    config = from_config_dict(default_config(data='digits', protocol='reference', patience=3, evaluate_every=5))
    assert (config.splits, config.ties, config.with_replacement) == ('published', 'optimistic', True)
    assert (config.evaluate_every, config.patience) == (0, 0)


def test_json_holds_every_field():
    config = from_config_dict(default_config(data='digits', features={'pixels': 'embedded'}, dim=6))
    assert Config(**json.loads(config.to_json())) == config
    assert list(json.loads(config.to_json())) == FIELDS


# What a resumed run may change.

BEFORE = Config(data='graph', features={'visual': 'a.npy'})
CHANGED = {
    'data': 'other',
    'split_ratios': (0.9, 0.05, 0.05),
    'features': {'visual': 'b.npy'},
    'splits': 'published',
    'protocol': 'reference',
    'score': 'distmult',
    'dim': 64,
    'normalize': False,
    'absent': 'learned',
    'precision': 'bfloat16',
    'sampler': 'uniform',
    'num_negatives': 2,
    'strategy': 'mans_a',
    'share': 0.5,
    'exchange_absent': True,
    'marks': 'per_sample',
    'where_cross_is_closer': False,
    'loss': 'softplus',
    'margin': 11.5,
    'temperature': 0.5,
    'non_fact_weight': 0.01,
    'substitution_weight': 1.0,
    'substitution_share': 0.2,
    'optimizer': 'sgd',
    'learning_rate': 0.5,
    'batch_size': 180,
    'with_replacement': True,
    'stream_triples': True,
    'seed': 1,
    'ties': 'optimistic',
}
FREE = {
    'num_epochs': 2000,
    'evaluate_every': 0,
    'patience': 3,
    'checkpoint_every': 7,
    'keep_checkpoints': 5,
    'mesh': 'entity=2',
    'device_memory_gb': 0.5,
}


def test_every_field_is_fixed_or_free():
    assert sorted([*CHANGED, *FREE]) == sorted(FIELDS)
    assert all(getattr(BEFORE, field) != value for field, value in {**CHANGED, **FREE}.items())


@pytest.mark.parametrize('field', CHANGED)
def test_a_resume_that_changes_a_fixed_field_is_refused_by_its_name(tmp_path, field):
    (tmp_path / 'config.json').write_text(BEFORE.to_json())
    after = dataclasses.replace(BEFORE, **{field: CHANGED[field]})
    message = refusal(check_resumable, after, tmp_path)
    assert message.startswith(f'config.{field} is {CHANGED[field]!r}, but the run in {tmp_path} has ')
    assert repr(getattr(BEFORE, field)) in message


@pytest.mark.parametrize('field', FREE)
def test_a_resume_may_change_how_long_and_how_often(tmp_path, field):
    (tmp_path / 'config.json').write_text(BEFORE.to_json())
    check_resumable(dataclasses.replace(BEFORE, **{field: FREE[field]}), tmp_path)


@pytest.mark.parametrize('field', FIELDS)
def test_a_run_from_before_a_field_came_is_resumed_with_its_default(tmp_path, field):
    before = {name: value for name, value in json.loads(BEFORE.to_json()).items() if name != field}
    (tmp_path / 'config.json').write_text(json.dumps(before))
    if field in ('data', 'features'):
        # They have no default that a run could have had.
        assert refusal(check_resumable, BEFORE, tmp_path).startswith(f'config.{field} is ')
    else:
        check_resumable(BEFORE, tmp_path)
        if field in CHANGED:
            after = dataclasses.replace(BEFORE, **{field: CHANGED[field]})
            assert refusal(check_resumable, after, tmp_path).startswith(f'config.{field} is {CHANGED[field]!r}, but')


@pytest.mark.parametrize('content', [None, '', '{"data": ', '[1, 2]', '3'])
def test_a_resume_without_a_readable_config_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / 'config.json').write_text(content)
    assert refusal(check_resumable, BEFORE, tmp_path).startswith(f'{tmp_path}/config.json: cannot be read')


@pytest.mark.parametrize(('field', 'value'), [('data', 5), ('dim', '128'), ('features', 'text.npy'), ('seed', None)])
def test_fields_of_a_wrong_type_are_refused_where_they_stand(field, value):
    fields = json.loads(BEFORE.to_json()) | {field: value}
    assert refusal(from_fields, fields, 'run/config.json').startswith(f'run/config.json.{field} is {value!r}, but must')


def test_json_is_read_back():
    assert from_fields(json.loads(BEFORE.to_json())) == BEFORE
