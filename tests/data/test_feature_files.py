"""Tests of feature formats: one matrix in every form, by id and by label, and what is wrong is refused."""

import json
import pickle
import sys
import types
import zipfile

import h5py
import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import safetensors.numpy

from mans_jax.data import feature_files, features, load_graph
from mans_jax.errors import InputError

ENTITIES = ('a', 'b\tc', 'é', 'שלום', 'last')
MATRIX = np.array([[1.5, -2, 0.25], [0, 1, 2], [np.nan] * 3, [3, 4, 5], [-1, 0, 1]], dtype=np.float32)
ORDER = [3, 0, 4, 2, 1]
SHUFFLED, LABELS = MATRIX[ORDER], [ENTITIES[i] for i in ORDER]


def save_npz(path, matrix, labels):
    np.savez(path, features=matrix, **({} if labels is None else {'labels': np.array(labels)}))


def save_safetensors(path, matrix, labels):
    metadata = None if labels is None else {'labels': json.dumps(labels)}
    safetensors.numpy.save_file({'features': np.ascontiguousarray(matrix)}, path, metadata=metadata)


def save_hdf5(path, matrix, labels):
    with h5py.File(path, 'w') as file:
        file['features'] = matrix
        if labels is not None:
            file['labels'] = labels


def save_lists(path, matrix, labels):
    rows = pa.array(
        [None if np.isnan(row).any() else row for row in matrix], pa.list_(pa.from_numpy_dtype(matrix.dtype))
    )
    columns = {'vector': rows} | ({} if labels is None else {'label': labels})
    pa.parquet.write_table(pa.table(columns), path)


def save_columns(path, matrix, labels):
    columns = {} if labels is None else {'name': labels}
    pa.parquet.write_table(pa.table(columns | {f'x{i}': column for i, column in enumerate(matrix.T)}), path)


FORMS = {
    'npz': ('x.npz', save_npz),
    'safetensors': ('x.safetensors', save_safetensors),
    'hdf5': ('x.h5', save_hdf5),
    'parquet, lists': ('x.parquet', save_lists),
    'parquet, columns': ('x.parquet', save_columns),
}


def check(read):
    matrix, present = read
    assert matrix.dtype == np.float32 and type(matrix) is np.ndarray and matrix.flags.writeable
    np.testing.assert_array_equal(present, [True, True, False, True, True])
    np.testing.assert_array_equal(matrix, np.nan_to_num(MATRIX))


def refusal(path, entities=ENTITIES):
    with pytest.raises(InputError) as error:
        features.read(path, entities)
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
@pytest.mark.parametrize('form', FORMS)
def test_every_form_holds_the_same_matrix(tmp_path, form, dtype):
    name, save = FORMS[form]
    save(tmp_path / name, MATRIX.astype(dtype), None)
    check(features.read(tmp_path / name, ENTITIES))
    save(tmp_path / name, SHUFFLED.astype(dtype), LABELS)
    check(features.read(tmp_path / name, ENTITIES))


@pytest.mark.parametrize('dtype', ['bfloat16', 'float8_e4m3fn', 'float8_e5m2'])
def test_small_floats_of_safetensors(tmp_path, dtype):
    path = tmp_path / 'x.safetensors'
    save_safetensors(path, SHUFFLED.astype(getattr(ml_dtypes, dtype)), LABELS)
    check(features.read(path, ENTITIES))


@pytest.mark.parametrize('name', ['x.labels.txt', 'labels.txt', 'labels.txt.gz'])
def test_labels_beside_the_file(tmp_path, name):
    import gzip

    np.save(tmp_path / 'x.npy', SHUFFLED)
    text = '\n'.join(LABELS).encode() + b'\n'
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith('.gz') else text)
    check(features.read(tmp_path / 'x.npy', ENTITIES))
    (tmp_path / name).write_bytes(gzip.compress(b'a\n') if name.endswith('.gz') else b'a\n')
    assert refusal(tmp_path / 'x.npy') == f'{tmp_path / name}: 1 labels for the 5 rows of {tmp_path / "x.npy"}'


