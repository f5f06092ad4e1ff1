"""Images to features, by any vision model of transformers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from mans_jax.data import lines
from mans_jax.data.extras import import_for_features
from mans_jax.encoders import feature_writer, image_files, journal, models, rows
from mans_jax.encoders.image_files import BrokenImage, ImageFile
from mans_jax.errors import InputError


class ImageModel(NamedTuple):
    """A model that is ready.

    Attributes:
        model: a `transformers.PreTrainedModel`.
        processor: the image processor that belongs to it.
        pooled: whether the output that it pools itself can be used.
        record: its name, the digest of its weights and how it prepares an image.
    """

    model: Any
    processor: Any
    pooled: bool
    record: dict[str, Any]


def encode(
    root: Path,
    name: str,
    *,
    partial: Path,
    index: Path | None = None,
    entities: Sequence[str] | None = None,
    batch_size: int = 32,
) -> rows.Encoded:
    """Encodes every image of an entity and takes the mean.

    Images that cannot be used are skipped; a warning counts and names them.

    Args:
        root: a folder with a folder of images for each entity, named by its label; with `index` the images as
            `image_files.by_index` finds them.
        name: the model, as for `load`.
        partial: the folder for what is done so far; `journal.clear` takes it away.
        index: a file with the images of each entity.
        entities: the labels of a graph, to which the rows are restricted and by which they are ordered.
        batch_size: how many images the model takes at once.

    Raises:
        InputError: the images or the model cannot be used, or `partial` cannot be written.
    """
    images, missing = (image_files.in_folders(root), []) if index is None else image_files.by_index(root, index)
    if missing:
        logging.warning('%s: %d images are not there: %s', index, len(missing), lines.name_some(missing))
    labels = list(dict.fromkeys(image.label for image in images))
    kept = [labels[i] for i in rows.select(index or root, labels, entities)]
    row_of = {label: row for row, label in enumerate(kept)}
    # An image that an index gives an entity twice is one image.
    images = [image for image in dict.fromkeys(images) if image.label in row_of]
    images.sort(key=lambda image: row_of[image.label])
    model = load(name)
    record = {
        'kind': 'image',
        'input': {'name': root.name, 'sha256': image_files.digest(root, images)},
        'index': None if index is None else {'name': index.name, 'sha256': feature_writer.file_digest(index)},
        'graph': feature_writer.labels_digest(entities),
        **model.record,
        'batch_size': batch_size,
        'versions': feature_writer.versions('transformers', 'torch', 'torchvision', 'timm', 'pillow'),
    }
    sums, counts, broken = _sum(root, images, row_of, model, partial, record, batch_size)
    has = counts > 0
    bare = [label for label, there in zip(kept, has, strict=True) if not there]
    _tell(root, broken, len(images), bare, len(kept))
    skipped = {'missing': missing, 'broken': broken, 'without_image': len(bare)}
    return rows.Encoded(
        [label for label, there in zip(kept, has, strict=True) if there],
        sums[has] / counts[has, None].astype(np.float32),
        record | {'images': int(counts.sum()), 'skipped': skipped | {'not_in_graph': len(labels) - len(kept)}},
    )


def _tell(root: Path, broken: Mapping[str, str], images: int, bare: Sequence[str], entities: int) -> None:
    """Says what was left out.

    Raises:
        InputError: nothing is left.
    """
    several = [f'{lines.quote(file)} ({reason})' for file, reason in broken.items()]
    named = ', '.join(several[:3]) + (', ...' if several[3:] else '')
    if len(bare) == entities:
        raise InputError(f'{root}: none of its {images} images can be used: {named}')
    if broken:
        logging.warning('%s: %d of %d images are left out: %s', root, len(broken), images, named)
    if bare:
        logging.warning('%s: %d entities have no image that can be used: %s', root, len(bare), lines.name_some(bare))


def _sum(root, images: Sequence[ImageFile], row_of, model, partial, settings, batch_size: int):
    """The sum of each entity's vectors, float32[N, F], how many there are, int64[N], and the broken images."""

    def encode_batch(several):
        whole, broken = [], {}
        for image in several:
            try:
                whole.append(_prepare(model.processor, image_files.open_image(root / image.name)))
            except BrokenImage as error:
                broken[image.name] = str(error)
        return journal.Batch(forward(model, whole), broken)

    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    sums, counts, broken = None, np.zeros(len(row_of), dtype=np.int64), {}
    for several, result in zip(batches, journal.run(partial, settings, batches, encode_batch), strict=True):
        broken |= result.notes
        ids = [row_of[image.label] for image in several if image.name not in result.notes]
        if sums is None or not sums.shape[1]:
            sums = np.zeros((len(row_of), result.values.shape[1]), dtype=np.float32)
        if ids:
            np.add.at(sums, ids, result.values)
            np.add.at(counts, ids, 1)
    return sums, counts, broken


