"""Tests of what is known of the published graphs, and of reading and downloading them."""

import dataclasses
import functools
import hashlib
import http.server
import os
import re
import threading
from pathlib import Path

import pytest

from mans_jax.data import published
from mans_jax.errors import InputError
from tests.published_graphs import write_like

REAL = {name: name.replace('_', '-') for name in ('db15k', 'db15k_adamf', 'fb15k_237', 'mkg_w', 'mkg_y')}


def test_the_graphs_of_the_recipes_are_there():
    recipes = {'db15k', 'db15k_adamf', 'fb15k', 'fb15k_237', 'mkg_w', 'mkg_y'}
    assert set(published.GRAPHS) == recipes | {'mmkg_db15k', 'mmkg_fb15k', 'mmkg_yago15k'}
    for name, graph in published.GRAPHS.items():
        assert (graph.counts is None) == name.startswith('mmkg_')


@pytest.mark.parametrize('name', published.GRAPHS)
def test_everything_is_declared(name):
    graph = published.GRAPHS[name]
    assert graph.description.endswith('.') and graph.licence and graph.homepage.startswith('https://')
    entries = re.findall(r'^@\w+\{(\w+),$.*?^\}', graph.citation, re.MULTILINE | re.DOTALL)
    assert len(entries) == len(set(entries)) == graph.citation.count('@')
    for file, source in (graph.files | graph.facts).items():
        # An address names a commit, so that its content is fixed.
        assert re.fullmatch(rf'https://raw\.githubusercontent\.com/[\w-]+/[\w-]+/[0-9a-f]{{40}}/.*{file}', source.url)
        assert re.fullmatch('sha256:[0-9a-f]{64}|git:[0-9a-f]{40}', source.checksum)
    assert len(graph.files) == (1 if graph.counts is None else 5)


@pytest.mark.parametrize('name', REAL)
def test_real_graphs_are_the_published_ones(name):
    if 'MANS_DATA' not in os.environ:
        pytest.skip('set MANS_DATA to the folder of the real graphs (db15k, fb15k-237, ...) to run this test')
    folder = Path(os.environ['MANS_DATA']) / REAL[name]
    entities, relations, triples = published.read(name, folder)
    counts = (len(entities), len(relations), *(len(triples[split]) for split in ('train', 'valid', 'test')))
    assert counts == published.GRAPHS[name].counts
    assert published.unlike(name, folder) == []


def test_a_source_that_lacks_files_is_told_all_of_them(tmp_path):
    folder = write_like('mkg_y', tmp_path / 'source')
    (folder / 'valid2id.txt').unlink()
    with pytest.raises(InputError, match=f'^{folder}: valid2id.txt not there; mkg_y is read from entity2id.txt, '):
        published.read('mkg_y', folder)
    (folder / 'entity2id.txt').unlink()
    with pytest.raises(InputError, match=f'^{folder}: entity2id.txt, valid2id.txt not there; '):
        published.read('mkg_y', folder)
    with pytest.raises(InputError, match='absent: no such folder; mkg_y is read from one with entity2id.txt, '):
        published.read('mkg_y', tmp_path / 'absent')


def test_the_folder_of_another_graph_is_refused(tmp_path):
    folder = write_like('mkg_y', tmp_path / 'source')
    counts = '15,000, 28, 21,310, 2,665, 2,663 entities, relations, train, valid and test triples'
    with pytest.raises(InputError, match=f'^{folder}: {counts}, but mkg_w has 15,000, 169, 34,196, 4,276, 4,274; '):
        published.read('mkg_w', folder)
    with pytest.raises(InputError, match='; it is mkg_y$'):
        published.read('mkg_w', folder)
    assert len(published.read('mkg_y', folder)[2]['train']) == 21310
    assert published.unlike('mkg_y', folder) == list(published.GRAPHS['mkg_y'].files)
    with pytest.raises(InputError, match="^'mkg-y' is not a published graph; there are db15k, "):
        published.read('mkg-y', folder)


def test_a_graph_without_a_split_is_split(tmp_path):
    lines = ''.join(f'/m/{i % 50} /r/{i // 50} /m/{(i + 1 + i // 50) % 50} .\n' for i in range(100))
    (tmp_path / 'FB15K_EntityTriples.txt').write_text(lines)
    entities, relations, triples = published.read('mmkg_fb15k', tmp_path)
    assert len(entities) == 50 and relations == ('/r/0', '/r/1')
    assert [len(triples[split]) for split in ('train', 'valid', 'test')] == [80, 10, 10]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The folder of a server that stands for the published addresses of mkg_y, facts included."""
    folder = write_like('mkg_y', tmp_path / 'served')
    (folder / 'images.txt').write_text('entity «0»\timage 0\n')
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()

        def file(name):
            checksum = 'sha256:' + hashlib.sha256((folder / name).read_bytes()).hexdigest()
            return published.File(f'http://127.0.0.1:{server.server_port}/{name}', checksum)

        graph = published.GRAPHS['mkg_y']
        here = dataclasses.replace(
            graph, files={name: file(name) for name in graph.files}, facts={'images.txt': file('images.txt')}
        )
        monkeypatch.setitem(published.GRAPHS, 'mkg_y', here)
        yield folder
        server.shutdown()
        thread.join()


def test_a_graph_is_downloaded_with_its_facts(served, tmp_path):
    folder = published.fetch('mkg_y', tmp_path / 'new')
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {p.name: p.read_bytes() for p in served.iterdir()}
    assert published.unlike('mkg_y', folder) == []


def test_a_file_that_is_not_there_ends_a_download_that_can_go_on(served, tmp_path):
    (served / 'test2id.txt').rename(served / 'elsewhere')
    with pytest.raises(InputError, match='/test2id.txt: HTTP 404 '):
        published.fetch('mkg_y', tmp_path / 'new')
    with pytest.raises(InputError, match='test2id.txt not there'):
        published.read('mkg_y', tmp_path / 'new')
    (served / 'elsewhere').rename(served / 'test2id.txt')
    published.read('mkg_y', published.fetch('mkg_y', tmp_path / 'new'))