@pytest.mark.parametrize('form', ['npz', 'safetensors', 'hdf5'])
def test_one_vector_a_label(tmp_path, form):
    vectors = {label: row for label, row in zip(LABELS, SHUFFLED, strict=True)}
    path = tmp_path / FORMS[form][0]

    def save():
        if form == 'npz':
            np.savez(path, **vectors)
        elif form == 'safetensors':
            safetensors.numpy.save_file({name: np.array(row) for name, row in vectors.items()}, path)
        else:
            with h5py.File(path, 'w') as file:
                file.update(vectors)

    save()
    check(features.read(path, ENTITIES))
    vectors['last'] = np.ones(4, np.float32)
    save()
    said = refusal(path)
    assert said.startswith(f'{path}: ') and 'has 3 features' in said and 'has 4' in said and 'one width' in said


def test_labels_that_are_missing_or_unknown_are_counted_and_named(tmp_path, caplog):
    path = tmp_path / 'x.npz'
    save_npz(path, np.ones((4, 2), np.float32), ['no_1', 'a', 'no_2', 'no_3'])
    entities = ['a', *(f'e{i}' for i in range(9))]
    with caplog.at_level('WARNING'):
        matrix, present = features.read(path, entities)
    assert present.tolist() == [True] + [False] * 9 and matrix.sum() == 2
    assert f"{path}: 3 of 4 labels are no entity and left out: 'no_1', 'no_2', 'no_3'; " in caplog.text
    assert "9 of 10 entities have no row: 'e0', 'e1', 'e2', ..." in caplog.text


def test_a_row_without_an_entity_may_hold_anything(tmp_path):
    save_npz(tmp_path / 'x.npz', np.array([[np.inf], [1]], np.float32), ['unknown', 'a'])
    assert features.read(tmp_path / 'x.npz', ['a'])[0].tolist() == [[1]]
    assert 'row 0, column 0: inf is infinite' in refusal(tmp_path / 'x.npz', ['a', 'unknown'])


def test_another_graphs_features_are_refused(tmp_path):
    save_npz(tmp_path / 'x.npz', MATRIX, LABELS)
    assert "none of its 5 labels is an entity, so it is another graph's" in refusal(tmp_path / 'x.npz', ['A', 'B'])
    save_npz(tmp_path / 'x.npz', MATRIX, None)
    assert refusal(tmp_path / 'x.npz', ['A', 'B']).startswith(f'{tmp_path / "x.npz"}: 5 rows for 2 entities')


@pytest.mark.parametrize('form', FORMS)
def test_a_label_twice_is_refused(tmp_path, form):
    name, save = FORMS[form]
    save(tmp_path / name, SHUFFLED, [*LABELS[:4], LABELS[1]])
    assert refusal(tmp_path / name).startswith(f"{tmp_path / name}: label 'a' twice, in rows 1 and 4")


def write_safetensors(path, header, data=b''):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(header).to_bytes(8, 'little') + header + data)
    return path


@pytest.mark.parametrize(
    ('header', 'message'),
    [
        (b'{', 'not a whole .safetensors file'),
        ({'x': {'dtype': 'I64', 'shape': [1, 1], 'data_offsets': [0, 8]}}, 'x is I64, not one of F64'),
        ({'x': {'dtype': 'F32', 'shape': [1, 2], 'data_offsets': [0, 12]}}, 'x does not fit into the file'),
        ({'x': {'dtype': 'F32', 'shape': [3, 1], 'data_offsets': [0, 12]}}, 'x does not fit into the file'),
        ({'x': {'dtype': 'F32', 'shape': [-1, -2], 'data_offsets': [0, 8]}}, 'x does not fit into the file'),
        (b'{"x": {}, "x": {}}', "'x' twice; keep one"),
        ({'__metadata__': {'labels': '3'}}, 'its labels are not a list of texts'),
        ({}, 'cannot tell which array is meant (it has: none)'),
    ],
)
def test_a_damaged_safetensors_file_is_refused(tmp_path, header, message):
    said = refusal(write_safetensors(tmp_path / 'x.safetensors', header, bytes(8)))
    assert said.startswith(f'{tmp_path / "x.safetensors"}: ') and message in said


