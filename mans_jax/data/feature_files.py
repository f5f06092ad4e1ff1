"""The formats of feature files: each to rows of floats, mapped or read in parts where it allows that, and labels."""

import contextlib
import json
import math
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from mans_jax.data import lines, mmkg
from mans_jax.data.extras import import_for
from mans_jax.errors import InputError


class Stored(NamedTuple):
    """What a file holds.

    Attributes:
        values: an array, a memory map or a dataset with shape, dtype and slices of rows; not checked.
        labels: the label of each row, or None where the position is the entity id.
        source: the file of the labels.
    """

    values: Any
    labels: list[str] | None = None
    source: Path | None = None


@contextlib.contextmanager
def open_features(path: Path) -> Iterator[Stored]:
    """Within it, the rows and labels of a feature file.

    Args:
        path: a file in one of `FORMATS`. One that holds named arrays has one matrix, or one named 'features' among
            others, and perhaps 'labels'; or one vector an entity, named by its label. Labels may also stand, one a
            line, beside the file: in STEM.labels.txt for STEM.npy, or in labels.txt for all of a folder. Vectors of
            images as MMKG has them, X_ImageData.h5, need X_ImageIndex.txt beside them, which tells whose they are.

    Raises:
        InputError: the file cannot be read, is not of the format that its ending says, or holds something else.
    """
    opener = FORMATS.get(path.suffix.lower())
    if opener is None:
        known = ', '.join(FORMATS)
        cure = 'python -m mans_jax.features makes them of texts, images and numbers'
        raise InputError(f'{path}: the ending tells no format of features; known: {known}; {cure}')
    try:
        with path.open('rb'):
            pass
    except FileNotFoundError:
        raise InputError(f'{path}: no such file') from None
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from None
    with contextlib.ExitStack() as stack:
        stored = opener(path, stack)
        if path.stem.endswith(_OF_IMAGES) and stored.labels is not None:
            stored = _of_entities(path, stored)
        if stored.labels is None:
            labels = lines.find(path.parent, [f'{path.stem}.labels.txt']) or lines.find(path.parent, ['labels.txt'])
            if labels:
                stored = stored._replace(labels=lines.read(labels)[:-1].split('\n'), source=labels)
        yield stored


_OF_IMAGES = '_ImageData'


def _of_entities(path: Path, stored: Stored) -> Stored:
    """Vectors that images name, by entity."""
    name = f'{path.stem.removesuffix(_OF_IMAGES)}_ImageIndex.txt'
    index = lines.find(path.parent, [name])
    if index is None:
        raise InputError(f'{path}: its vectors are those of images; put {name}, lines "entity<TAB>image", beside it')
    labels, values = mmkg.pool_images(path, stored.labels, stored.values, mmkg.read_images(index))
    return Stored(values, labels, path)


def _open_npy(path, _) -> Stored:
    with _refusing(path, 'a whole .npy file of numbers', 'write it with numpy.save'):
        # Maps the file itself and nothing that it names: a pickled object is an error, never run.
        return Stored(np.lib.format.open_memmap(path, mode='r'))


def _open_npz(path, stack) -> Stored:
    with _refusing(path, 'a whole .npz file of numbers', 'write it with numpy.savez'):
        archive = stack.enter_context(np.load(path, allow_pickle=False))
        _check_distinct(path, archive.files)
        arrays = {name: archive[name] for name in archive.files}
    return _from_arrays(path, arrays)


_SAFETENSORS_DTYPES = {
    'F64': np.float64,
    'F32': np.float32,
    'F16': np.float16,
    'BF16': ml_dtypes.bfloat16,
    'F8_E4M3': ml_dtypes.float8_e4m3fn,
    'F8_E5M2': ml_dtypes.float8_e5m2,
}


def _open_safetensors(path, _) -> Stored:
    """Read by hand, as the library hands bfloat16 and float8 only to frameworks that have them."""
    cure = 'write it with safetensors'
    with _refusing(path, 'a whole .safetensors file', cure):
        data = np.memmap(path, mode='r')
        start = 8 + int(data[:8].view('<u8')[0])
        if start > len(data):
            raise ValueError('the header is cut off')
        pairs = json.loads(bytes(data[8:start]), object_pairs_hook=lambda pairs: pairs)
        _check_distinct(path, [name for name, _ in pairs])
        header = {name: dict(entry) for name, entry in pairs}
        metadata = header.pop('__metadata__', {})
        arrays = {name: _tensor(data[start:], name, **entry) for name, entry in header.items()}
        labels = json.loads(metadata['labels']) if 'labels' in metadata else None
        if labels is not None and not (isinstance(labels, list) and all(isinstance(x, str) for x in labels)):
            raise ValueError('its labels are not a list of texts')
    return _from_arrays(path, arrays if labels is None else arrays | {'labels': labels})