def _prepare(processor: Any, image: Any) -> dict:
    """What the model takes of an image, as tensors [1, ...]."""
    try:
        return dict(processor(images=[image], return_tensors='pt'))
    except Exception as error:
        reason = ' '.join(str(error).split())[:200] or type(error).__name__
        raise BrokenImage(f'the model cannot take it: {reason}') from None


def forward(model: ImageModel, prepared: Sequence[dict]) -> np.ndarray:
    """The vectors of prepared images, float32[N, F].

    A model of images and texts gives its image features, another its pooled output, and one without that the mean over
    its last hidden state, be that tokens or places.

    Raises:
        InputError: the images have different shapes, or the output is of another kind.
    """
    torch = import_for_features('torch')
    if not prepared:
        return np.zeros((0, 0), dtype=np.float32)
    try:
        inputs = {name: torch.cat([one[name] for one in prepared]) for name in prepared[0]}
    except RuntimeError:
        name = model.record['model']
        raise InputError(f'--model={name}: it takes images of different sizes; add --batch_size=1') from None
    # A few models draw at random even when they do not learn; they then draw the same.
    torch.manual_seed(0)
    with models.computing(model.record['model']), torch.inference_mode():
        inputs = {name: tensor.to(model.record['device']) for name, tensor in inputs.items()}
        if hasattr(model.model, 'get_image_features'):
            output = model.model.get_image_features(**inputs)
            vectors = output if isinstance(output, torch.Tensor) else output.pooler_output
        else:
            output = model.model(**inputs)
            vectors = getattr(output, 'pooler_output', None) if model.pooled else None
            if vectors is None:
                hidden = output.last_hidden_state
                vectors = hidden.mean(dim=(2, 3) if hidden.ndim == 4 else 1)
    return vectors.flatten(start_dim=1).float().cpu().numpy()


def load(name: str) -> ImageModel:
    """Loads a model by its folder or its name on the Hugging Face hub.

    Raises:
        InputError: it cannot be loaded, lacks weights, or a library is missing.
    """
    library, torch = import_for_features('transformers'), import_for_features('torch')
    import_for_features('PIL')
    device = models.device()
    with models.loading(name):
        processor = library.AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
        model, report = library.AutoModel.from_pretrained(
            name, dtype=torch.float32, weights_only=True, trust_remote_code=False, output_loading_info=True
        )
    missing = sorted(report['missing_keys'])
    models.check_whole(name, missing, without_pooler=not hasattr(model, 'get_image_features'))
    if hasattr(model.config, 'mask_ratio'):
        # A masked auto-encoder else sees a part of an image alone, drawn anew for each batch.
        model.config.mask_ratio = 0.0
    if missing:
        # The pooler's random numbers would pass for features.
        logging.info('--model=%s: it has no weights for its pooler, so the mean over its output is taken', name)
    record = {
        'model': name,
        'weights': models.digest(model, missing),
        'pooled': not missing,
        'preparation': json.loads(processor.to_json_string()),
        'device': device,
    }
    return ImageModel(model.eval().to(device), processor, not missing, record)