@pytest.mark.parametrize('name', ['x.npz', 'x.safetensors', 'x.parquet', 'x.h5'])
@pytest.mark.parametrize('data', [b'', b'0.1 0.2\n', bytes(100)])
def test_other_files_are_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert refusal(tmp_path / name).startswith(f'{tmp_path / name}: not a whole ')


def test_tables_that_cannot_be_understood_are_refused(tmp_path):
    path = tmp_path / 'x.parquet'
    for columns, message in (
        ({'x': [1, 2]}, "column 'x' is int64, features are floats"),
        ({'x': ['a', 'b'], 'y': ['a', 'b'], 'z': [0.1, 0.2]}, 'columns x, y are all text; keep one, the label'),
        ({'x': ['a', None], 'z': [0.1, 0.2]}, "row 1 has no label in column 'x'"),
        ({'x': ['a', 'b']}, 'columns x; store one column of lists, or one a feature'),
        ({'x': ['a', 'é'], 'z': [[0.1], [0.2, 0.3]]}, "'a' has 1 features, 'é' has 2; one width is needed"),
    ):
        pa.parquet.write_table(pa.table(columns), path)
        assert refusal(path) == f'{path}: {message}'


def test_several_matrices_need_a_name(tmp_path):
    np.savez(tmp_path / 'x.npz', one=MATRIX, two=MATRIX)
    assert "name the matrix 'features'" in refusal(tmp_path / 'x.npz')


class Bomb:
    """Unpickling one is an error that no reader catches."""

    def __reduce__(self):
        return (pytest.fail, ('a pickle was run',))


def test_pickles_in_an_npz_are_refused_unread(tmp_path):
    np.savez(tmp_path / 'x.npz', features=np.array([[Bomb()]], dtype=object))
    assert 'not a whole .npz file of numbers' in refusal(tmp_path / 'x.npz')


def test_torch_is_asked_for_weights_only(tmp_path, monkeypatch):
    asked = {}

    def load(path, **options):
        asked.update(options)
        raise pickle.UnpicklingError('Weights only load failed.\nMore')

    monkeypatch.setitem(sys.modules, 'torch', types.SimpleNamespace(load=load))
    (tmp_path / 'x.pt').write_bytes(pickle.dumps(Bomb()))
    said = refusal(tmp_path / 'x.pt')
    # PyTorch's own words advise to load it without the option.
    reason = 'it holds other Python objects too, none of which was run'
    cure = 'save a tensor, or a dict of tensors, with torch.save'
    assert said == f'{tmp_path / "x.pt"}: not a file of weights alone ({reason}); {cure}'
    assert asked['weights_only'] is True
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert refusal(tmp_path / 'x.pt').endswith('torch is needed to read it: pip install torch')


@pytest.mark.parametrize('zipped', [True, False])
def test_tensors_of_torch(tmp_path, zipped):
    torch = pytest.importorskip('torch')
    path = tmp_path / 'x.pth'
    # PyTorch's older form has no float8.
    for dtype in (torch.float16, torch.float32, torch.float64, torch.bfloat16, *[torch.float8_e4m3fn] * zipped):
        torch.save(torch.tensor(MATRIX).to(dtype), path, _use_new_zipfile_serialization=zipped)
        check(features.read(path, ENTITIES))
    weights = torch.nn.Parameter(torch.tensor(SHUFFLED))
    torch.save({'features': weights, 'labels': LABELS}, path, _use_new_zipfile_serialization=zipped)
    check(features.read(path, ENTITIES))
    torch.save(dict(zip(LABELS, torch.tensor(SHUFFLED), strict=True)), path)
    check(features.read(path, ENTITIES))
    torch.save({'a': Bomb()}, path, _use_new_zipfile_serialization=zipped)
    assert 'not a file of weights alone' in refusal(path)
    path.write_bytes(pickle.dumps(Bomb()))
    assert 'it holds other Python objects too, none of which was run' in refusal(path)
    torch.save(weights, path)
    for data in (path.read_bytes()[:-60], b'hello world', b''):
        path.write_bytes(data)
        assert 'it is cut off, damaged or no file of torch.save' in refusal(path)


