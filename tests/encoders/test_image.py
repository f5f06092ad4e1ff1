"""Tests of image features: the numbers of transformers itself, their mean, and what cannot be used is named."""

import json
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mans_jax.encoders import image
from mans_jax.errors import InputError
from tests.small_models import SIZE, vit_config, write_image_model

transformers = pytest.importorskip('transformers', reason="needs transformers: pip install '.[features]'")
torch = pytest.importorskip('torch', reason="needs torch: pip install '.[features]'")
pillow = pytest.importorskip('PIL.Image', reason="needs Pillow: pip install '.[features]'")

DIGITS = (load_digits().images[:12] * 15.9).astype(np.uint8)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    torch.manual_seed(0)
    return write_image_model(tmp_path_factory.mktemp('vit'), transformers.ViTModel(vit_config()))


def draw(number, scale=1):
    return pillow.fromarray(DIGITS[number]).resize((24 * scale, 40))


@pytest.fixture
def folder(tmp_path):
    """Three entities with 3, 1 and 2 images."""
    root = tmp_path / 'images'
    for label, numbers in (('b', [0, 1, 2]), ('é', [3]), ('a', [4, 5])):
        (root / label).mkdir(parents=True)
        for number in numbers:
            draw(number, scale=number + 1).save(root / label / f'{number}.png')
    return root


def encode(root, model, **options):
    return image.encode(root, str(model), partial=root.with_name('partial'), **options)


def directly(folder, numbers):
    """The pooled output of a model, one call an image."""
    model, processor = (
        kind.from_pretrained(folder) for kind in (transformers.AutoModel, transformers.AutoImageProcessor)
    )
    with torch.inference_mode():
        calls = [model(**processor(draw(n, scale=n + 1).convert('RGB'), return_tensors='pt')) for n in numbers]
    return np.concatenate([call.pooler_output.numpy() for call in calls])


@pytest.mark.parametrize('batch_size', [1, 4, 32])
def test_the_mean_of_direct_calls(folder, model, batch_size):
    labels, values, record = encode(folder, model, batch_size=batch_size)
    assert labels == ['a', 'b', 'é'] and values.dtype == np.float32 and values.shape == (3, SIZE)
    vectors = directly(model, range(6))
    # Else nothing was compared.
    assert np.abs(vectors[0] - vectors[1:]).max(axis=1).min() > 0.01
    np.testing.assert_allclose(values, [vectors[4:].mean(0), vectors[:3].mean(0), vectors[3]], atol=1e-5)
    assert record['images'] == 6 and record['pooled'] and record['preparation']['size'] == {'height': 32, 'width': 32}


def test_an_index_and_a_graph(folder, model, tmp_path, caplog):
    index = tmp_path / 'index.txt'
    index.write_text('x\tb/0\ny\té/3\nx\tb/2\nz\ta/5\nx\tb/0\nz\tgone\n', encoding='utf-8')
    labels, values, record = encode(folder, model, index=index, entities=['z', 'nobody', 'x'])
    assert labels == ['z', 'x']
    vectors = directly(model, [5, 0, 2])
    np.testing.assert_allclose(values, [vectors[0], vectors[1:].mean(0)], atol=1e-5)
    assert record['skipped'] == {'missing': ['gone'], 'broken': {}, 'without_image': 0, 'not_in_graph': 1}
    assert caplog.messages == [
        f"{index}: 1 images are not there: 'gone'",
        f"{index}: 1 of 3 labels are no entity and left out: 'y'; 1 of 3 entities have no row: 'nobody'",
    ]


@pytest.mark.parametrize('batch_size', [1, 32])
def test_broken_images_are_counted_named_and_left_out(folder, model, monkeypatch, caplog, batch_size):
    monkeypatch.setattr(pillow, 'MAX_IMAGE_PIXELS', 24 * 10 * 40)
    (folder / 'b' / '1.png').write_bytes(b'no image')
    draw(7, scale=11).save(folder / 'é' / '3.png')
    data = (folder / 'a' / '5.png').read_bytes()
    (folder / 'a' / '5.png').write_bytes(data[:-40])
    labels, values, record = encode(folder, model, batch_size=batch_size)
    assert labels == ['a', 'b']
    vectors = directly(model, [4, 0, 2])
    np.testing.assert_allclose(values, [vectors[0], vectors[1:].mean(0)], atol=1e-5)
    damaged = record['skipped']['broken']['a/5.png']
    assert damaged.startswith('damaged (image file is truncated')
    assert record['skipped']['broken'] == {
        'a/5.png': damaged,
        'b/1.png': 'not an image',
        'é/3.png': 'more than 9,600 pixels',
    }
    named = f"'a/5.png' ({damaged}), 'b/1.png' (not an image), 'é/3.png' (more than 9,600 pixels)"
    assert caplog.messages == [
        f'{folder}: 3 of 6 images are left out: {named}',
        f"{folder}: 1 entities have no image that can be used: 'é'",
    ]


