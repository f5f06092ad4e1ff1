"""Libraries that only some file formats, or features from raw material, need."""

import importlib
from pathlib import Path
from types import ModuleType

from mans_jax.errors import InputError

_INSTALL = {
    'backports.zstd': "'.[formats]'",
    'h5py': "'.[formats]'",
    'pyarrow': "'.[formats]'",
    'pyoxigraph': "'.[formats]'",
    'torch': 'torch',
}


def import_for(path: Path, name: str) -> ModuleType:
    """Imports the library, or the module of one, that reads a file.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        library = next(known for known in _INSTALL if f'{name}.'.startswith(f'{known}.'))
        raise InputError(f'{path}: {library} is needed to read it: pip install {_INSTALL[library]}') from None


def import_for_features(name: str) -> ModuleType:
    """Imports a library, or the module of one, that makes features from texts or images.

    Raises:
        InputError: it, or a library that it needs, is not installed.
    """
    return _import_of_extra(name, 'features')


def import_for_report(name: str) -> ModuleType:
    """Imports a library, or the module of one, that makes the page of a run.

    Raises:
        InputError: it, or a library that it needs, is not installed.
    """
    return _import_of_extra(name, 'report')


def _import_of_extra(name, extra):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        library = (error.name or name).partition('.')[0]
        raise InputError(f"{library} is needed for this: pip install '.[{extra}]'") from None