@pytest.mark.parametrize('shape', [(3,), (1, 3)])
def test_vectors_of_images_as_mmkg_has_them(tmp_path, caplog, shape):
    path = tmp_path / 'DB15K_ImageData.h5'
    with h5py.File(path, 'w') as file:
        for number, row in enumerate([[1, 2, 3], [3, 2, 1], [5, 5, 5], [9, 9, 9]], start=1):
            file[f'DBIMG0000{number}'] = np.array(row, np.float16).reshape(shape)
    need = f'{path}: its vectors are those of images; put DB15K_ImageIndex.txt, lines "entity<TAB>image", beside it'
    assert refusal(path) == need
    # One entity has two images, one has an image without a vector, one vector belongs to nobody.
    index = [('é', 3), ('a', 1), ('last', 7), ('a', 2)]
    text = ''.join(f'{entity}\tDBIMG0000{number}\n' for entity, number in index)
    (tmp_path / 'DB15K_ImageIndex.txt').write_text(text, encoding='utf-8')
    matrix, present = features.read(path, ENTITIES)
    assert present.tolist() == [True, False, True, False, False]
    assert matrix[:3].tolist() == [[2, 2, 2], [0, 0, 0], [5, 5, 5]]
    assert f"{path}: 1 of 4 images are not in the index and left out: 'DBIMG00004'" in caplog.text
    assert "3 of 5 entities have no row: 'b\\tc', 'שלום', 'last'" in caplog.text
    (tmp_path / 'DB15K_ImageIndex.txt').write_text('a\tFBIMG00001\n')
    example = "it has 'DBIMG00001', the index 'FBIMG00001'"
    cure = "give the graph's own"
    assert refusal(path) == f'{path}: none of its images is in the index beside it ({example}); {cure}'


def external_link(file):
    file['features'] = h5py.ExternalLink('other.h5', 'x')


def external_storage(file):
    file.create_dataset('features', shape=MATRIX.shape, dtype='f4', external=[('other.h5', 0, MATRIX.nbytes)])


def virtual_dataset(file):
    layout = h5py.VirtualLayout(shape=MATRIX.shape, dtype='f4')
    layout[:] = h5py.VirtualSource('other.h5', 'x', shape=MATRIX.shape)
    file.create_virtual_dataset('features', layout)


@pytest.mark.parametrize('point', [external_link, external_storage, virtual_dataset])
def test_hdf5_reads_no_other_file(tmp_path, point):
    path = tmp_path / 'x.h5'
    for save_other in (True, False):
        if save_other:
            with h5py.File(tmp_path / 'other.h5', 'w') as file:
                file['x'] = MATRIX
        else:
            (tmp_path / 'other.h5').unlink()
        with h5py.File(path, 'w') as file:
            point(file)
        assert refusal(path) == f"{path}: 'features' lies in another file, other.h5; store it in this one"


def test_hdf5_follows_links_within_the_file(tmp_path):
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        file['deep/matrix'] = MATRIX
        file['features'] = h5py.SoftLink('/deep/matrix')
    check(features.read(tmp_path / 'x.h5', ENTITIES))


