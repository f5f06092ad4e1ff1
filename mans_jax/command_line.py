"""How every command line of this package starts and ends."""

import difflib
import errno
import logging as std_logging
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from absl import app, flags, logging

from mans_jax.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(main: Callable, required: Sequence[str] = (), commands: Mapping[str, Sequence[str]] = {}) -> None:
    """Parses the flags, runs `main` and exits with what it returns.

    Bad input, be it a flag, a file or a config field, ends in one line on stderr and exit code 1.

    Args:
        main: (program, and the command where there are commands) -> exit code.
        required: flags that must be given.
        commands: by name, what may stand before or behind the flags, with the flags that not every command takes.
    """

    def guarded(arguments):
        try:
            if commands:
                _check_command(arguments[1:], commands)
            elif arguments[1:]:
                raise InputError(f'{arguments[1]!r} is not a flag: write --FLAG=VALUE')
            for name in required:
                if flags.FLAGS[name].value is None:
                    raise InputError(f'--{name} is missing; see --help')
            code = main(arguments)
            sys.stdout.flush()
            return code
        except InputError as error:
            return _fail(error)
        except BrokenPipeError:
            # Whoever read the output, as `head` does, has seen enough.
            _drop_output()
            return 128 + signal.SIGPIPE
        except OSError as error:
            # Files name themselves when they cannot be written; what has no name is the output.
            if error.errno not in _FULL or error.filename is not None:
                raise
            _drop_output()
            return _fail(f'there is no room for what is printed ({error.strerror})')

    logging.set_verbosity(logging.INFO)
    # JAX tells at INFO which accelerators it did not find.
    std_logging.getLogger('jax').setLevel(std_logging.WARNING)
    # Else everything behind a command would pass for one.
    flags.FLAGS.set_gnu_getopt(bool(commands))
    app.run(guarded, flags_parser=_parse)


def parse_features(arguments: Sequence[str]) -> dict[str, str]:
    """Modality name to file, from 'NAME=FILE' arguments.

    Raises:
        InputError: one is not of this form, or a name comes twice.
    """
    features = {}
    for argument in arguments:
        name, _, file = argument.partition('=')
        if not name or not file:
            raise InputError(f'--features={argument}: not of the form NAME=FILE')
        if name in features:
            raise InputError(f'--features={argument}: {name!r} is already {features[name]}; give each modality a name')
        features[name] = file
    return features


def _check_command(given: Sequence[str], commands: Mapping[str, Sequence[str]]) -> None:
    known = ', '.join(commands)
    if not given:
        raise InputError(f'no command given; there are {known}; see --help')
    if given[0] not in commands:
        nearest = difflib.get_close_matches(given[0], commands, n=1)
        hint = f'did you mean {nearest[0]!r}? There are' if nearest else 'there are'
        raise InputError(f'{given[0]!r} is not a command; {hint} {known}')
    if given[1:]:
        raise InputError(f'{given[1]!r} is not a flag: write --FLAG=VALUE')
    for flag in dict.fromkeys(flag for own in commands.values() for flag in own):
        if flags.FLAGS[flag].present and flag not in commands[given[0]]:
            takers = ' and '.join(command for command, own in commands.items() if flag in own)
            raise InputError(f'--{flag} is not a flag of {given[0]!r} but of {takers}; leave it out')


def _parse(arguments):
    features = [a.partition('=')[0].lstrip('-') for a in arguments if re.match('--?config\\.features\\.', a)]
    for name in features:
        if features.count(name) > 1:
            # Of a flag that comes twice the last counts, which here would leave a file out without a word.
            sys.exit(_fail(f'--{name} is given {features.count(name)} times: a modality has one file'))
    for argument, following in zip(arguments, [*arguments[1:], ''], strict=True):
        name, equals, value = argument.partition('=')
        path = (value if equals else following).partition(':')[0]
        if name == '--config' and not Path(path).is_file():
            sys.exit(_fail(f'--config={path}: no such file; the recipes that come along are in configs/'))
    try:
        return flags.FLAGS(arguments)
    except (KeyError, AttributeError) as error:
        sys.exit(_fail(_explain_unknown_field(arguments, str(error))))
    except (flags.Error, TypeError, ValueError, OSError) as error:
        sys.exit(_fail(str(error).partition('\n')[0]))


def _explain_unknown_field(arguments, error):
    """One line from what a locked ConfigDict raises: the name of a field, and perhaps the nearest one it has."""
    field = re.search(r"'(\w+)", error)
    nearest = re.search(r'Did you mean "(\w+)"', error)
    flag = next((a.partition('=')[0] for a in arguments if field and f'.{field[1]}=' in a), '--config')
    said = f'{flag}: the recipe has no such field' + (f'; did you mean {nearest[1]!r}?' if nearest else '')
    if 'config.features.' in flag and not nearest:
        said += "; a modality of another name is added to the recipe's `features`, with '' for its file"
    return said


def _drop_output() -> None:
    """Lets go what is left to be printed, since Python would complain of it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message) -> int:
    print(f'error: {message}', file=sys.stderr, flush=True)
    return 1
