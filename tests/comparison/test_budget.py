"""What a budget is, and how many epochs it pays for."""

import pytest

from mans_jax.comparison.budget import UNITS, Budget, epochs_of, parse_budget
from mans_jax.errors import InputError


@pytest.mark.parametrize(
    ('text', 'budget'),
    [
        ('40000 steps', Budget(40000, 'steps')),
        ('1e8 triples', Budget(1e8, 'triples')),
        (' 0.5  seconds ', Budget(0.5, 'seconds')),
        ('1_000 epochs', Budget(1000, 'epochs')),
    ],
)
def test_a_budget_is_read_and_written(text, budget):
    assert parse_budget(text) == budget
    assert parse_budget(str(budget)) == budget


@pytest.mark.parametrize('text', ['', 'steps', '40000', '-3 steps', '0 steps', 'inf steps', 'nan steps', 'x steps'])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(InputError) as error:
        parse_budget(text)
    assert str(error.value) == (f"config.budget is {text!r}, but must be an amount and its unit, as in '40000 steps'")


def test_an_unknown_unit_is_refused_with_the_nearest():
    with pytest.raises(InputError) as error:
        parse_budget('3 hours')
    assert str(error.value) == "config.budget: 'hours' is not a known unit; Known: steps, epochs, seconds, triples"


EPOCHS = {'steps': (95, 9), 'epochs': (7.9, 7), 'seconds': (2.0, 4), 'triples': (1000, 3)}
"""By unit, an amount and what it pays for, at 10 steps an epoch, 30 triples and 0.05 seconds a step."""


@pytest.mark.parametrize('unit', UNITS)
def test_a_budget_pays_for_whole_epochs(unit):
    amount, epochs = EPOCHS[unit]
    assert epochs_of(Budget(amount, unit), 10, 30, 0.05) == epochs
    with pytest.raises(InputError, match=f'^config.budget is 0.01 {unit}, but an epoch takes .* {unit}; raise it$'):
        epochs_of(Budget(0.01, unit), 10, 30, 0.05)


def test_a_whole_number_of_epochs_is_not_rounded_below_itself():
    for epochs in range(1, 200):
        assert epochs_of(Budget(epochs * 7 * 0.1, 'seconds'), 7, 1, 0.1) == epochs
