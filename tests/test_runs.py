"""A trained run, read back."""

import json
import shutil

import pytest

from mans_jax.errors import InputError
from mans_jax.runs import load_run
from tests.graphs import quick_programs, train_short_run


@pytest.fixture(scope='module', autouse=True)
def programs(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / 'programs'
    with quick_programs(folder):
        yield folder


def test_a_run_is_found_from_another_folder_than_the_one_it_was_begun_in(tmp_path, programs, monkeypatch):
    begun_in = tmp_path / 'begun_in'
    begun_in.mkdir()
    monkeypatch.chdir(begun_in)
    trained = train_short_run(begun_in / 'runs', programs, num_epochs=1).relative_to(begun_in)
    config = json.loads((trained / 'config.json').read_text())
    relative = {**config, 'data': config['data'].removeprefix(f'{begun_in}/')}
    relative['features'] = {name: path.removeprefix(f'{begun_in}/') for name, path in config['features'].items()}
    assert relative != config
    (trained / 'config.json').write_text(json.dumps(relative))
    here, _ = load_run(trained)
    monkeypatch.chdir(tmp_path)
    there, state = load_run(begun_in / trained)
    assert there.graph.checksum() == here.graph.checksum() and int(state.step) == here.total_steps
    # What is nowhere is named as it was given.
    shutil.rmtree(begun_in / relative['data'])
    with pytest.raises(InputError) as error:
        load_run(begun_in / trained)
    assert str(error.value).startswith(relative['data'])