def _tensor(data: np.ndarray, name: str, dtype: str, shape: Sequence[int], data_offsets: Sequence[int]) -> np.ndarray:
    if dtype not in _SAFETENSORS_DTYPES:
        raise ValueError(f'{name} is {dtype}, not one of {", ".join(_SAFETENSORS_DTYPES)}')
    kind, (start, stop) = np.dtype(_SAFETENSORS_DTYPES[dtype]), data_offsets
    if (
        not 0 <= start <= stop <= len(data)
        or stop - start != math.prod(shape) * kind.itemsize
        or min(shape, default=0) < 0
    ):
        raise ValueError(f'{name} does not fit into the file')
    return np.asarray(data[start:stop]).view(kind).reshape(shape)


def _open_hdf5(path, stack) -> Stored:
    h5py = import_for(path, 'h5py')
    with _refusing(path, 'a whole HDF5 file', 'write it with h5py'):
        file = stack.enter_context(h5py.File(path, 'r'))
        for name in file:
            _check_inside(path, name, file.get(name, getlink=True), h5py)
        arrays = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        for name, item in arrays.items():
            _check_inside(path, name, item, h5py)
        if 'labels' in arrays:
            arrays['labels'] = arrays['labels'][...]
    return _from_arrays(path, arrays)


def _check_inside(path: Path, name: str, item, h5py) -> None:
    """Refuses a link or a dataset of HDF5 that would read another file, which may be any on this machine."""
    if isinstance(item, h5py.ExternalLink):
        other = item.filename
    elif isinstance(item, h5py.Dataset) and not os.path.samefile(item.file.filename, path):
        # Where a link within the file leads to a link out of it.
        other = item.file.filename
    elif isinstance(item, h5py.Dataset) and item.external:
        other = item.external[0][0]
    elif isinstance(item, h5py.Dataset) and item.is_virtual:
        # Of this file itself, its source may still be stored in another.
        other = next((source.file_name for source in item.virtual_sources()), '.')
    else:
        other = None
    if other is not None:
        raise InputError(f'{path}: {lines.quote(name)} lies in another file, {other}; store it in this one')


def _open_torch(path, _) -> Stored:
    torch = import_for(path, 'torch')
    cure = 'save a tensor, or a dict of tensors, with torch.save'
    with _refusing(path, 'a file of weights alone', cure), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            # Another pickle could run anything: with weights_only it is refused unread.
            saved = torch.load(path, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(path))
        except pickle.UnpicklingError:
            # PyTorch's own words advise to run it.
            raise ValueError('it holds other Python objects too, none of which was run') from None
        except Exception:
            raise ValueError('it is cut off, damaged or no file of torch.save') from None
        if isinstance(saved, torch.Tensor):
            return Stored(_from_torch(torch, saved))
        if not isinstance(saved, dict):
            raise ValueError(f'it holds a {type(saved).__name__}')
        arrays = {str(k): _from_torch(torch, v) if isinstance(v, torch.Tensor) else v for k, v in saved.items()}
        wrong = [k for k, v in arrays.items() if not isinstance(v, np.ndarray) and k != 'labels']
        if wrong:
            raise ValueError(f'{wrong[0]} is no tensor')
    return _from_arrays(path, arrays)


def _from_torch(torch, tensor):
    known = (torch.float16, torch.float32, torch.float64)
    # NumPy does not know PyTorch's other floats; whole numbers are left to be refused by their name.
    return (tensor.detach() if tensor.dtype in known or not tensor.is_floating_point() else tensor.float()).numpy()


