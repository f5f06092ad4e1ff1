"""`python -m mans_jax.export`: what it writes and prints, and how it answers bad input."""

import hashlib
import json
import re
import shutil

import pytest

from tests.graphs import train_short_run
from tests.processes import command_line_of, refusal
from tests.test_predict import SPOILT_RUNS


@pytest.fixture(scope='module')
def programs(tmp_path_factory):
    return tmp_path_factory.getbasetemp() / 'programs'


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, programs):
    return train_short_run(tmp_path_factory.mktemp('trained'), programs)


@pytest.fixture(scope='module')
def export(workdir, programs):
    """(*arguments, workdir) -> Done."""
    with command_line_of('mans_jax.export', 'mans_jax.exporting.exports', programs) as run:
        yield lambda *arguments, workdir=workdir, **options: run(f'--workdir={workdir}', *arguments, **options)


@pytest.fixture(scope='module')
def done(export, tmp_path_factory):
    output = tmp_path_factory.mktemp('exported') / 'out'
    return export(f'--output={output}', '--platforms=cpu,tpu', '--top=7', '--points=30'), output


def files_of(output):
    return {path.relative_to(output).as_posix(): path for path in output.rglob('*') if path.is_file()}


def test_all_formats_by_default_each_file_named_with_its_size(done):
    done, output = done
    assert done.code == 0 and 'Traceback' not in done.stderr, done.stderr
    manifest, files = json.loads((output / 'manifest.json').read_text()), files_of(output)
    assert set(files) == {*manifest['files'], 'manifest.json'}
    assert {name.partition('/')[0] for name in files if '/' in name} == {'vectors', 'projector', 'program'}
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:-1]] == [
        [str(output / name), f'{files[name].stat().st_size:,}', 'bytes'] for name in manifest['files']
    ]
    assert re.fullmatch(
        rf'{output}: step {manifest["step"]} of run, {len(files) - 1} files, [0-9.]+ MB; see README.md in it', lines[-1]
    )
    for name, file in manifest['files'].items():
        data = files[name].read_bytes()
        assert file == {'bytes': len(data), 'sha256': hashlib.sha256(data).hexdigest()}
    assert [path.name for path in output.parent.iterdir()] == ['out']


def test_the_manifest_says_what_was_asked_for(done, workdir):
    manifest = json.loads((done[1] / 'manifest.json').read_text())
    assert manifest['format'] == 'mans_jax export' and manifest['version'] == 1
    assert manifest['step'] == json.loads((workdir / 'results.json').read_text())['step']
    assert manifest['program']['platforms'] == ['cpu', 'tpu'] and manifest['program']['answers'] == 7
    assert manifest['program']['programs']['heads']['outputs']['ids']['shape'] == ['b', 7]
    assert manifest['projector']['entities'] == 30 and manifest['modalities'] == ['structure', 'visual', 'text']
    assert manifest['vectors']['entities']['vector_text'] == [40, 8]
    readme = (done[1] / 'README.md').read_text()
    assert '30 of 40 entities are shown, drawn with seed 0' in readme and 'run on\ncpu, tpu.' in readme


