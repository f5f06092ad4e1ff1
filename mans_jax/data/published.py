"""The published graphs: where their files are, what those hold, whose they are and how to cite them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mans_jax.data import download, mmkg, openke
from mans_jax.errors import InputError

COLLECTION = 'knowledge_graphs'
"""The name under which TensorFlow Datasets keeps them, one config a graph."""

VERSION = '1.0.0'
"""The version of the prepared form."""

Labels = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class File:
    """A file at a fixed revision.

    Attributes:
        url: its address.
        checksum: as `download.fetch` takes it; 'git:' where only the id in the repository is known.
    """

    url: str
    checksum: str


@dataclasses.dataclass(frozen=True)
class PublishedGraph:
    """What is known of a published graph.

    Attributes:
        description: what it is, in a sentence or two.
        files: by name, what it is read from.
        facts: by name, what the collection adds to it: numeric facts, an image index, links to other graphs.
        counts: entities, relations and the lines of train, valid and test; None where the split is drawn here.
        homepage: where its authors present it.
        licence: the terms of the data.
        citation: BibTeX.
    """

    description: str
    files: Mapping[str, File]
    facts: Mapping[str, File]
    counts: tuple[int, int, int, int, int] | None
    homepage: str
    licence: str
    citation: str


def read(name: str, folder: str | Path) -> tuple[Labels, Labels, dict[str, np.ndarray]]:
    """Reads a published graph from a folder with its files, in the layout in which they are published.

    Args:
        name: one of `GRAPHS`.
        folder: a folder with all of its `files`.

    Returns:
        (entities, relations, triples) as `openke.read` returns them.

    Raises:
        InputError: there is no such graph, a file is missing or malformed, or it holds another graph.
    """
    graph, folder = find(name), Path(folder)
    if not folder.is_dir():
        raise InputError(f'{folder}: no such folder; {name} is read from one with {", ".join(graph.files)}')
    missing = [file for file in graph.files if not (folder / file).is_file()]
    if missing:
        raise InputError(f'{folder}: {", ".join(missing)} not there; {name} is read from {", ".join(graph.files)}')
    if graph.counts is None:
        (file,) = graph.files
        return mmkg.read(folder / file)
    entities, relations, triples = openke.read(folder)
    found = (len(entities), len(relations), *(len(triples[split]) for split in ('train', 'valid', 'test')))
    if found != graph.counts:
        what = 'entities, relations, train, valid and test triples'
        own = next((other for other, published in GRAPHS.items() if published.counts == found), None)
        cure = f'it is {own}' if own else 'give its folder, or load this one by its own name without preparing it'
        raise InputError(f'{folder}: {_list(found)} {what}, but {name} has {_list(graph.counts)}; {cure}')
    return entities, relations, triples


def fetch(name: str, folder: str | Path) -> Path:
    """Downloads a published graph and the facts that its collection adds; what is there already stays.

    Args:
        name: one of `GRAPHS`.
        folder: where the files go.

    Returns:
        The folder.

    Raises:
        InputError: there is no such graph, or as `download.fetch`.
    """
    graph = find(name)
    for file, source in (graph.files | graph.facts).items():
        download.fetch(source.url, Path(folder) / file, checksum=source.checksum)
    return Path(folder)


def unlike(name: str, folder: str | Path) -> list[str]:
    """The files of a folder, of the graph and of the facts that are there, whose checksum is not the published one."""
    graph = find(name)
    there = {file: source for file, source in graph.facts.items() if (Path(folder) / file).is_file()}
    return [
        file
        for file, source in (graph.files | there).items()
        if not download.matches(Path(folder) / file, source.checksum)
    ]


def find(name: str) -> PublishedGraph:
    """The published graph of a name.

    Raises:
        InputError: there is none.
    """
    if name not in GRAPHS:
        raise InputError(f'{name!r} is not a published graph; there are {", ".join(GRAPHS)}')
    return GRAPHS[name]


def _list(numbers) -> str:
    return ', '.join(f'{number:,}' for number in numbers)


def _files(address: str, folder: str, checksums: Mapping[str, str]) -> dict[str, File]:
    return {file: File(f'{address}/{folder}/{file}', checksum) for file, checksum in checksums.items()}


# Every address names a commit: what it holds cannot change.
_RAW = 'https://raw.githubusercontent.com'
_ADAMF = f'{_RAW}/zjukg/AdaMF-MAT/50930e9b28aed57133bedfc281391185ac9b68a4'
_MANS = f'{_RAW}/zjukg/MANS/26b10344351342f6b60a0656ace134fa84201637'
_MMKG = f'{_RAW}/nle-ml/mmkb/dc1c89cac110ddbb9944d6ed5ab2b3c2339d320c'
_OPENKE = f'{_RAW}/thunlp/OpenKE/64c4ec8157abfc39112772e9825a349091da45f1'

_DB15K_SPLIT = _files(
    _MANS,
    'benchmarks/DB15K',
    {
        'entity2id.txt': 'sha256:8f8d070f1bb24d07ed3050e4e4e780cb7f2245d0b14db3346e8db4fa55981728',
        'relation2id.txt': 'sha256:25e5a975ee079dbd5b8d22ffe23575a9e3135d263e0a3763224777bf526c1a74',
        'train2id.txt': 'sha256:bb2d1777838e9cb071b63a3514b8dff4991ccf63d451dbc49e6cf33ecf77e82f',
        'valid2id.txt': 'sha256:f8030f9abb10672df8b274629ae0c15ddffb3575ff611aad5453560b72a5942b',
        'test2id.txt': 'sha256:effa792c1f0ccdc8c1c72aa2966535b17d0b93e3720e91a25a92ec210c345948',
    },
)

_DB15K_ADAMF_SPLIT = _files(
    _ADAMF,
    'benchmarks/DB15K',
    {
        'entity2id.txt': 'sha256:8f8d070f1bb24d07ed3050e4e4e780cb7f2245d0b14db3346e8db4fa55981728',
        'relation2id.txt': 'sha256:25e5a975ee079dbd5b8d22ffe23575a9e3135d263e0a3763224777bf526c1a74',
        'train2id.txt': 'sha256:d41f9b9ab5c0e6eed393e0f93febb4258dc02e5e4a4e2a99c49410d167522804',
        'valid2id.txt': 'sha256:dc7ed39aa14e35a2f7ac09a0ff046067ee0e0d7953f8a204f04e7c09776095b1',
        'test2id.txt': 'sha256:15f28535d04f3711b739a49d824f2346167384283cde57123376392d418ad6de',
    },
)

_FB15K_SPLIT = _files(
    _OPENKE,
    'benchmarks/FB15K',
    {
        'entity2id.txt': 'sha256:41c4cd91e81351d7e90a2e21a8ed69522b2296c57971ba6dab2677e8436e3285',
        'relation2id.txt': 'sha256:00d3bf88fe86537279117d499a3cbd492932f58f51fbb3abda8f3786b87e63b0',
        'train2id.txt': 'git:fee595345801c84e5399d3e521e6f218f0eaa6e5',
        'valid2id.txt': 'sha256:9c628f1e18240a183a2e93e9019721ddd0c8129e93bbdfafe905a737b0cbefb8',
        'test2id.txt': 'sha256:2a23d06e5f9b801154456c8a7d972a92f40185abc3311a420284f103b02f211b',
    },
)

_FB15K_237_SPLIT = _files(
    _OPENKE,
    'benchmarks/FB15K237',
    {
        'entity2id.txt': 'sha256:e4546cfdcd0b9bd0151cc0f6ef2edee29eb2bb55a3d47e668194999c036fba0d',
        'relation2id.txt': 'sha256:fefd26d6cd5ff9d360efe5360c11bf112d019f42b3acf165a5c04aa2b66a42d9',
        'train2id.txt': 'sha256:5f44223a02b39b8e398e77a787feb4f06e9ffccf1ae87047bbf38fcc8cc08bd2',
        'valid2id.txt': 'sha256:7d21e778de4369d5348f5cff23a08dc847ab5fce4b5f07c80113297d2dc60a86',
        'test2id.txt': 'sha256:6027e649c1716ac9c1ef2f24672a416aa277aff3e14850ef915ac5a21df70417',
    },
)

_MKG_W_SPLIT = _files(
    _ADAMF,
    'benchmarks/MKG-W',
    {
        'entity2id.txt': 'sha256:d94b546efcb535d8253821626dd32f3ee876b2f263b727a4a446bc74697785df',
        'relation2id.txt': 'sha256:204203e03a92d4f973ee815449695bcfaae1b6917fcb08b65f3b0fb071a47f61',
        'train2id.txt': 'sha256:a9f316506a20a7b5bef7de3ceaaa1e82de554b8e92e6aa26e7cb54bcd8ada53d',
        'valid2id.txt': 'sha256:34dd556893b8e4832600298864dbd18012529a1f172793c21e45ad7bdee9d189',
        'test2id.txt': 'sha256:0e1294b1f95c8ef80ad422aeefafea321d16c1d127570e6bb566882b2e053989',
    },
)

_MKG_Y_SPLIT = _files(
    _ADAMF,
    'benchmarks/MKG-Y',
    {
        'entity2id.txt': 'sha256:416f6f77c13d0cf0c5cae9625a62b9f7d26320c27ae408f5ce4e7eae3206b8d9',
        'relation2id.txt': 'sha256:78d468edc02688f742c9b5a1030a071789ab24784dd2e48897643fe108ff4e4d',
        'train2id.txt': 'sha256:71310c2c274e5ba2ce550433ef5c8496920bd03f50fd6057e64fc9c34e1e1aac',
        'valid2id.txt': 'sha256:6c82db2d2b809aabf72f94bc19be3080b53ffba1caec12b81510354a7fe3470e',
        'test2id.txt': 'sha256:8602cbbe7e3aef2c857df66eec5f7e4a2d6b02b19f58feff085688fb28980158',
    },
)

_DB15K_MMKG_TRIPLES = _files(
    _MMKG,
    'DB15K',
    {
        'DB15K_EntityTriples.txt': 'git:2d978cb54078bea4b8cc08baba05e29215c3664e',
    },
)

_DB15K_MMKG_FACTS = _files(
    _MMKG,
    'DB15K',
    {
        'DB15K_NumericalTriples.txt': 'git:82cbb27d5dbeedbc6b6d78a4a1ad9ef0b993949d',
        'DB15K_ImageIndex.txt': 'sha256:fcd2f034111388af8ae3fc58e15822d85b02d9d043b5191b4b0ffa0a622bd29b',
        'DB15K_SameAsLink.txt': 'sha256:329f13f5834eff712ab7fcaa214407d3f48bcaa9b6c48e5fcae632994e070141',
    },
)

_FB15K_MMKG_TRIPLES = _files(
    _MMKG,
    'FB15K',
    {
        'FB15K_EntityTriples.txt': 'git:65bbf8d6433e3bf0d00a981fb118b0ea03b954ae',
    },
)

_FB15K_MMKG_FACTS = _files(
    _MMKG,
    'FB15K',
    {
        'FB15K_NumericalTriples.txt': 'sha256:9fd4f2dfe95af2bc4caa6ce1db84641168f42be759217dfbfcf95ca79d5aa0f3',
        'FB15K_ImageIndex.txt': 'sha256:3e7e2be4f8f801d0cfc57ab7fcbb537ffe3d26212f17383c4091c19686f76940',
    },
)

_YAGO15K_MMKG_TRIPLES = _files(
    _MMKG,
    'YAGO15K',
    {
        'YAGO15K_EntityTriples.txt': 'git:1ed08e7d11081bb46b12a26cc04d978928bf46eb',
    },
)

_YAGO15K_MMKG_FACTS = _files(
    _MMKG,
    'YAGO15K',
    {
        'YAGO15K_NumericalTriples.txt': 'git:c38fe5192d04ec472091218f7510fac2a406baa7',
        'YAGO15K_ImageIndex.txt': 'sha256:af68898baf5ca12c0de922d5cf1d683a180ff30a58da8c64737a750030f0eb81',
        'YAGO15K_SameAsLink.txt': 'sha256:a32768251e35fc199aebd1087bd8fac25cc4fe79a8167811f58ae86b2d35bb8f',
    },
)

_MMKG_LICENCE = 'BSD-3-Clause (MMKG)'
_DBPEDIA = f'{_MMKG_LICENCE} over DBpedia, CC BY-SA 3.0'
_FREEBASE = 'CC BY 2.5 (Freebase)'

_CITE_MMKG = """@inproceedings{liu2019mmkg,
  title = {{MMKG}: Multi-modal Knowledge Graphs},
  author = {Liu, Ye and Li, Hui and Garcia-Duran, Alberto and Niepert, Mathias and Onoro-Rubio, Daniel and
            Rosenblum, David S.},
  booktitle = {The Semantic Web (ESWC)},
  year = {2019},
}"""
_CITE_MANS = """@inproceedings{zhang2023mans,
  title = {Modality-Aware Negative Sampling for Multi-modal Knowledge Graph Embedding},
  author = {Zhang, Yichi and Chen, Mingyang and Zhang, Wen},
  booktitle = {International Joint Conference on Neural Networks (IJCNN)},
  year = {2023},
}"""
_CITE_ADAMF = """@inproceedings{zhang2024adamf,
  title = {Unleashing the Power of Imbalanced Modality Information for Multi-modal Knowledge Graph Completion},
  author = {Zhang, Yichi and Chen, Zhuo and Liang, Lei and Chen, Huajun and Zhang, Wen},
  booktitle = {LREC-COLING},
  year = {2024},
}"""
_CITE_FB15K = """@inproceedings{bordes2013translating,
  title = {Translating Embeddings for Modeling Multi-relational Data},
  author = {Bordes, Antoine and Usunier, Nicolas and Garcia-Duran, Alberto and Weston, Jason and Yakhnenko, Oksana},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2013},
}"""
_CITE_FB15K_237 = """@inproceedings{toutanova2015observed,
  title = {Observed versus Latent Features for Knowledge Base and Text Inference},
  author = {Toutanova, Kristina and Chen, Danqi},
  booktitle = {Workshop on Continuous Vector Space Models and their Compositionality},
  year = {2015},
}"""
_CITE_MKG = """@inproceedings{xu2022relation,
  title = {Relation-enhanced Negative Sampling for Multimodal Knowledge Graph Completion},
  author = {Xu, Derong and Xu, Tong and Wu, Shiwei and Zhou, Jingbo and Chen, Enhong},
  booktitle = {ACM International Conference on Multimedia},
  year = {2022},
}"""


def _mmkg(collection: str, files, facts, licence: str) -> PublishedGraph:
    """A graph as MMKG has it: triples without a split."""
    return PublishedGraph(
        description=f'{collection} of the MMKG collection; its distinct triples split 8 : 1 : 1 here, by a fixed seed.',
        files=files,
        facts=facts,
        counts=None,
        homepage='https://github.com/nle-ml/mmkb',
        licence=licence,
        citation=_CITE_MMKG,
    )


GRAPHS: dict[str, PublishedGraph] = {
    'db15k': PublishedGraph(
        description='DB15K, a part of DBpedia, in the split published with MANS. Test triples stand in train.',
        files=_DB15K_SPLIT,
        facts=_DB15K_MMKG_FACTS,
        counts=(12842, 279, 79222, 9903, 9903),
        homepage='https://github.com/zjukg/MANS',
        licence=_DBPEDIA,
        citation=f'{_CITE_MMKG}\n{_CITE_MANS}',
    ),
    'db15k_adamf': PublishedGraph(
        description='DB15K, a part of DBpedia, in the split published with AdaMF. Most valid triples stand in train.',
        files=_DB15K_ADAMF_SPLIT,
        facts=_DB15K_MMKG_FACTS,
        counts=(12842, 279, 79222, 9904, 9902),
        homepage='https://github.com/zjukg/AdaMF-MAT',
        licence=_DBPEDIA,
        citation=f'{_CITE_MMKG}\n{_CITE_ADAMF}',
    ),
    'fb15k': PublishedGraph(
        description='FB15K, a part of Freebase, in its original split. Inverse relations make test triples easy.',
        files=_FB15K_SPLIT,
        facts=_FB15K_MMKG_FACTS,
        counts=(14951, 1345, 483142, 50000, 59071),
        homepage='https://github.com/thunlp/OpenKE',
        licence=_FREEBASE,
        citation=f'{_CITE_FB15K}\n{_CITE_MMKG}',
    ),
    'fb15k_237': PublishedGraph(
        description='FB15K-237: FB15K without its inverse and near-duplicate relations.',
        files=_FB15K_237_SPLIT,
        facts=_FB15K_MMKG_FACTS,
        counts=(14541, 237, 272115, 17535, 20466),
        homepage='https://github.com/thunlp/OpenKE',
        licence=_FREEBASE,
        citation=f'{_CITE_FB15K_237}\n{_CITE_MMKG}',
    ),
    'mkg_w': PublishedGraph(
        description='MKG-W, a part of Wikidata made for multi-modal completion.',
        files=_MKG_W_SPLIT,
        facts={},
        counts=(15000, 169, 34196, 4276, 4274),
        homepage='https://github.com/quqxui/MMRNS',
        licence='CC0 (Wikidata)',
        citation=_CITE_MKG,
    ),
    'mkg_y': PublishedGraph(
        description='MKG-Y, a part of YAGO made for multi-modal completion.',
        files=_MKG_Y_SPLIT,
        facts={},
        counts=(15000, 28, 21310, 2665, 2663),
        homepage='https://github.com/quqxui/MMRNS',
        licence='CC BY (YAGO)',
        citation=_CITE_MKG,
    ),
    'mmkg_db15k': _mmkg('DB15K', _DB15K_MMKG_TRIPLES, _DB15K_MMKG_FACTS, _DBPEDIA),
    'mmkg_fb15k': _mmkg('FB15K', _FB15K_MMKG_TRIPLES, _FB15K_MMKG_FACTS, f'{_MMKG_LICENCE} over Freebase, CC BY 2.5'),
    'mmkg_yago15k': _mmkg('YAGO15K', _YAGO15K_MMKG_TRIPLES, _YAGO15K_MMKG_FACTS, f'{_MMKG_LICENCE} over YAGO, CC BY'),
}
"""The published graphs by name; those that begin with `mmkg_` are split here, since MMKG publishes no split."""
