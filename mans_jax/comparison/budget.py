"""What every seed of a comparison may take, and what a row takes of it."""

import dataclasses
import math

from mans_jax.errors import InputError, check_name

UNITS = ('steps', 'epochs', 'seconds', 'triples')
"""Of training: steps, passes over the train split, seconds of this machine, or triples that the model scores."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """An amount of training.

    Attributes:
        amount: above 0.
        unit: one of UNITS.
    """

    amount: float
    unit: str

    def __str__(self) -> str:
        """As it is written in a config."""
        return f'{self.amount:.15g} {self.unit}'


def parse_budget(text: str) -> Budget:
    """Reads '40000 steps'.

    Raises:
        InputError: it is no amount of a unit.
    """
    amount, _, unit = text.strip().partition(' ')
    try:
        number = float(amount.replace('_', ''))
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf or not unit:
        raise InputError(f"config.budget is {text!r}, but must be an amount and its unit, as in '40000 steps'")
    check_name('config.budget', unit.strip(), UNITS, kind='unit')
    return Budget(number, unit.strip())


def epochs_of(budget: Budget, steps_per_epoch: int, triples_per_step: int, seconds_per_step: float | None) -> int:
    """The whole epochs that a budget pays for.

    Args:
        budget: of one seed.
        steps_per_epoch: of the row.
        triples_per_step: that the row scores.
        seconds_per_step: of one seed; only a budget in seconds asks for it.

    Raises:
        InputError: it does not pay for one.
    """
    cost = {
        'steps': lambda: steps_per_epoch,
        'epochs': lambda: 1,
        'seconds': lambda: steps_per_epoch * seconds_per_step,
        'triples': lambda: steps_per_epoch * triples_per_step,
    }[budget.unit]()
    # A budget that is a whole number of epochs pays for all of them, however it is rounded.
    epochs = math.floor(budget.amount / cost * (1 + 1e-9))
    if epochs < 1:
        raise InputError(f'config.budget is {budget}, but an epoch takes {cost:.6g} {budget.unit}; raise it')
    return epochs
