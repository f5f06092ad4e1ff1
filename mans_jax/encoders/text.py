"""Texts to features, by any model of sentence-transformers."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from mans_jax.data import lines
from mans_jax.data.extras import import_for_features
from mans_jax.encoders import feature_writer, journal, models, rows, text_table


class TextModel(NamedTuple):
    """A model that is ready.

    Attributes:
        model: a `sentence_transformers.SentenceTransformer`.
        record: its name, the digest of its weights and how it prepares a text.
    """

    model: Any
    record: dict[str, Any]


def encode(
    path: Path,
    name: str,
    *,
    partial: Path,
    separator: str = '. ',
    entities: Sequence[str] | None = None,
    by_id: bool = False,
    batch_size: int = 32,
) -> rows.Encoded:
    """Reads texts as `text_table.read` does and encodes each as the model by itself would.

    Texts are encoded in batches of similar length, always the same ones, so that a run that goes on where another was
    stopped gives the same numbers.

    Args:
        path: the texts.
        name: the model, as for `load`.
        partial: the folder for what is done so far; `journal.clear` takes it away.
        separator: what stands between the columns of a text.
        entities: the labels of a graph, to which the rows are restricted and by which they are ordered.
        by_id: whether the first column holds ids of the entities.
        batch_size: how many texts the model takes at once.

    Raises:
        InputError: the texts or the model cannot be used, or `partial` cannot be written.
    """
    table = text_table.read(path, separator=separator, ids_of=entities if by_id else None)
    if table.empty:
        logging.warning('%s: %d entities have no text: %s', path, len(table.empty), lines.name_some(table.empty))
    kept = rows.select(path, table.labels, entities).tolist()
    texts = [table.texts[i] for i in kept]
    model = load(name)
    record = {
        'kind': 'text',
        'input': {'name': path.name, 'sha256': feature_writer.file_digest(path)},
        'graph': feature_writer.labels_digest(entities),
        'keys': 'id' if by_id else 'label',
        'separator': separator,
        **model.record,
        'batch_size': batch_size,
        'versions': feature_writer.versions('sentence-transformers', 'transformers', 'tokenizers', 'torch'),
    }
    values = _encode(texts, model.model, partial, record, batch_size)
    skipped = {'without_text': len(table.empty), 'not_in_graph': len(table.labels) - len(kept)}
    return rows.Encoded([table.labels[i] for i in kept], values, record | {'skipped': skipped})


def _encode(texts: Sequence[str], model: Any, partial: Path, settings: dict, batch_size: int) -> np.ndarray:
    """The vectors of texts, float32[N, F]."""

    def encode_batch(positions):
        several = [texts[i] for i in positions]
        with models.computing(settings['model']):
            vectors = model.encode(several, batch_size=len(several), show_progress_bar=False, convert_to_numpy=True)
        return journal.Batch(np.asarray(vectors, dtype=np.float32), {})

    # The longest come first: if memory does not suffice, that shows at once.
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    values = None
    for positions, result in zip(batches, journal.run(partial, settings, batches, encode_batch), strict=True):
        if values is None:
            values = np.empty((len(texts), result.values.shape[1]), dtype=np.float32)
        values[positions] = result.values
    return values


def load(name: str) -> TextModel:
    """Loads a model by its folder or its name on the Hugging Face hub.

    Raises:
        InputError: it cannot be loaded, lacks weights, or a library is missing.
    """
    library = import_for_features('sentence_transformers')
    device = models.device()
    with models.loading(name):
        model = library.SentenceTransformer(name, device=device, model_kwargs={'weights_only': True})
    model.eval()
    # None of the modules that make a vector of a text out of those of its tokens looks at the pooler.
    missing = models.unloaded(model)
    models.check_whole(name, missing)
    tokenizer = getattr(getattr(model, 'tokenizer', None), 'backend_tokenizer', None)
    tokens = hashlib.sha256(tokenizer.to_str().encode()).hexdigest() if tokenizer else None
    preparation = f'{model} {model.max_seq_length} {model.prompts} {model.default_prompt_name} tokenizer {tokens}'
    record = {
        'model': name,
        'weights': models.digest(model, missing),
        'preparation': ' '.join(preparation.split()),
        'device': device,
    }
    return TextModel(model, record)
