"""Libraries that only some file formats, features from raw material, or comparisons need."""

import importlib
from pathlib import Path
from types import ModuleType

from mans_jax.errors import InputError

_INSTALL = {
    'backports.zstd': "'.[formats]'",
    'h5py': "'.[formats]'",
    'pyarrow': "'.[formats]'",
    'pyoxigraph': "'.[formats]'",
    'safetensors': "'.[export]'",
    'torch': 'torch',
}

_PACKAGES = {'PIL': 'pillow', 'vl_convert': 'vl-convert-python'}
"""What is installed, where that is called otherwise than what is imported."""


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


def import_for_comparison(name: str) -> ModuleType:
    """Imports a library, or the module of one, that searches hyperparameters or draws a comparison.

    Raises:
        InputError: it, or a library that it needs, is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        library = (error.name or name).partition('.')[0]
        raise InputError(f"{library} is needed for this: pip install '.[compare]'") from None


def import_for_streaming(name: str) -> ModuleType:
    """Imports a library that reads triples ahead while training.

    Raises:
        InputError: it, or a library that it needs, is not installed.
    """
    return _import_of_extra(name, 'streaming')


def import_for_export(name: str) -> ModuleType:
    """Imports a library, or the module of one, that an export is written with.

    Raises:
        InputError: it is not installed.
    """
    return _import_of_extra(name, 'export', 'this export')


def _import_of_extra(name, extra, purpose='this'):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        library = (error.name or name).partition('.')[0]
        library = _PACKAGES.get(library, library)
        raise InputError(f"{library} is needed for {purpose}: pip install '.[{extra}]'") from None
