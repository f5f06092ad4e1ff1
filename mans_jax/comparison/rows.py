"""A row of a grid: the text of a sampler, with a label before it and fields of the recipe behind it."""

import ast
import dataclasses
import re
from collections.abc import Mapping

from mans_jax.config import Config
from mans_jax.errors import InputError, check_name
from mans_jax.samplers import parse

OF_THE_GRID = ('sampler', 'score', 'seed', 'num_epochs')
"""The fields of a recipe that a grid has no place for: its samplers, scores, seeds and budget say them."""

ALIKE = ('data', 'split_ratios', 'splits', 'protocol', 'ties')
"""The fields that no row may change, since rows are compared on the same test triples and by the same rules."""

_LABEL = re.compile(r'([\w.+-][\w .+=-]*):\s(.*)', re.DOTALL)


def row_fields(text: str, recipe: Mapping) -> tuple[str, dict]:
    """Reads a row: its label, and the fields of the recipe that it sets, 'sampler' among them.

    `features=A+B` keeps these modalities of the recipe alone, and `features=` none; `features.A=FILE` takes another
    file for one.

    Raises:
        InputError: it cannot be read, or sets a field that is none or that no row may set.
    """
    label, sampler, changes = _parts(text)
    _check_sampler(sampler, label)
    own = {'sampler': sampler}
    fields = {field.name: field for field in dataclasses.fields(Config)}
    for change in changes:
        name, equals, value = (part.strip() for part in change.partition('='))
        if not equals:
            raise InputError(f'{where(label)}: {change.strip()!r} is not of the form FIELD=VALUE')
        _check_settable(label, name, fields)
        if name.partition('.')[0] == 'features':
            own['features'] = _features(label, name, value, own.get('features', recipe['features']))
        else:
            own[name] = _value(label, name, value, fields[name].type)
    return label, own


def _check_sampler(sampler, label):
    try:
        parse(sampler)
    except InputError as error:
        hint = ''
        if ',' in sampler and isinstance(_tree(sampler), ast.Tuple):
            hint = "; for several rows quote each, as in \"('bernoulli', 'mans_v(bernoulli)')\""
        raise InputError(f'{where(label)}: {error}{hint}') from None


def _parts(text):
    if not isinstance(text, str):
        raise InputError(f'config.samplers: {text!r} is not a text; write the sampler of each row in quotes')
    labelled = _LABEL.fullmatch(text.strip())
    label, rest = (labelled[1].strip(), labelled[2]) if labelled else ('', text)
    sampler, *changes = rest.split(';')
    return label or text.strip(), sampler.strip(), changes


def _check_settable(label, name, fields):
    first = name.partition('.')[0]
    check_name(where(label), first if first == 'features' else name, fields, kind='field of a recipe')
    if name in ALIKE:
        raise InputError(
            f'{where(label)} sets {name}, but all rows are judged alike: set config.{name} for all of them'
        )
    if name in OF_THE_GRID:
        says = {'sampler': 'the row begins with it', 'num_epochs': 'config.budget says it'}
        raise InputError(f'{where(label)} sets {name}: {says.get(name, f"config.{name}s says it")}; leave it out')


def _features(label, name, value, features):
    _, dot, modality = name.partition('.')
    if dot:
        check_name(f'{where(label)}: features', modality, features, kind='modality of the recipe')
        return {**features, modality: value}
    kept = [part.strip() for part in value.split('+') if part.strip()]
    for modality in kept:
        check_name(f'{where(label)}: features', modality, features, kind='modality of the recipe')
        if not features[modality]:
            raise InputError(f'{where(label)}: config.features.{modality} names no file; give it one')
    return {name: path if name in kept else '' for name, path in features.items()}


def _value(label, name, value, kind):
    if kind is str:
        return value
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        raise InputError(f'{where(label)}: {name}={value} must be of type {kind.__name__}') from None
    return float(found) if kind is float and type(found) is int else found


def _tree(text):
    try:
        return ast.parse(text.strip(), mode='eval').body
    except SyntaxError:
        return None


def where(label: str) -> str:
    """How an error names a row."""
    return f'config.samplers: row {label!r}'