@pytest.mark.parametrize('name', ['x.npz', 'x.h5'])
def test_a_label_that_is_not_utf8_is_named(tmp_path, name):
    labels = [b'a', b'\xe9', b'c', b'd', b'e']
    if name == 'x.npz':
        np.savez(tmp_path / name, features=MATRIX, labels=np.array(labels))
    else:
        with h5py.File(tmp_path / name, 'w') as file:
            file['features'], file['labels'] = MATRIX, labels
    where = "the label of row 1 (counted from 0), b'\\xe9', is not UTF-8"
    assert refusal(tmp_path / name) == f'{tmp_path / name}: {where}; store labels as UTF-8'


def test_a_label_twice_in_a_text_file_is_named_by_its_lines(tmp_path):
    np.save(tmp_path / 'x.npy', MATRIX)
    (tmp_path / 'labels.txt').write_text('a\nb\nc\na\ne\n')
    assert refusal(tmp_path / 'x.npy') == f"{tmp_path / 'labels.txt'}: label 'a' twice, in lines 1 and 4; keep one"


def test_large_formats_are_mapped(tmp_path):
    np.save(tmp_path / 'x.npy', MATRIX)
    save_safetensors(tmp_path / 'x.safetensors', MATRIX, None)
    for name in ('x.npy', 'x.safetensors'):
        with feature_files.open_features(tmp_path / name) as stored:
            base = stored.values
            while base is not None and not isinstance(base, np.memmap):
                base = base.base
            assert isinstance(base, np.memmap)


def test_a_graph_takes_labelled_features(tmp_path):
    for split, text in (('train', 'a\tr\té\né\tr\ta\n'), ('valid', 'a\tr\tlast\n'), ('test', 'last\tr\ta\n')):
        (tmp_path / f'{split}.tsv').write_text(text)
    save_safetensors(tmp_path / 'x.safetensors', SHUFFLED, LABELS)
    graph, _ = load_graph(tmp_path, {'text': str(tmp_path / 'x.safetensors')})
    assert graph.features['text'].tolist() == [[1.5, -2, 0.25], [0, 0, 0], [-1, 0, 1]]
    assert graph.present[:, 1].tolist() == [True, False, True]


def test_an_array_twice_in_an_npz_is_refused(tmp_path):
    save_npz(tmp_path / 'x.npz', MATRIX, None)
    with zipfile.ZipFile(tmp_path / 'x.npz', 'a') as archive, pytest.warns(UserWarning, match='Duplicate name'):
        archive.writestr('features.npy', archive.read('features.npy'))
    assert refusal(tmp_path / 'x.npz') == f"{tmp_path / 'x.npz'}: 'features' twice; keep one"


def test_hdf5_does_not_follow_a_link_to_a_link_out_of_the_file(tmp_path):
    with h5py.File(tmp_path / 'secret.h5', 'w') as file:
        file['d'] = MATRIX
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        file.create_group('g')['x'] = h5py.ExternalLink(str(tmp_path / 'secret.h5'), '/d')
        file['features'] = h5py.SoftLink('/g/x')
    assert refusal(tmp_path / 'x.h5') == (
        f"{tmp_path / 'x.h5'}: 'features' lies in another file, {tmp_path / 'secret.h5'}; store it in this one"
    )


def test_hdf5_does_not_read_a_virtual_dataset_whose_source_lies_elsewhere(tmp_path):
    (tmp_path / 'secret.raw').write_bytes(MATRIX.tobytes())
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        external = [(str(tmp_path / 'secret.raw'), 0, MATRIX.nbytes)]
        file.create_dataset('g/raw', MATRIX.shape, MATRIX.dtype, external=external)
        layout = h5py.VirtualLayout(MATRIX.shape, MATRIX.dtype)
        layout[:] = h5py.VirtualSource('.', 'g/raw', MATRIX.shape)
        file.create_virtual_dataset('features', layout)
    assert refusal(tmp_path / 'x.h5').endswith("'features' lies in another file, .; store it in this one")
