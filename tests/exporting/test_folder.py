"""A folder is there as a whole or not at all, and nothing of somebody else's is replaced."""

import json

import pytest

from mans_jax.errors import InputError
from mans_jax.exporting.folder import FORMAT, MANIFEST, whole_folder


@pytest.fixture
def old(tmp_path):
    """An export that is there already."""
    with whole_folder(tmp_path / 'out', overwrite=False) as folder:
        fill(folder, 'old')
    return tmp_path / 'out'


def fill(folder, content):
    (folder / MANIFEST).write_text(json.dumps({'format': FORMAT}))
    (folder / 'part').mkdir()
    (folder / 'part' / 'x').write_text(content)


def content(path):
    """The text in an export, and that nothing else is beside it."""
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    return (path / 'part' / 'x').read_text()


def refusal(path, overwrite=False):
    with pytest.raises(InputError) as error:
        with whole_folder(path, overwrite) as folder:
            fill(folder, 'new')
    assert '\n' not in str(error.value)
    return str(error.value)


def test_an_export_is_replaced_only_when_asked_to(old):
    assert refusal(old) == f'--output={old}: holds an export already; add --overwrite or choose another name'
    assert content(old) == 'old'
    with whole_folder(old, overwrite=True) as folder:
        fill(folder, 'new')
        assert (old / 'part' / 'x').read_text() == 'old'
    assert content(old) == 'new'


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError, InputError])
def test_what_fails_on_the_way_leaves_the_old_export_and_nothing_else(old, error):
    with pytest.raises(error):
        with whole_folder(old, overwrite=True) as folder:
            fill(folder, 'new')
            raise error
    assert content(old) == 'old'


def test_a_full_disk_is_one_line(old):
    with pytest.raises(InputError) as error:
        with whole_folder(old, overwrite=True) as folder:
            (folder / 'x').write_text('half')
            raise OSError(28, 'No space left on device')
    said = f'--output={old}: cannot be written (No space left on device); free space or choose another folder'
    assert str(error.value) == said and content(old) == 'old'


def test_an_empty_folder_is_filled(tmp_path, monkeypatch):
    (tmp_path / 'out').mkdir()
    monkeypatch.chdir(tmp_path / 'out')
    with whole_folder(tmp_path / 'out', overwrite=False) as folder:
        fill(folder, 'new')
    assert content(tmp_path / 'out') == 'new'


def test_other_folders_and_files_are_never_replaced(tmp_path):
    (tmp_path / 'home').mkdir()
    (tmp_path / 'home' / 'thesis').touch()
    (tmp_path / 'home' / MANIFEST).write_text('{"format": "of a web application"}')
    (tmp_path / 'file').touch()
    (tmp_path / 'link').symlink_to(tmp_path / 'home')
    for name, said in (
        ('home', 'holds files that are no export; choose another name'),
        ('file', 'is there already and no folder; choose another name'),
        ('link', 'is there already and no folder; choose another name'),
        ('no/such', f'no such folder {tmp_path}/no; make it first'),
        ('file/x', f'no such folder {tmp_path}/file; make it first'),
    ):
        for overwrite in (False, True):
            assert refusal(tmp_path / name, overwrite) == f'--output={tmp_path / name}: {said}'
    assert (tmp_path / 'home' / 'thesis').exists()
