"""From the text of `config.sampler` to a negative sampler.

The text is a name, with brackets around the samplers that it wraps and its options where it has any: `bernoulli`,
`uniform(num_negatives=4)`, `mans_h(bernoulli, share=0.3)`. It is read once into a `SamplerText`; what must be counted
on the host, once for a graph, is made by `build_tables`; `make_sampler` is traced with those arrays.
"""

import ast
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from mans_jax import sampling
from mans_jax.data import concepts as concept_file
from mans_jax.data import generators
from mans_jax.data import negatives as negatives_file
from mans_jax.errors import InputError, NotServable, check_name
from mans_jax.graph import KnowledgeGraph, KnownTriples
from mans_jax.sampling import Corruption, Sampler, structure
from mans_jax.sampling.mans import COUNT
from mans_jax.sampling.sides import BERNOULLI

_WHERE = 'config.sampler'


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a sampler may be made from, besides its options.

    Attributes:
        known: the train triples, which negatives are filtered by; None for `around_drawn`, which draws nothing.
        present: bool[E, M], which entity has which modality, or None where that is to count for nothing.
        replace: bool[M], the modalities that a virtual negative takes from the intruder.
        num_negatives: K of a sampler whose text names none.
        dim: D.
        relation_width: W, the width of a relation's vector.
    """

    known: KnownTriples | None
    present: Bool[Array, 'E M'] | None
    replace: Bool[Array, 'M']
    num_negatives: int
    dim: int
    relation_width: int


@dataclasses.dataclass(frozen=True)
class Family:
    """What stands behind a name.

    Attributes:
        make: `(inputs, inner samplers, tables, **options) -> Sampler`; traced, and raises ValueError for options that
            make no sense.
        options: every option with its default; a value must be of the default's type. None stands for the K of the
            config; a type for an option that may be left out, which is then None.
        num_inner: how many samplers it wraps: the fewest and the most.
        build: `(graph, **options) -> tables`, a pytree of arrays counted on the host.
        learns: whether the entities that it draws depend on the model or on what it remembers, so that nobody can tell
            them before the step in which they are drawn.
    """

    make: Callable[..., Sampler]
    options: Mapping[str, bool | int | float | str | type | None] = dataclasses.field(default_factory=dict)
    num_inner: tuple[int, int] = (0, 0)
    build: Callable[..., PyTree] = lambda graph, **options: ()
    learns: bool = False


@dataclasses.dataclass(frozen=True)
class SamplerText:
    """A name with the samplers that it wraps and its options, checked.

    Attributes:
        name: in FAMILIES.
        inner: the wrapped samplers.
        options: those that are not the default, by name.
    """

    name: str
    inner: tuple['SamplerText', ...] = ()
    options: Mapping[str, bool | int | float | str] = dataclasses.field(default_factory=dict)

    def all_options(self) -> dict:
        """Every option of the family, with the default of those that are not given."""
        defaults = FAMILIES[self.name].options
        given = {name: None if isinstance(default, type) else default for name, default in defaults.items()}
        return {**given, **self.options}

    def holds(self, *names: str) -> bool:
        """Whether it or a sampler inside it has one of these names."""
        return self.name in names or any(inner.holds(*names) for inner in self.inner)

    def exchanges_modalities(self) -> bool:
        """Whether it or a sampler inside it makes virtual negatives."""
        return self.holds(*STRATEGIES, 'random_modalities')

    def marks_known(self) -> bool:
        """Whether some of its negatives have weight 0, and those are the known triples among them."""
        return self.holds(*_MARK_KNOWN) and not self.holds(*_UNMARK_KNOWN)

    def learners(self) -> tuple[str, ...]:
        """The names, its own and of those inside it, that are of families that learn."""
        own = (self.name,) if FAMILIES[self.name].learns else ()
        return own + tuple(name for inner in self.inner for name in inner.learners())


_K = {'num_negatives': None}


def _leaf(draw, learns=False, **options):
    """The family of a sampler that needs nothing but the known triples."""

    def make(inputs, inner, tables, num_negatives, **options):
        return draw(inputs.known, _count(inputs, num_negatives), **options)

    return Family(make, {**_K, **options}, learns=learns)


def _tabled(draw, count, **own):
    """The family of a sampler with tables: count(graph, known triples, its own options) makes them."""

    def build(graph, *, num_negatives, sides, **own):
        sizes = {'num_entities': graph.num_entities, 'num_relations': graph.num_relations}
        return count(graph, KnownTriples.build(graph.train, **sizes), **own)

    def make(inputs, inner, tables, *, num_negatives, sides, **own):
        return draw(inputs.known, tables, _count(inputs, num_negatives), sides=sides)

    return Family(make, {**_K, 'sides': BERNOULLI, **own}, build=build)


def _around(graph, known, variant, hops, walks):
    if variant not in structure.VARIANTS:
        raise ValueError(f'variant must be {" or ".join(map(repr, structure.VARIANTS))}, not {variant!r}')
    return (
        sampling.neighbourhoods(known, hops) if variant == structure.EXACT else sampling.walk_ends(known, hops, walks)
    )


def _by_concept(graph, known, concepts):
    if not concepts:
        raise ValueError('say where the concepts are, concepts=\'FILE.tsv\', a file of lines "entity<TAB>concept"')
    return sampling.concept_pools(known, *concept_file.read(concepts, graph.entities))


def _from_file(graph, known, negatives, keys):
    if not negatives:
        raise ValueError("say where the negatives are, negatives='FILE.tsv', as in data/negatives.py")
    return sampling.Supplied.build(known, *negatives_file.read(negatives, graph, keys))


def _combination(combine, **options):
    """The family of a sampler of `sampling.combine` that is made of any number of samplers."""

    def make(inputs, inner, tables, **options):
        return combine(inner, **options)

    return Family(make, options, num_inner=(2, 16))


def _strategy(wrap, **options):
    """The family of a sampler of `sampling.mans`."""

    def make(inputs, inner, tables, **options):
        return wrap(*inner, inputs.replace, inputs.present, **options)

    return Family(make, options, num_inner=(1, 1))


_GENERATOR = {'generator': 'distmult', 'pretrained': '', 'learning_rate': 1e-3}


def _pretrained(graph, *, pretrained, generator, **options):
    return jax.tree.map(jnp.asarray, generators.read(pretrained, graph, generator)) if pretrained else None


def _kbgan(inputs, inner, tables, *, num_negatives, pretrained, **options):
    options = {'dim': inputs.dim, 'parameters': tables, **options}
    return sampling.kbgan(inputs.known, _count(inputs, num_negatives), **options)


def _mmrns(inputs, inner, tables, *, num_negatives, **options):
    sizes = {'num_modalities': len(inputs.replace), 'dim': inputs.dim, 'relation_width': inputs.relation_width}
    options = {**sizes, 'present': inputs.present, **options}
    return sampling.mmrns(inputs.known, _count(inputs, num_negatives), **options)


def _random_modalities(inputs, inner, tables, *, share):
    return sampling.random_modalities(*inner, len(inputs.replace), inputs.present, share=share)


def _own_margin(inputs, inner, tables):
    return sampling.own_margin(*inner, inputs.present)


def _dhns(inputs, inner, tables, **options):
    sizes = {'num_modalities': len(inputs.replace), 'dim': inputs.dim}
    return sampling.dhns(*inner, **sizes, present=inputs.present, **options)


FAMILIES = {
    'uniform': _leaf(sampling.uniform),
    'bernoulli': _leaf(sampling.bernoulli),
    'nscaching': _leaf(sampling.nscaching, learns=True, cache_size=30, candidates=30, sides=BERNOULLI),
    'kbgan': Family(_kbgan, {**_K, **_GENERATOR, 'candidates': 20, 'sides': BERNOULLI}, build=_pretrained, learns=True),
    'dhns': Family(_dhns, {'steps': 50, 'weight': 0.01, 'learning_rate': 2e-3}, num_inner=(1, 1)),
    'mmrns': Family(_mmrns, {**_K, 'candidates': 1500, 'temperature': 10.0, 'learning_rate': 1e-4}, learns=True),
    'relation_typed': _tabled(sampling.relation_typed, lambda graph, known: sampling.relation_pools(known)),
    'degree_weighted': _tabled(
        sampling.degree_weighted, lambda graph, known, exponent: sampling.degree_weights(known, exponent), exponent=0.75
    ),
    'sans': _tabled(sampling.sans, _around, variant=structure.EXACT, hops=3, walks=1000),
    'cans': _tabled(sampling.cans, _by_concept, concepts=''),
    'in_batch': _leaf(sampling.in_batch, sides=BERNOULLI),
    'shared_pool': _leaf(sampling.shared_pool, pool=0, sides=BERNOULLI),
    'chunk_pool': _leaf(sampling.chunk_pool, chunk=0, sides=BERNOULLI),
    'eans': _leaf(sampling.eans, learns=True, every=1000, clusters=100, spread=290.0, sides=BERNOULLI),
    'from_file': _tabled(sampling.supplied, _from_file, negatives='', keys=negatives_file.LABEL),
    'mixture': _combination(sampling.mixture, share=0.5, share_end=float),
    'concatenate': _combination(sampling.concatenate),
    'fallback': Family(lambda inputs, inner, tables: sampling.fallback(*inner, inputs.known), num_inner=(2, 2)),
    'mans_v': _strategy(sampling.mans_v),
    'mans_t': _strategy(sampling.mans_t, share=0.3),
    'mans_h': _strategy(sampling.mans_h, share=0.3),
    'mans_a': _strategy(sampling.mans_a, marks=COUNT, where_cross_is_closer=True),
    'random_modalities': Family(_random_modalities, {'share': 0.5}, num_inner=(1, 1)),
    'own_margin': Family(_own_margin, num_inner=(1, 1)),
}
"""Every name that the text may hold."""

_MARK_KNOWN = ('in_batch', 'shared_pool', 'chunk_pool', 'eans')
"""Those that draw known triples too, as negatives of weight 0."""

_UNMARK_KNOWN = ('dhns', 'mmrns', 'fallback')
"""Those that give weight 0 to other negatives, too, or put others in the place of those that have it."""

NORMAL = 'normal'
STRATEGIES = (NORMAL, 'mans_v', 'mans_t', 'mans_h', 'mans_a')
"""The names that `config.strategy` may hold: nothing, or what is put around all of `config.sampler`."""


def parse(text: str) -> SamplerText:
    """Reads the text of a sampler.

    Raises:
        InputError: it cannot be read, or a name, an option or a value in it is none.
    """
    try:
        tree = ast.parse(text.strip(), mode='eval').body
    except SyntaxError:
        raise _unreadable(text, text) from None
    return _read(tree, text)


def with_strategy(inner: SamplerText, strategy: str, options: Mapping) -> SamplerText:
    """Puts a strategy around a sampler, with those of the options that it has."""
    if strategy == NORMAL:
        return inner
    return SamplerText(strategy, (inner,), {name: options[name] for name in FAMILIES[strategy].options})


def build_tables(text: SamplerText, graph: KnowledgeGraph) -> PyTree:
    """What the sampler and those inside it look up, as a pytree of arrays.

    Raises:
        NotServable: the graph cannot serve one of them.
        InputError: an option has a value that makes no sense.
    """
    try:
        own = FAMILIES[text.name].build(graph, **text.all_options())
    except InputError as error:
        raise NotServable(str(error)) from None
    except ValueError as error:
        raise InputError(f'{_WHERE}: {text.name}: {error}') from None
    return own, tuple(build_tables(inner, graph) for inner in text.inner)


def make_sampler(text: SamplerText, inputs: Inputs, tables: PyTree) -> Sampler:
    """The sampler of a text.

    Args:
        text: from `parse`.
        inputs: what it is made from.
        tables: from `build_tables`.

    Raises:
        ValueError: an option has a value that makes no sense.
    """
    own, of_inner = tables
    inner = [make_sampler(part, inputs, its) for part, its in zip(text.inner, of_inner, strict=True)]
    return FAMILIES[text.name].make(inputs, inner, own, **text.all_options())


_JUDGES = ('mans_a',)
"""Those that draw nothing, but judge by the model what becomes of what another one has drawn."""


def what_draws(text: SamplerText, tables: PyTree) -> tuple[SamplerText, PyTree]:
    """The part of a sampler that draws, inside whatever judges by the model, with its tables."""
    while text.name in _JUDGES:
        text, tables = text.inner[0], tables[1][0]
    return text, tables


def around_drawn(text: SamplerText, inputs: Inputs, corruption: Corruption) -> Sampler:
    """The sampler of a text whose drawing part has drawn already.

    Args:
        text: from `parse`.
        inputs: what it is made from.
        corruption: what `what_draws` drew with the keys of this step; the states of both are those of that part.
    """
    if text.name not in _JUDGES:
        return Sampler(lambda key: (), lambda state, key, positives, view: (corruption, state))
    return FAMILIES[text.name].make(inputs, [around_drawn(text.inner[0], inputs, corruption)], (), **text.all_options())


def modalities_to_replace(num_modalities: int) -> Bool[Array, 'M']:
    """What a virtual negative takes from the intruder: all but structure."""
    return jnp.arange(num_modalities) > 0


def _count(inputs, num_negatives):
    return inputs.num_negatives if num_negatives is None else num_negatives


def _read(node, text) -> SamplerText:
    match node:
        case ast.Name(id=name):
            arguments, keywords = [], []
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
            pass
        case _:
            raise _unreadable(text, ast.get_source_segment(text.strip(), node) or text)
    check_name(_WHERE, name, FAMILIES)
    inner = tuple(_read(argument, text) for argument in arguments)
    _check_number(name, len(inner), FAMILIES[name].num_inner)
    return SamplerText(name, inner, dict(_option(name, keyword, text) for keyword in keywords))


def _option(name, keyword, text):
    options = FAMILIES[name].options
    check_name(f'{_WHERE}: {name}', keyword.arg, options, kind='option')
    try:
        value = ast.literal_eval(keyword.value)
    except (ValueError, TypeError):
        raise _unreadable(text, ast.get_source_segment(text.strip(), keyword.value) or text) from None
    default = options[keyword.arg]
    want = default if isinstance(default, type) else int if default is None else type(default)
    is_a_count = keyword.arg in _K and type(value) is int and value < 1
    if want is float and type(value) is int:
        value = float(value)
    if type(value) is not want or is_a_count:
        what = 'at least 1' if is_a_count else f'of type {want.__name__}'
        raise InputError(f'{_WHERE}: {keyword.arg}={value!r} of {name} must be {what}')
    return keyword.arg, value


def _check_number(name, number, bounds: Sequence[int]):
    fewest, most = bounds
    if not fewest <= number <= most:
        want = f'{fewest}' if fewest == most else f'{fewest} to {most}'
        raise InputError(f'{_WHERE}: {name} wraps {want} samplers, not {number}, as in {_example(name, fewest)}')


def _example(name, number):
    return f'{name}({", ".join(["bernoulli"] * number)})' if number else name


def _unreadable(text, part):
    return InputError(
        f'{_WHERE}: {text!r} cannot be read at {part!r}; write a name, or a name and in brackets the samplers that it '
        f'wraps and its options, as in mans_h(bernoulli, share=0.3)'
    )