def test_nothing_but_broken_images_is_refused(tmp_path, model):
    (tmp_path / 'images' / 'a').mkdir(parents=True)
    (tmp_path / 'images' / 'a' / '1.png').write_bytes(b'no image')
    message = f"{tmp_path / 'images'}: none of its 1 images can be used: 'a/1.png' (not an image)"
    assert refusal(tmp_path / 'images', model) == message


def test_an_image_that_the_processor_cannot_take_is_broken(folder, model, monkeypatch):
    loaded = image.load(str(model))

    def processor(images, return_tensors):
        if images[0].width == 24:
            raise ValueError('too\nsmall')
        return loaded.processor(images, return_tensors=return_tensors)

    monkeypatch.setattr(image, 'load', lambda _: loaded._replace(processor=processor))
    assert encode(folder, model).record['skipped']['broken'] == {'b/0.png': 'the model cannot take it: too small'}


def test_a_pooler_without_weights_is_not_used(folder, tmp_path, caplog):
    """A checkpoint of a classifier has none, and transformers then makes up a random one."""
    torch.manual_seed(0)
    classifier = transformers.ViTForImageClassification(vit_config())
    saved = write_image_model(tmp_path / 'classifier', classifier)
    caplog.set_level('INFO', logger='absl')
    labels, values, record = encode(folder, saved)
    assert caplog.messages[0] == (
        f'--model={saved}: it has no weights for its pooler, so the mean over its output is taken'
    )
    processor = transformers.AutoImageProcessor.from_pretrained(saved)
    with torch.inference_mode():
        inputs = processor(draw(3, scale=4).convert('RGB'), return_tensors='pt')
        expected = classifier.eval().vit(**inputs).last_hidden_state.mean(1).numpy()
    np.testing.assert_allclose(values[2:], expected, atol=1e-5)
    assert record['pooled'] is False and record['weights'] == encode(folder, saved).record['weights']


def test_convolutions_are_pooled_over_places(folder, tmp_path):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type='basic')
    saved = write_image_model(tmp_path / 'resnet', transformers.ResNetModel(config))
    loaded = image.load(str(saved))
    prepared = [image._prepare(loaded.processor, draw(n).convert('RGB')) for n in range(2)]
    pooled = image.forward(loaded, prepared)
    assert pooled.shape == (2, 12)
    np.testing.assert_allclose(image.forward(loaded._replace(pooled=False), prepared), pooled, atol=1e-5)


def test_a_model_of_images_and_texts_gives_its_image_features(folder, tmp_path):
    sizes = {'hidden_size': SIZE, 'intermediate_size': SIZE, 'num_hidden_layers': 1, 'num_attention_heads': 2}
    config = transformers.CLIPConfig(
        text_config={**sizes, 'vocab_size': 20, 'bos_token_id': 1, 'eos_token_id': 2},
        vision_config={**sizes, 'image_size': 32, 'patch_size': 8},
        projection_dim=10,
    )
    saved = write_image_model(tmp_path / 'clip', transformers.CLIPModel(config))
    values = encode(folder, saved).values
    assert values.shape == (3, 10)
    model = transformers.CLIPModel.from_pretrained(saved)
    processor = transformers.AutoImageProcessor.from_pretrained(saved)
    with torch.inference_mode():
        inputs = processor(draw(3, scale=4).convert('RGB'), return_tensors='pt')
        expected = model.visual_projection(model.vision_model(**inputs).pooler_output)
    np.testing.assert_allclose(values[2:], expected.numpy(), atol=1e-5)


def test_images_of_different_sizes_need_batches_of_one(model):
    loaded = image.load(str(model))
    prepared = [{'pixel_values': torch.zeros(1, 3, size, 32)} for size in (32, 40)]
    with pytest.raises(InputError) as error:
        image.forward(loaded, prepared)
    assert str(error.value) == f'--model={model}: it takes images of different sizes; add --batch_size=1'


class Bomb:
    """Unpickling one is an error that no reader catches."""

    def __reduce__(self):
        return (pytest.fail, ('a pickle was run',))


