"""Published graphs in array_record form, what `mans_jax.prepare` writes.

So does `tfds build mans_jax/data/knowledge_graphs --config=db15k --manual_dir=FOLDER`, where mans_jax is installed.
Nothing here needs TensorFlow, but as of 4.9.10 that command cannot start without tensorflow, apache-beam and
mlcroissant.
"""

from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from mans_jax.data import facts, published

BLOCK = 1 << 14
"""Triples a record. Reading a record costs half a millisecond, whatever it holds."""


class Builder(tfds.core.GeneratorBasedBuilder):
    """One config a graph of `published.GRAPHS`.

    A record of a split holds a block of its triples, int32[N, 3] rows of (head, relation, tail) ids, in the order of
    the source. The labels behind the ids, and the names of files that are not as published, stand in the metadata.
    What the collection adds about the entities stands beside the records, in the tables of `facts`.
    """

    VERSION = tfds.core.Version(published.VERSION)
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=graph.description) for name, graph in published.GRAPHS.items()
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        'Optional: a folder with the files of the graph, which are downloaded where it is missing.'
    )

    def __init__(self, *, file_format: str | None = 'array_record', **kwargs):
        """As its base; the default format is the one that is read without TensorFlow."""
        super().__init__(file_format=file_format, **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        graph = published.find(self.builder_config.name)
        # As bytes: number by number, the triples would take ten times as long to read.
        triples = tfds.features.Tensor(shape=(None, 3), dtype=np.int32, encoding=tfds.features.Encoding.BYTES)
        return tfds.core.DatasetInfo(
            builder=self,
            description=graph.description,
            features=tfds.features.FeaturesDict({'triples': triples}),
            homepage=graph.homepage,
            license=graph.licence,
            citation=graph.citation,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        name = self.builder_config.name
        try:
            folder = Path(dl_manager.manual_dir)
        except AssertionError:  # There is no folder, or nothing in it.
            folder = published.fetch(name, Path(dl_manager.download_dir) / name)
        entities, relations, triples = published.read(name, folder)
        tables = facts.read(folder, tuple(published.find(name).facts), entities)
        # The folder that gets its name only when all of it is written.
        facts.write(Path(self.data_path) / facts.FOLDER, tables)
        self.info.metadata.update(
            entities=entities,
            relations=relations,
            triples={split: len(rows) for split, rows in triples.items()},
            facts={table: content.counts() for table, content in tables.items()},
            unlike_published=published.unlike(name, folder),
        )
        return {split: self._generate_examples(rows) for split, rows in triples.items()}

    def _generate_examples(self, triples: np.ndarray):
        for block in range(0, len(triples), BLOCK):
            yield block, {'triples': triples[block : block + BLOCK]}
