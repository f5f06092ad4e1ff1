"""What is installed, with which versions, and what the launch scripts do about it."""

import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
SCRIPTS = [*sorted((ROOT / 'launch').glob('*.sh')), ROOT / '.ci' / 'run']

# Command lines may each define --config: a process has one of them, so that between imports new flags are forgotten.
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
from absl import flags
import mans_jax

def fail(name):
    raise

for module in pkgutil.walk_packages(mans_jax.__path__, 'mans_jax.', onerror=fail):
    before = set(flags.FLAGS)
    if not module.name.endswith('.__main__'):
        importlib.import_module(module.name)
        print(module.name)
    for flag in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, flag)
    assert 'tensorflow' not in sys.modules, module.name + ' imports tensorflow'
"""


def _requirements(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith('#')]
    return [Requirement(line) for line in lines]


def _extra(name):
    """What an extra stands for, with that of the extras that it names in turn."""
    found = []
    for requirement in map(Requirement, PROJECT['optional-dependencies'][name]):
        nested = [_extra(extra) for extra in sorted(requirement.extras)] if requirement.name == 'mans_jax' else []
        found += [inner for several in nested for inner in several] or [requirement]
    return found


def _modules():
    paths = [path.relative_to(ROOT).with_suffix('') for path in (ROOT / 'mans_jax').rglob('*.py')]
    names = {'.'.join(path.parts).removesuffix('.__init__') for path in paths}
    return {name for name in names if name != 'mans_jax' and not name.endswith('.__main__')}


def test_no_module_imports_tensorflow(tmp_path):
    # A tensorflow that can be imported, so that a library which takes it only where it is there is found out too.
    (tmp_path / 'tensorflow').mkdir()
    (tmp_path / 'tensorflow' / '__init__.py').write_text('')
    environment = {**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}', 'JAX_PLATFORMS': 'cpu'}
    command = [sys.executable, '-c', IMPORT_EVERYTHING]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == _modules()


def test_versions_agree():
    stated = {'pyproject.toml': PROJECT['version']}
    for path in (ROOT / 'mans_jax').rglob('*.py'):
        for version in re.findall(r"^__version__ = '(.*)'$", path.read_text(), re.MULTILINE):
            stated[str(path)] = version
    try:
        stated['installed'] = importlib.metadata.version('mans_jax')
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('mans_jax is not installed, only importable')
    assert set(stated.values()) == {'0.1.0'}, stated


def test_lock_is_exact_and_names_no_place():
    lines = (ROOT / 'requirements-lock.txt').read_text().splitlines()
    pins = [line for line in lines if not line.startswith('#')]
    assert [pin for pin in pins if not re.fullmatch(r'[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*', pin)] == []
    assert len({canonicalize_name(pin.split('==')[0]) for pin in pins}) == len(pins)


def test_lock_satisfies_every_requirement():
    locked = {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in _requirements('requirements-lock.txt')}
    extras = ('test', 'test-features', 'docs', 'compare', 'export', 'streaming')
    wanted = _requirements('requirements.txt') + [w for extra in extras for w in _extra(extra)]
    wrong = [str(w) for w in wanted if not w.specifier.contains(locked.get(canonicalize_name(w.name), '0'))]
    assert wrong == []
    assert 'tensorflow' not in locked


def test_wheel_holds_the_package_alone(tmp_path):
    pytest.importorskip('setuptools', minversion='77')
    source = tmp_path / 'source'
    source.mkdir()
    for name in ('pyproject.toml', 'requirements.txt', 'LICENSE'):
        shutil.copy(ROOT / name, source)
    for name in ('mans_jax', 'launch', 'tests'):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__'))
    build = 'import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])'
    subprocess.run([sys.executable, '-c', build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    with zipfile.ZipFile(tmp_path / f'mans_jax-{PROJECT["version"]}-py3-none-any.whl') as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith('.dist-info/METADATA'))
        text = wheel.read(metadata).decode()
    code = {name for name in names if '.dist-info/' not in name}
    package = ROOT / 'mans_jax'
    wanted = [*package.rglob('*.py'), *(path for path in package.rglob('assets/*') if path.is_file())]
    assert code == {str(path.relative_to(ROOT)) for path in wanted}
    needed = [Requirement(line) for line in re.findall('^Requires-Dist: (.*)$', text, re.MULTILINE)]
    assert {str(n) for n in needed if n.marker is None} == {str(r) for r in _requirements('requirements.txt')}
    assert any(name.endswith('/LICENSE') for name in names)


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(script):
    assert subprocess.run(['bash', '-n', script], capture_output=True, text=True).stderr == ''
    assert script.name == 'environment.sh' or os.access(script, os.X_OK)


# Stands for every Python: notes its arguments, `-m venv` copies it into .venv, FAILS names what does not work.
STAND_IN = """#!/usr/bin/env bash
printf '%s|' "$@" >> "$LOG"; echo >> "$LOG"
for failing in $FAILS; do [[ "$*" != *"$failing"* ]] || exit 1; done
case "$*" in
  '-m venv '*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  '-c '*) echo "$VERSION" ;;
  --version) echo "Python $VERSION" ;;
