"""`python -m mans_jax.report`: where the page goes, and how it answers bad input."""

import re
import shutil

import pytest

from mans_jax.errors import InputError
from mans_jax.report import MOST_RUNS, check_output, default_name, run_names
from tests.processes import command_line_of, refusal
from tests.report_runs import copy_of
from tests.test_predict import SPOILT_RUNS

for library in ('jinja2', 'vl_convert', 'PIL'):
    pytest.importorskip(library, reason=f'{library} is not installed; the extra report has it')


@pytest.fixture(scope='module')
def report(programs):
    """(*arguments) -> Done."""
    with command_line_of('mans_jax.report', 'mans_jax.reporting.page', programs) as run:
        yield run


@pytest.fixture(scope='module')
def workdir(shown_workdir, tmp_path_factory, report):
    """Of a run that has its evaluation and calibration, and a page."""
    folder = copy_of(shown_workdir, tmp_path_factory.mktemp('reported') / 'run')
    done = report(f'--workdir={folder}')
    assert done.code == 0, done.stderr
    assert re.fullmatch(rf'{re.escape(str(folder))}/report\.html: \d\.\d MB\n', done.stdout), done.stdout
    return folder


def test_the_page_is_in_the_run_and_small(workdir):
    page = (workdir / 'report.html').read_text()
    assert page.lstrip().startswith('<!doctype html>') and '<title>run on graph</title>' in page
    assert 500_000 < (workdir / 'report.html').stat().st_size < 5_000_000
    assert not list(workdir.glob('*.partial'))


def test_several_runs_stand_in_a_page_of_their_own(report, workdir, tmp_path):
    other = copy_of(workdir, tmp_path / 'run')
    done = report(f'--workdir={workdir}', f'--workdir={other}', '--seed=1')
    assert done.code == 0 and done.stdout.startswith(f'{workdir}/report_of_2_runs.html: '), done
    page = (workdir / 'report_of_2_runs.html').read_text()
    for folder in (workdir, other):
        assert f'{folder.parent.name}/run' in page
    assert '<title>run on graph</title>' in (workdir / 'report.html').read_text()


def test_an_old_page_is_kept_until_the_new_one_is_whole(report, workdir, tmp_path):
    page = tmp_path / 'page.html'
    page.write_text('old')
    found = refusal(report(f'--workdir={workdir}', f'--output={page}', largest_file=100_000))
    assert found.startswith(f'{page}: cannot be written (') and page.read_text() == 'old'


def test_images_that_an_index_names_are_in_the_page(report, workdir, tmp_path):
    from PIL import Image

    (tmp_path / 'images').mkdir()
    Image.new('RGB', (9, 9)).save(tmp_path / 'images' / 'a.png')
    (tmp_path / 'index.tsv').write_text('entity_2\ta\n')
    page = tmp_path / 'page.html'
    images = (f'--images={tmp_path / "images"}', f'--index={tmp_path / "index.tsv"}')
    assert report(f'--workdir={workdir}', f'--output={page}', *images).code == 0
    assert '"0-2":"data:image/jpeg;base64,' in page.read_text()


@pytest.mark.parametrize('fault', SPOILT_RUNS)
def test_bad_runs(report, workdir, tmp_path, fault):
    spoil, message = SPOILT_RUNS[fault]
    spoilt = shutil.copytree(workdir, tmp_path / 'run')
    spoil(spoilt)
    found = refusal(report(f'--workdir={spoilt}'))
    assert re.match(re.escape(message).replace('RUN', re.escape(str(spoilt))).replace('STEP', '[0-9]+'), found), found


def test_a_copied_run_without_its_metrics_has_a_page(report, workdir, tmp_path):
    copied = copy_of(workdir, tmp_path / 'run')
    (copied / 'metrics.jsonl').unlink()
    assert report(f'--workdir={copied}').code == 0
    assert 'metrics.jsonl is not in the folder of this run' in (copied / 'report.html').read_text()


def test_metrics_that_cannot_be_used_name_the_line(report, workdir, tmp_path):
    copied = copy_of(workdir, tmp_path / 'run')
    with (copied / 'metrics.jsonl').open('a') as file:
        file.write('no metrics\n')
    said = refusal(report(f'--workdir={copied}'))
    number = (copied / 'metrics.jsonl').read_text().count('\n')
    assert said.startswith(f"{copied}/metrics.jsonl, line {number}: 'no metrics' is not the metrics of an epoch; ")


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((), '--workdir is missing; see --help'),
        (('--workdir=RUN', '--workdir=RUN/.'), '--workdir=RUN is given 2 times; give each run once'),
        ((f'--workdir={i}' for i in range(9)), '--workdir: 9 runs are too many for one page, which tells 8 apart'),
        (('--workdir=RUN', '--index=x'), '--index names images in a folder: give that as --images=FOLDER'),
        (('--workdir=RUN', '--images=RUN/none'), 'RUN/none: no such folder'),
        (('--workdir=RUN', '--images=RUN'), 'RUN: no images in its folders; '),
        (('--workdir=RUN', '--output=RUN/none/page.html'), 'RUN/none/page.html: cannot be written (No such file or'),
        (('--workdir=RUN', '--output=RUN/config.json/x'), 'RUN/config.json/x: cannot be written (Not a directory); na'),
        (('--workdir=RUN', '--output=RUN'), 'RUN: cannot be written (Is a directory); name another file by --output='),
        (('--workdir=RUN', '--seed=-1'), 'flag --seed=-1: '),
        (('--workdir=RUN', 'stray'), "'stray' is not a flag: write --FLAG=VALUE"),
    ],
)
def test_bad_flags(report, workdir, arguments, message):
    arguments = [argument.replace('RUN', str(workdir)) for argument in arguments]
    found = refusal(report(*arguments))
    assert found.startswith(message.replace('RUN', str(workdir))), found


def test_a_missing_library_names_the_extra(monkeypatch):
    from mans_jax.data.extras import import_for_report

    for library, name in (('vl_convert', 'vl-convert-python'), ('PIL', 'pillow'), ('jinja2', 'jinja2')):
        monkeypatch.setitem(__import__('sys').modules, library, None)
        with pytest.raises(InputError) as refused:
            import_for_report(library)
        assert str(refused.value) == f"{name} is needed for this: pip install '.[report]'"


def test_runs_are_called_by_as_much_of_their_path_as_tells_them_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    assert run_names([tmp_path / 'a', tmp_path / 'b']) == ['a', 'b']
    assert run_names([Path('x/a/run'), tmp_path / 'x/b/run', Path('c')]) == ['a/run', 'b/run', f'{tmp_path.name}/c']
    assert run_names([Path('.')]) == [tmp_path.name] and run_names([Path('one/../two')]) == ['two']
    assert run_names([Path(f'{i}') for i in range(MOST_RUNS)]) == [f'{i}' for i in range(MOST_RUNS)]
    assert [default_name(number) for number in (1, 3)] == ['report.html', 'report_of_3_runs.html']


def test_looking_whether_a_page_can_be_written_leaves_nothing(tmp_path):
    (tmp_path / 'page.html').write_text('old')
    check_output(tmp_path / 'page.html')
    check_output(tmp_path / 'new.html')
    assert [path.name for path in tmp_path.iterdir()] == ['page.html']
