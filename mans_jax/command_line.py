"""How every command line of this package starts and ends."""

import logging as std_logging
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from mans_jax.errors import InputError


def run(main: Callable, required: Sequence[str] = ()) -> None:
    """Parses the flags, runs `main` and exits with what it returns.

    Bad input, be it a flag, a file or a config field, ends in one line on stderr and exit code 1.

    Args:
        main: (arguments that are no flags) -> exit code.
        required: flags that must be given.
    """
    def guarded(arguments):
        try:
            if arguments[1:]:
                raise InputError(f'{arguments[1]!r} is not a flag: write --FLAG=VALUE')
            for name in required:
                if flags.FLAGS[name].value is None:
                    raise InputError(f'--{name} is missing; see --help')
            return main(arguments)
        except InputError as error:
            return _fail(error)

    logging.set_verbosity(logging.INFO)
    # JAX tells at INFO which accelerators it did not find.
    std_logging.getLogger('jax').setLevel(std_logging.WARNING)
    app.run(guarded, flags_parser=_parse)


def _parse(arguments):
    try:
        return flags.FLAGS(arguments)
    except (KeyError, AttributeError) as error:
        # What a locked ConfigDict raises: a field's name, and on a second line the nearest one it has.
        field, _, hint = str(error.args[0]).partition('\n')
        flag = next((a.split('=')[0] for a in arguments if a.split('=')[0].endswith(field.strip('"\''))), field)
        sys.exit(_fail(f'{flag}: the recipe has no such field. {hint}'.strip()))
    except (flags.Error, TypeError, ValueError, OSError) as error:
        sys.exit(_fail(str(error).partition('\n')[0]))


def _fail(message) -> int:
    print(f'error: {message}', file=sys.stderr, flush=True)
    return 1