def test_one_format_alone_and_again(export, tmp_path):
    output = tmp_path / 'out'
    assert export(f'--output={output}', '--formats=vectors').code == 0
    assert set(files_of(output)) == {
        *('README.md', 'manifest.json', 'entities.tsv', 'relations.tsv'),
        *(f'vectors/{name}.{form}' for name in ('entities', 'relations') for form in ('parquet', 'safetensors')),
    }
    again = (f'--output={output}', '--formats=projector')
    assert refusal(export(*again)) == (
        f'--output={output}: holds an export already; add --overwrite or choose another name'
    )
    assert export(*again, '--overwrite').code == 0
    assert not (output / 'vectors').exists() and (output / 'projector' / 'projector_config.pbtxt').exists()
    manifest = json.loads((output / 'manifest.json').read_text())
    assert 'vectors' not in manifest and '## Vectors' not in (output / 'README.md').read_text()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--formats=vector'], "--formats: 'vector' is not a known format; did you mean 'vectors'? Known: vectors, "),
        (['--formats='], '--formats is empty; name some of vectors, projector, program'),
        (['--platforms=cpu,tup'], "--platforms: 'tup' is not a known platform; did you mean 'tpu'? Known: cpu, cuda, "),
        (['--platforms=gpu'], "--platforms: 'gpu' is cuda for NVIDIA's and rocm for AMD's; name the one that is meant"),
        (['--platforms='], '--platforms is empty; name some of cpu, cuda, rocm, tpu'),
        (['--top=0'], '--top=0: at least 1 answer'),
        (['--top=41'], '--top=41: graph has only 40 entities; ask for at most as many'),
        (['--top=x'], 'flag --top=x: '),
        (['--points=-1'], 'flag --points=-1: '),
        (['--formats=vectors', '--top=3'], '--top is for program, which --formats leaves out; leave out one of them'),
        (['--formats=program', '--images=x'], '--images is for projector, which --formats leaves out; leave out one'),
        (['--index=x'], '--index comes with --images, the folder of the images that it names'),
        (['--format=vectors'], 'Unknown command line flag'),
        (['vectors'], "'vectors' is not a flag: write --FLAG=VALUE"),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_bad_flags(export, tmp_path, arguments, message):
    assert refusal(export(f'--output={tmp_path / "out"}', *arguments)).startswith(message)
    assert not list(tmp_path.iterdir())


def test_flags_that_are_missing(export, tmp_path):
    assert refusal(export()) == '--output is missing; see --help'


@pytest.mark.parametrize('fault', SPOILT_RUNS)
def test_bad_runs(export, workdir, tmp_path, fault):
    spoil, message = SPOILT_RUNS[fault]
    spoilt = shutil.copytree(workdir, tmp_path / 'run')
    spoil(spoilt)
    found = refusal(export(f'--output={tmp_path / "out"}', workdir=spoilt))
    assert re.match(re.escape(message).replace('RUN', re.escape(str(spoilt))).replace('STEP', '[0-9]+'), found), found
    assert not (tmp_path / 'out').exists()


def test_an_output_that_cannot_be_written(export, tmp_path):
    (tmp_path / 'file').touch()
    for output, said in (
        (tmp_path / 'file', 'is there already and no folder; choose another name'),
        (tmp_path / 'no' / 'out', f'no such folder {tmp_path}/no; make it first'),
        (tmp_path, 'holds files that are no export; choose another name'),
    ):
        assert refusal(export(f'--output={output}')) == f'--output={output}: {said}'
    assert [path.name for path in tmp_path.iterdir()] == ['file']


@pytest.mark.parametrize(
    ('form', 'largest_file'), [('vectors', 2000), ('vectors', 6000), ('projector', 2000), ('program', 2000)]
)
def test_a_full_disk_leaves_the_export_that_is_there(export, tmp_path, form, largest_file):
    output = tmp_path / 'out'
    assert export(f'--output={output}', '--formats=vectors').code == 0
    before = {name: path.read_bytes() for name, path in files_of(output).items()}
    found = refusal(export(f'--output={output}', f'--formats={form}', '--overwrite', largest_file=largest_file))
    assert re.fullmatch(rf'--output={output}: cannot be written \(.*File too large.*\); free space or choose .*', found)
    assert {name: path.read_bytes() for name, path in files_of(output).items()} == before
    assert [path.name for path in tmp_path.iterdir()] == ['out']


def test_images_that_are_not_there(export, tmp_path):
    pytest.importorskip('PIL.Image', reason="needs Pillow: pip install '.[export]'")
    found = refusal(export(f'--output={tmp_path / "out"}', '--formats=projector', f'--images={tmp_path / "images"}'))
    assert found == f'{tmp_path / "images"}: no such folder'


@pytest.mark.parametrize(
    ('form', 'library'), [('vectors', 'safetensors'), ('vectors', 'pyarrow'), ('program', 'flatbuffers')]
)
def test_a_missing_library_names_the_extra(monkeypatch, form, library):
    import sys

    from mans_jax.errors import InputError
    from mans_jax.exporting.exports import Settings, check_settings

    for name in [name for name in sys.modules if name.partition('.')[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError) as error:
        check_settings(Settings(formats=(form,)))
    assert str(error.value) == f"{library} is needed for this export: pip install '.[export]'"
    others = {'vectors', 'projector', 'program'} - {form}
    check_settings(Settings(formats=tuple(others)))
