"""Every sampler that a recipe can name: read from text, made for a real model, run inside a training step's loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.config import Config
from mans_jax.errors import InputError
from mans_jax.graph import HEAD, TAIL, Triple
from mans_jax.models import init_params, model_for
from mans_jax.runs import make_run
from mans_jax.samplers import FAMILIES, SamplerText, parse, with_strategy
from mans_jax.scoring import SCORES
from mans_jax.training_step import sampler_of, training_data, view_of
from tests.graphs import quick_programs
from tests.sampler_examples import EXAMPLES, write_files

BATCH = 16


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(programs):
    with quick_programs(programs):
        yield


@pytest.fixture
def world(make_graph, tmp_path, monkeypatch):
    """(text) -> a sampler made as training makes it, with the data, positives and the view of a fresh model."""
    graph = make_graph(3, num_entities=40, number=200)
    write_files(tmp_path, graph)
    monkeypatch.chdir(tmp_path)

    def make(text):
        config = Config(data='in memory', batch_size=BATCH, dim=4, num_negatives=2, sampler=text).validate()
        data = training_data(config, graph)
        model = model_for(graph, SCORES[config.score], dim=config.dim, normalize=config.normalize)
        view = view_of(model, init_params(model, jax.random.key(0)), data.frozen, jnp.float32(0.2))
        return sampler_of(config, data), data, Triple.from_rows(jnp.asarray(graph.train[:BATCH])), view

    return make


@pytest.mark.parametrize('name', EXAMPLES)
def test_fixed_shapes_never_a_known_triple_and_the_same_draw_for_the_same_key(world, name):
    sampler, data, positives, view = world(EXAMPLES[name])

    @jax.jit
    def run(key):
        def step(state, key):
            corruption, state = sampler.sample(state, key, positives, view)
            return state, corruption

        init_key, key = jax.random.split(key)
        return jax.lax.scan(step, sampler.init(init_key), jax.random.split(key, 5))

    # `scan` itself refuses a state whose shapes or types change.
    state, drawn = run(jax.random.key(7))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    assert drawn.entity.shape == drawn.side.shape and drawn.entity.shape[:2] == (5, BATCH)
    assert drawn.replaced.shape[-1] in (1, data.frozen['present'].shape[1])
    assert (drawn.entity.dtype, drawn.side.dtype, drawn.replaced.dtype) == (np.int32, np.int8, np.bool_)
    counted = np.ones(drawn.entity.shape, bool) if drawn.weight is None else np.asarray(drawn.weight) > 0
    known = np.asarray(jax.vmap(lambda c: data.known.contains(c.apply(positives)))(drawn))
    assert counted.any() and not (known & counted).any()
    assert set(np.unique(drawn.side)) <= {HEAD, TAIL}
    assert len(np.unique(drawn.entity)) > 5
    assert jax.tree.all(jax.tree.map(np.array_equal, drawn, run(jax.random.key(7))[1]))
    assert not np.array_equal(drawn.entity, run(jax.random.key(8))[1].entity)


@pytest.mark.parametrize('name', EXAMPLES)
def test_what_is_drawn_follows_from_the_key_alone_but_where_a_family_learns(world, name):
    sampler, _, positives, view = world(EXAMPLES[name])

    @jax.jit
    def draw(other, key):
        """Of five steps, with one model and beginning or with another one."""
        seen = view.replace(parameters=jax.tree.map(lambda x: jnp.where(other, x[::-1], x), view.parameters))

        def step(state, key):
            corruption, state = sampler.sample(state, key, positives, seen)
            return state, corruption.entity

        state_key, key = jax.random.split(key)
        state = sampler.init(jax.random.fold_in(state_key, other))
        return jax.lax.scan(step, state, jax.random.split(key, 5))[1]

    one, other = (draw(jnp.int32(other), jax.random.key(3)) for other in (0, 1))
    assert np.array_equal(one, other) != bool(parse(EXAMPLES[name]).learners())


def test_every_name_has_an_example_with_all_of_its_options():
    assert set(EXAMPLES) == set(FAMILIES)
    for name, text in EXAMPLES.items():
        assert parse(text).name == name
        assert set(parse(text).options) == set(FAMILIES[name].options), name


def test_a_text_is_read_with_what_it_leaves_out():
    assert parse(' mans_h( uniform(num_negatives=2), share=1 ) ') == SamplerText(
        'mans_h', (SamplerText('uniform', (), {'num_negatives': 2}),), {'share': 1.0}
    )
    assert parse('mans_h(bernoulli)').all_options() == {'share': 0.3}


def test_the_number_of_negatives_is_the_configs_where_the_text_has_none(world):
    for text, number in (('uniform', 2), ('mans_v(uniform(num_negatives=5))', 5)):
        sampler, _, positives, view = world(text)
        corruption, _ = sampler.sample(sampler.init(jax.random.key(0)), jax.random.key(1), positives, view)
        assert corruption.entity.shape == (BATCH, number)


def test_a_strategy_goes_around_the_whole_text():
    options = {'share': 0.1, 'marks': 'count', 'where_cross_is_closer': True}
    assert with_strategy(parse('uniform'), 'normal', options) == parse('uniform')
    assert with_strategy(parse('uniform'), 'mans_t', options) == parse('mans_t(uniform, share=0.1)')
    assert parse('mans_a(uniform)').exchanges_modalities() and not parse('uniform').exchanges_modalities()


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', "config.sampler: '' cannot be read at ''; write a name, or a name and in brackets"),
        ('uniform +', "config.sampler: 'uniform +' cannot be read at 'uniform +'; write a name"),
        ('mans_v(3)', "config.sampler: 'mans_v(3)' cannot be read at '3'; write a name"),
        ('a.b(uniform)', "config.sampler: 'a.b(uniform)' cannot be read at 'a.b(uniform)'; write a name"),
        ('mans_h(uniform, share=x)', "config.sampler: 'mans_h(uniform, share=x)' cannot be read at 'x'; write a name"),
        ('bernouli', "config.sampler: 'bernouli' is not a known name; did you mean 'bernoulli'? Known: uniform, "),
        ('mans_v(unifrom)', "config.sampler: 'unifrom' is not a known name; did you mean 'uniform'? Known: uniform, "),
        (
            'mans_h(uniform, shares=1)',
            "config.sampler: mans_h: 'shares' is not a known option; did you mean 'share'? Known: share",
        ),
        (
            'mans_v(uniform, **x)',
            'config.sampler: mans_v: None is not a known option; Known: ',
        ),
        ('mans_h(uniform, share="1")', "config.sampler: share='1' of mans_h must be of type float"),
        ('uniform(num_negatives=0)', 'config.sampler: num_negatives=0 of uniform must be at least 1'),
        ('uniform(num_negatives=True)', 'config.sampler: num_negatives=True of uniform must be of type int'),
        ('mans_v', 'config.sampler: mans_v wraps 1 samplers, not 0, as in mans_v(bernoulli)'),
        ('uniform(uniform)', 'config.sampler: uniform wraps 0 samplers, not 1, as in uniform'),
    ],
)
def test_what_cannot_be_read_is_answered_in_one_line(text, message):
    with pytest.raises(InputError) as error:
        Config(data='digits', sampler=text).validate()
    assert str(error.value).startswith(message) and '\n' not in str(error.value)


def test_a_strategy_goes_around_a_sampler_that_remembers(world):
    text = 'nscaching(num_negatives=3, cache_size=5)'

    def run(sampler, positives, view):
        def step(state, i):
            return sampler.sample(state, jax.random.fold_in(jax.random.key(1), i), positives, view)[::-1]

        return jax.jit(lambda: jax.lax.scan(step, sampler.init(jax.random.key(0)), jnp.arange(4)))()

    (alone, _, positives, view), (around, *_) = world(text), world(f"mans_a({text}, marks='per_sample')")
    (state, normal), (state_around, mixed) = run(alone, positives, view), run(around, positives, view)
    np.testing.assert_array_equal(state, state_around)
    np.testing.assert_array_equal(normal.entity, mixed.entity)
    assert 0 < np.mean(~np.all(mixed.replaced, axis=-1)) < 1 and np.all(normal.replaced)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ("relation_typed(sides='both')", "is {!r}: sides must be 'bernoulli' or 'uniform', not 'both'"),
        (
            'degree_weighted(exponent=1e9)',
            ': degree_weighted: exponent is 1000000000.0, and a degree to that power is ',
        ),
        ('sans(hops=0)', ': sans: hops is 0, but must be at least 1'),
        ("sans(variant='walk')", ": sans: variant must be 'uniform' or 'random_walk', not 'walk'"),
        ('cans', ": cans: say where the concepts are, concepts='FILE.tsv', a file of lines "),
        ('from_file', ": from_file: say where the negatives are, negatives='FILE.tsv'"),
        ("from_file(negatives='negatives.tsv', keys='name')", ": from_file: keys must be 'label' or 'id', not 'name'"),
        ('eans', 'is {!r}: clusters is 100, but must be between 1 and the 40 entities'),
        (
            'in_batch',
            'is {!r}: in_batch needs the entities of other positives, but the batch has one: raise batch_size',
        ),
        ('shared_pool(pool=1)', 'is {!r}: pool is 1, but each positive takes num_negatives=2 of it: raise it'),
        ('chunk_pool(chunk=2)', 'is {!r}: chunk is 2, but the batch has 1 positives: choose a divisor of that'),
        ('mixture(uniform, bernoulli, share=2)', 'is {!r}: share is 2.0, but is a share between 0 and 1'),
        (
            'mixture(uniform, mans_v(bernoulli(num_negatives=3)))',
            'is {!r}: the samplers of a mixture draw 2, 3 negatives: give all the same num_negatives',
        ),
        (
            'fallback(in_batch(num_negatives=5), bernoulli)',
            'is {!r}: in_batch needs the entities of other positives, but the batch has one',
        ),
    ],
)
def test_what_a_graph_or_a_model_cannot_serve_is_answered_in_one_line(make_graph, text, message):
    graph = make_graph(3, num_entities=40, number=200)
    config = Config(data='in memory', batch_size=1, dim=4, num_negatives=2, sampler=text).validate()
    with pytest.raises(InputError) as error:
        make_run(config, graph)
    message = f'config.sampler {message}' if message.startswith('is') else f'config.sampler{message}'
    assert str(error.value).startswith(message.format(text)) and '\n' not in str(error.value)


def test_files_that_a_sampler_cannot_use_are_named_with_the_line(make_graph, tmp_path, monkeypatch):
    graph = make_graph(3, num_entities=40, number=200)
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'concepts.tsv').write_text('entity 1\tplace\nentity 2\n')
    (tmp_path / 'negatives.tsv').write_text('entity 1\trelation 0\n')
    for text, message in (
        ("mans_v(cans(concepts='concepts.tsv'))", "concepts.tsv, line 2: 'entity 2', expected"),
        ("from_file(negatives='negatives.tsv')", "negatives.tsv, line 1: 'entity 1\\trelation 0' has 2 columns"),
        ("from_file(negatives='missing.tsv')", 'missing.tsv: no such file'),
    ):
        config = Config(data='in memory', batch_size=8, dim=4, sampler=text).validate()
        with pytest.raises(InputError) as error:
            make_run(config, graph)
        assert str(error.value).startswith(message)