def refusal(root, model):
    with pytest.raises(InputError) as error:
        encode(root, model)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_a_pickle_instead_of_weights_is_not_run(folder, model, tmp_path):
    other = tmp_path / 'other'
    other.mkdir()
    for name in ('config.json', 'preprocessor_config.json'):
        (other / name).write_bytes((model / name).read_bytes())
    (other / 'pytorch_model.bin').write_bytes(pickle.dumps(Bomb(), protocol=2))
    assert refusal(folder, other) == (
        f'--model={other}: its weights are a pickle of more than numbers, which could run anything; '
        'give a model with .safetensors'
    )


def test_a_model_that_cannot_be_loaded_is_refused(folder, tmp_path):
    for name in (tmp_path / 'nowhere', 'nobody/nothing'):
        said = refusal(folder, name)
        assert said.startswith(f'--model={name}: cannot be loaded (')
        assert said.endswith('); name a folder with a model, or a model of the Hugging Face hub')


# What timm's configuration of VGG16 says of its images.
VGG16 = {
    'input_size': [3, 224, 224], 'mean': [0.485, 0.456, 0.406], 'std': [0.229, 0.224, 0.225], 'crop_pct': 0.875,
    'interpolation': 'bilinear', 'crop_mode': 'center', 'first_conv': 'features.0', 'classifier': 'head.fc',
    'num_classes': 0, 'pool_size': [7, 7],
}  # fmt: skip


def test_vgg16_is_4096_wide(folder, tmp_path):
    pytest.importorskip('timm', reason="needs timm: pip install '.[vgg]'")
    config = transformers.TimmWrapperConfig(architecture='vgg16', num_labels=0)
    config.pretrained_cfg = VGG16
    transformers.TimmWrapperModel(config).save_pretrained(tmp_path / 'vgg16')
    labels, values, record = encode(folder, tmp_path / 'vgg16')
    assert values.shape == (3, 4096) and np.isfinite(values).all() and values.std() > 0
    assert record['pooled'] and record['versions']['timm']


def test_without_timm_its_models_name_the_extra(folder, tmp_path):
    try:
        import timm  # noqa: F401
    except ImportError:
        (tmp_path / 'vgg16').mkdir()
        content = {'architecture': 'vgg16', 'model_type': 'timm_wrapper', 'pretrained_cfg': VGG16}
        (tmp_path / 'vgg16' / 'config.json').write_text(json.dumps(content))
        message = f"--model={tmp_path / 'vgg16'}: timm is needed for this model: pip install '.[vgg]'"
        assert refusal(folder, tmp_path / 'vgg16') == message
    else:
        pytest.skip('timm is installed')


def test_code_that_a_model_brings_is_neither_run_nor_asked_about(folder, model, tmp_path, monkeypatch):
    import shutil

    other = tmp_path / 'other'
    shutil.copytree(model, other)
    (other / 'evil.py').write_text("raise SystemExit('run')\n")
    config = json.loads((other / 'config.json').read_text())
    config |= {'model_type': 'evil', 'auto_map': {'AutoConfig': 'evil.Config', 'AutoModel': 'evil.Model'}}
    (other / 'config.json').write_text(json.dumps(config))
    monkeypatch.setattr('builtins.input', lambda *_: pytest.fail('the user is asked'))
    assert refusal(folder, other).startswith(f'--model={other}: cannot be loaded (')


def test_a_masked_auto_encoder_sees_the_whole_image_whatever_the_batch(folder, tmp_path):
    torch.manual_seed(0)
    sizes = {'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    shape = transformers.ViTMAEConfig(image_size=32, patch_size=8, initializer_range=0.5, **sizes)
    saved = write_image_model(tmp_path / 'mae', transformers.ViTMAEModel(shape))
    one, many = (
        image.encode(folder, str(saved), partial=tmp_path / f'partial{size}', batch_size=size).values
        for size in (1, 32)
    )
    np.testing.assert_allclose(one, many, atol=1e-5)
    assert np.std(many, axis=0).max() > 1e-2


def test_a_model_of_another_kind_is_refused_in_one_line(folder, tmp_path):
    torch.manual_seed(0)
    sizes = {'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 1, 'num_attention_heads': 2}
    shape = transformers.ViltConfig(vocab_size=9, image_size=32, patch_size=8, **sizes)
    saved = write_image_model(tmp_path / 'vilt', transformers.ViltModel(shape))
    said = refusal(folder, saved)
    assert said.startswith(f'--model={saved}: cannot be used for this (') and said.endswith('of the right kind')
