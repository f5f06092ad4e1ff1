"""Entity and relation vectors for any program that reads safetensors or Parquet."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mans_jax.data.extras import import_for_export
from mans_jax.exporting.trained import Trained

LIBRARIES = ('safetensors.numpy', 'pyarrow.parquet')


def write(folder: Path, trained: Trained) -> dict:
    """Writes entities.* and relations.*, each as safetensors and as Parquet, with labels and where they come from.

    Both have the same columns, a row an id: `vector_NAME` for each modality, `has_NAME` for whether the graph has that
    of the entity, and `vector` of relations. Where an entity is not scored by a modality, its vector is NaN in
    safetensors and null in Parquet; an entity that has a stand-in has that for its vector. Parquet also has `id` and
    `label`; in safetensors the metadata `labels` is a JSON list.

    Args:
        folder: where they go.
        trained: the run.

    Returns:
        What the manifest says of them.
    """
    graph, record = trained.run.graph, trained.record()
    vectors, scored = trained.vectors, trained.scored
    entities = {f'vector_{name}': (vectors[:, m], scored[:, m]) for m, name in enumerate(graph.modalities)}
    flags = {f'has_{name}': graph.present[:, m] for m, name in enumerate(graph.modalities)}
    every = np.ones(graph.num_relations, bool)
    _write_both(folder / 'entities', graph.entities, entities, flags, record)
    _write_both(folder / 'relations', graph.relations, {'vector': (trained.relations, every)}, {}, record)
    return {
        'entities': {name: list(rows.shape) for name, (rows, _) in entities.items()},
        'relations': {'vector': list(trained.relations.shape)},
    }


def _write_both(
    stem: Path,
    labels: Sequence[str],
    vectors: Mapping[str, tuple[np.ndarray, np.ndarray]],
    flags: Mapping[str, np.ndarray],
    record: dict,
) -> None:
    """Columns of vectors [N, D], each with which of its rows are there, and of flags [N]."""
    metadata = {name: value if isinstance(value, str) else json.dumps(value) for name, value in record.items()}
    arrays = {name: np.where(there[:, None], rows, np.float32(np.nan)) for name, (rows, there) in vectors.items()}
    safetensors, of_numpy = import_for_export('safetensors'), import_for_export('safetensors.numpy')
    try:
        of_numpy.save_file(
            {name: np.ascontiguousarray(array) for name, array in (arrays | flags).items()},
            stem.with_suffix('.safetensors'),
            metadata | {'labels': json.dumps(labels, ensure_ascii=False)},
        )
    except safetensors.SafetensorError as error:
        # A full disk, of which other libraries tell as Python does.
        raise OSError(str(error)) from error
    arrow, parquet = import_for_export('pyarrow'), import_for_export('pyarrow.parquet')
    columns = {'id': np.arange(len(labels), dtype=np.int32), 'label': arrow.array(labels, arrow.string())}
    for name, (rows, there) in vectors.items():
        flat = arrow.array(np.ascontiguousarray(rows).ravel())
        columns[name] = arrow.FixedSizeListArray.from_arrays(flat, rows.shape[1], mask=arrow.array(~there))
    table = arrow.table(columns | flags).replace_schema_metadata(metadata)
    parquet.write_table(table, stem.with_suffix('.parquet'))