def _open_parquet(path, _) -> Stored:
    parquet, pa = import_for(path, 'pyarrow.parquet'), import_for(path, 'pyarrow')
    with _refusing(path, 'a whole Parquet file', 'write it with pyarrow'):
        table = parquet.read_table(path, memory_map=True)
    _check_distinct(path, table.column_names)
    texts = [f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    lists = [f.name for f in table.schema if pa.types.is_nested(f.type)]
    if len(texts) > 1:
        raise InputError(f'{path}: columns {", ".join(texts)} are all text; keep one, the label')
    labels = table[texts[0]].to_pylist() if texts else None
    if labels and None in labels:
        raise InputError(f'{path}: row {labels.index(None)} has no label in column {texts[0]!r}')
    names = lists or [name for name in table.column_names if name not in texts]
    if len(lists) > 1 or not names:
        raise InputError(
            f'{path}: columns {", ".join(table.column_names)}; store one column of lists, or one a feature'
        )
    if lists:
        values = _stack(path, [x if x is None else np.asarray(x) for x in _lists(table[lists[0]])], labels)
    else:
        for name in names:
            if not pa.types.is_floating(table.schema.field(name).type):
                raise InputError(f'{path}: column {name!r} is {table.schema.field(name).type}, features are floats')
        values = np.stack([table[name].to_numpy() for name in names], axis=1)
    return Stored(values, labels, path)


def _lists(column):
    """The lists of a column as arrays; None for a null."""
    for chunk in column.chunks:
        for item in chunk:
            yield item.values.to_numpy(zero_copy_only=False) if item.is_valid else None


def _from_arrays(path: Path, arrays: Mapping[str, Any]) -> Stored:
    """The matrix and the labels among named arrays."""
    arrays = dict(arrays)
    labels = arrays.pop('labels', None)
    if labels is not None:
        labels = [_decode(path, row, x) for row, x in enumerate(np.asarray(labels).tolist())]
        if not all(isinstance(label, str) for label in labels):
            raise InputError(f'{path}: its labels are not texts; store them as a list of strings')
    matrices = [name for name, array in arrays.items() if array.ndim == 2]
    if 'features' in arrays or len(arrays) == 1 == len(matrices):
        return Stored(arrays.get('features', arrays[next(iter(arrays))]), labels, path)
    if arrays and labels is None and all(array.ndim == 1 or array.shape[:-1] == (1,) for array in arrays.values()):
        vectors = [array[:].reshape(-1) for array in arrays.values()]
        return Stored(_stack(path, vectors, list(arrays)), list(arrays), path)
    names = ', '.join(list(arrays)[:5]) or 'none'
    raise InputError(f"{path}: cannot tell which array is meant (it has: {names}); name the matrix 'features'")


def _decode(path: Path, row: int, label):
    try:
        return label.decode() if isinstance(label, bytes) else label
    except UnicodeDecodeError:
        where = f'the label of row {row} (counted from 0)'
        raise InputError(f'{path}: {where}, {label!r}, is not UTF-8; store labels as UTF-8') from None


def _stack(path: Path, vectors: list[np.ndarray | None], labels: list[str] | None) -> np.ndarray:
    """Vectors of one width as rows, NaN for None."""
    given = [i for i, vector in enumerate(vectors) if vector is not None]
    width = len(vectors[given[0]]) if given else 0
    for i in given:
        if len(vectors[i]) != width:
            first, other = (lines.quote(labels[j]) if labels else f'row {j}' for j in (given[0], i))
            raise InputError(
                f'{path}: {first} has {width} features, {other} has {len(vectors[i])}; one width is needed'
            )
    dtype = np.result_type(*{vectors[i].dtype for i in given}) if given else np.float32
    missing = np.full(width, np.nan, dtype=dtype) if len(given) < len(vectors) else None
    return np.stack([missing if vector is None else vector for vector in vectors])


def _check_distinct(path: Path, names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise InputError(f'{path}: {lines.quote(name)} twice; keep one')


@contextlib.contextmanager
def _refusing(path: Path, what: str, cure: str):
    """Turns whatever a library raises over a damaged file, which depends on the damage, into one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = ' '.join(str(error).split())
        raise InputError(f'{path}: not {what} ({reason[:200] or type(error).__name__}); {cure}') from None


FORMATS = {
    '.npy': _open_npy,
    '.npz': _open_npz,
    '.safetensors': _open_safetensors,
    '.parquet': _open_parquet,
    '.h5': _open_hdf5,
    '.hdf5': _open_hdf5,
    '.pt': _open_torch,
    '.pth': _open_torch,
}
"""How a feature file is opened, by its ending."""
