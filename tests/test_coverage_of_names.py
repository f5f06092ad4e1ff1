"""Every name that a config may hold is tested against something other than itself.

Each name's second formula stands in a table of the test module, and a test is parametrised over that table. A name that
is added to the package without a formula, or a test that is no longer parametrised over the table, fails here.
"""

import runpy
from pathlib import Path

import pytest

from mans_jax.losses import LOSSES
from mans_jax.objectives import OBJECTIVES
from mans_jax.optim import OPTIMIZERS
from mans_jax.ranking import TIES
from mans_jax.samplers import FAMILIES, STRATEGIES
from mans_jax.scoring import SCORES

HERE = Path(__file__).parent

COVERED = {
    'SCORES': (SCORES, 'test_scoring.py', 'SECOND_FORMULAS', ['test_equals_second_formula']),
    'LOSSES': (LOSSES, 'test_losses.py', 'SECOND_FORMULAS', ['test_equals_second_formula']),
    'OBJECTIVES': (OBJECTIVES, 'test_objectives.py', 'SECOND_FORMULAS', ['test_equals_second_formula']),
    'OPTIMIZERS': (OPTIMIZERS, 'test_optim.py', 'SECOND_FORMULAS', ['test_equals_second_formula']),
    'TIES': (TIES, 'test_ranking.py', 'BRUTE_FORCE', ['test_ranks_equal_brute_force']),
    'FAMILIES': (
        FAMILIES,
        'test_samplers.py',
        'EXAMPLES',
        ['test_fixed_shapes_never_a_known_triple_and_the_same_draw_for_the_same_key'],
    ),
    'STRATEGIES': (
        STRATEGIES,
        'sampling/test_mans.py',
        'VIRTUAL',
        [
            'test_marks_any_number_of_modalities_and_negatives',
            'test_a_modality_is_exchanged_only_between_entities_that_have_it',
            'test_same_key_same_draw_under_jit_vmap_and_scan_and_never_a_known_triple',
        ],
    ),
}
"""Names in the package, test module, its table of second formulas, and the tests that must run over the table."""


def parameters_of(test):
    """The names that a test function runs over, one set for each of its parametrisations."""
    return [set(mark.args[1]) for mark in getattr(test, 'pytestmark', []) if mark.name == 'parametrize']


def untested(names, module, table, tests):
    """Names that one of the tests leaves out, with the test: what must be empty."""
    module = runpy.run_path(str(HERE / module))
    missing = {(name, table) for name in set(names) ^ set(module[table])}
    for test in tests:
        if set(module[table]) not in parameters_of(module[test]):
            missing |= {(name, test) for name in names}
    return missing


@pytest.mark.parametrize('group', COVERED)
def test_every_name_has_a_test(group):
    assert not untested(*COVERED[group])


@pytest.mark.parametrize('group', COVERED)
def test_a_name_without_a_test_would_be_found(group):
    names, module, table, tests = COVERED[group]
    assert untested([*names, 'new'], module, table, tests) == {('new', table)}
    assert untested(list(names)[:-1], module, table, tests)


def test_a_test_that_does_not_run_over_its_table_would_be_found():
    loose = 'test_temperature_zero_weighs_all_alike'
    assert untested(LOSSES, 'test_losses.py', 'SECOND_FORMULAS', [loose]) == {(name, loose) for name in LOSSES}