esac
"""


class Repository:
    """A copy of the launch scripts in which every Python is `STAND_IN`."""

    def __init__(self, folder):
        self.folder, self.log, self.python = folder, folder / 'log', folder / 'python'
        for name in ('launch', '.ci'):
            shutil.copytree(ROOT / name, folder / name)
        for name in ('pyproject.toml', 'requirements.txt', 'requirements-lock.txt'):
            shutil.copy(ROOT / name, folder)
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)

    def launch(self, script, *arguments, version='3 11', fails='', extras='', cwd=None):
        """Runs a script; returns its exit code, its stderr and the arguments of each Python that it started."""
        self.log.write_text('')
        own = {'PYTHON': str(self.python), 'LOG': str(self.log), 'VERSION': version, 'FAILS': fails, 'EXTRAS': extras}
        environment = {'PATH': os.environ['PATH'], 'CDPATH': '/', **own}
        command = ['bash', str(self.folder / script), *arguments]
        done = subprocess.run(
            command, env=environment, cwd=cwd or self.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        return done.returncode, done.stderr, self.log.read_text().splitlines()


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def _installations(calls):
    return [call for call in calls if call.startswith('-m|pip|install') and '--editable' in call]


def test_local_trains_the_embedded_graph_by_default(repository, tmp_path_factory):
    code, errors, calls = repository.launch('launch/local.sh', cwd=tmp_path_factory.mktemp('elsewhere'))
    assert code == 0, errors
    assert calls[-1] == '-m|mans_jax.train|--config=configs/digits.py|--workdir=runs/digits|'
    assert f'paths are relative to {repository.folder}' in errors


def test_local_passes_arguments_on_as_they_are(repository):
    *_, calls = repository.launch('launch/local.sh', '--config=configs/digits.py', '--workdir=runs/two words', '*')
    assert calls[-1] == '-m|mans_jax.train|--config=configs/digits.py|--workdir=runs/two words|*|'


def test_environment_is_made_once_and_again_when_requirements_change(repository):
    first, second = (repository.launch('launch/local.sh')[-1] for _ in range(2))
    assert len(_installations(first)) == 1 and _installations(second) == []
    assert [call for call in second if call.startswith('-m|venv')] == []
    with (repository.folder / 'requirements.txt').open('a') as file:
        file.write('more\n')
    third = repository.launch('launch/local.sh')[-1]
    assert len(_installations(third)) == 1
    assert [call for call in third if call.startswith('-m|venv')] == []


def test_environment_for_tests_serves_training_but_not_the_other_way(repository):
    assert '.[test]' in _installations(repository.launch('launch/test.sh')[-1])[0]
    assert _installations(repository.launch('launch/local.sh')[-1]) == []
    (repository.folder / 'pyproject.toml').write_text('')
    assert '.[test]' not in _installations(repository.launch('launch/local.sh')[-1])[0]
    assert '.[test]' in _installations(repository.launch('launch/test.sh')[-1])[0]


def test_further_extras_are_installed_when_asked_for(repository):
    assert '.[test]|' in _installations(repository.launch('launch/test.sh')[-1])[0]
    for script, extras, wanted in (
        ('launch/test.sh', 'vgg', 'test,vgg'),
        ('.ci/run', 'vgg', 'test,test-features,docs,compare'),
    ):
        first, second = (repository.launch(script, extras=extras)[-1] for _ in range(2))
        assert f'.[{wanted}]|' in _installations(first)[0] and _installations(second) == []
    assert set(wanted.split(',')) <= set(PROJECT['optional-dependencies'])
    # The features of texts and images are no part of what a first test run installs.
    assert not {'torch', 'transformers'} & {requirement.name for requirement in _extra('test')}
    assert {'torch', 'transformers', 'pytest'} <= {requirement.name for requirement in _extra('test-features')}


def test_the_documentation_has_an_extra_of_its_own(repository):
    code, errors, calls = repository.launch('launch/docs.sh')
    assert code == 0, errors
    assert '.[docs]|' in _installations(calls)[0]
    assert calls[-1] == '-m|sphinx|--fail-on-warning|--keep-going|--quiet|--builder|html|docs|build/docs|'
    assert repository.launch('launch/docs.sh', fails='sphinx')[0] == 1


def test_failed_installation_is_tried_again(repository):
    code, errors, calls = repository.launch('launch/local.sh', fails='--editable')
    assert code == 1 and 'installation into .venv failed' in errors.splitlines()[-1]
    assert not any('mans_jax.train' in call for call in calls)
    assert len(_installations(repository.launch('launch/local.sh')[-1])) == 1


@pytest.mark.parametrize(('version', 'pinned'), [('3 11', True), ('3 12', False), ('3 13', False)])
def test_only_python_3_11_is_pinned(repository, version, pinned):
    (call,) = _installations(repository.launch('launch/test.sh', version=version)[-1])
    assert ('--constraint|requirements-lock.txt' in call) is pinned


def test_another_interpreter_makes_another_environment(repository):
    repository.launch('launch/local.sh')
    venv_python = repository.folder / '.venv' / 'bin' / 'python'
    venv_python.write_text(STAND_IN.replace('"$VERSION"', '"an older one"'))
    calls = repository.launch('launch/local.sh')[-1]
    assert [call for call in calls if call.startswith('-m|venv')] == ['-m|venv|--clear|.venv|']
    assert len(_installations(calls)) == 1


def test_old_or_missing_python_is_one_clear_line(repository):
    code, errors, _ = repository.launch('launch/local.sh', version='3.9', fails='sys.exit')
    assert code == 1 and errors == (
        f'launch: {repository.python} is Python 3.9; Python 3.11 or later is needed: set PYTHON to it, as in '
        'PYTHON=python3.11\n'
    )
    repository.python.unlink()
    code, errors, _ = repository.launch('launch/local.sh')
    assert code == 1 and errors.count('\n') == 1 and 'is not there' in errors


def test_environment_without_ensurepip(repository):
    code, errors, calls = repository.launch('launch/local.sh', fails='ensurepip')
    assert code == 0, errors
    assert f'-m|pip|--python|{repository.folder}/.venv/bin/python|install|-qq|pip|' in calls
    shutil.rmtree(repository.folder / '.venv')
    code, errors, _ = repository.launch('launch/local.sh', fails='ensurepip --python')
    assert code == 1 and 'apt install python3-venv' in errors.splitlines()[-1]


@pytest.mark.parametrize('script', ['launch/test.sh', '.ci/run'])
@pytest.mark.parametrize('failing', ['check', 'format', 'pytest'])
def test_every_part_of_the_tests_can_fail(repository, script, failing):
    code, errors, calls = repository.launch(script)
    assert code == 0, errors
    tests = f'-m|pytest|--numprocesses={os.cpu_count() + 1}|--dist=loadfile|'
    if script == '.ci/run':
        # It leaves the slow ones out, and names them at the end.
        assert calls.pop() == '-m|pytest|--collect-only|--quiet|-m|slow|'
        tests += '-m|not slow|'
    assert calls[-3:] == ['-m|ruff|check|.|', '-m|ruff|format|--check|.|', tests]
    assert repository.launch(script, fails=failing)[0] == 1
