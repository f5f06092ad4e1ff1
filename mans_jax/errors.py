"""The errors that a user causes and can cure."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: a file, a config field or a checkpoint that cannot be used.

    The message is one line that names the place (file and line number, or field), the value and the cure. Command
    lines print it as it is and exit with code 1; anything else that is raised is a defect of this library.
    """


class NotServable(InputError):
    """What was asked for cannot be had of this graph or split, while other things can."""


class Diverged(InputError):
    """A training whose numbers are no longer finite."""


class NonFiniteScore(Diverged):
    """A score is NaN or infinite, so no rank means anything."""


def not_finite(triple: str) -> NonFiniteScore:
    """The error of a triple, given as text, whose score is not finite."""
    return NonFiniteScore(
        f'the score of {triple} is not finite: the training has diverged; '
        f'lower config.learning_rate, or look at the gradient norms in metrics.jsonl'
    )


def check_name(where: str, name: str, names: Iterable[str], kind: str = 'name') -> None:
    """Raises an InputError that suggests the nearest of `names` where `name` is not one of them."""
    if name in names:
        return
    nearest = difflib.get_close_matches(str(name), list(names), n=1)
    hint = f'did you mean {nearest[0]!r}? ' if nearest else ''
    raise InputError(f'{where}: {name!r} is not a known {kind}; {hint}Known: {", ".join(names)}')
