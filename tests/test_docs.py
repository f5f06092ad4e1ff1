"""The documentation builds without a warning; the tutorial in it runs, with what it claims."""

import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mans_jax

DOCS = Path(__file__).parents[1] / 'docs'


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    for library in ('sphinx', 'furo', 'myst_nb', 'matplotlib'):
        pytest.importorskip(library, reason=f'{library} is not installed; the extra docs has it')
    folder = tmp_path_factory.mktemp('docs')
    command = [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', '-b', 'html', '-d', folder / 'trees', DOCS]
    done = subprocess.run([*command, folder / 'html'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / 'html'


def test_every_page_is_built_and_asks_nothing_of_other_hosts(built):
    pages = {path.relative_to(DOCS).with_suffix('.html') for path in [*DOCS.rglob('*.md'), *DOCS.glob('*.ipynb')]}
    assert pages <= {path.relative_to(built) for path in built.rglob('*.html')}
    for page in pages:
        asked = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]*)"', (built / page).read_text())
        assert asked == [], page


def test_the_tutorial_ran(built):
    html = (built / 'tutorial.html').read_text()
    assert 'virtual negatives (MANS-V)' in html and html.count('<img') >= 3
    assert 'Traceback' not in html


def test_the_tutorial_is_kept_without_what_it_printed():
    cells = json.loads((DOCS / 'tutorial.ipynb').read_text())['cells']
    code = [cell for cell in cells if cell['cell_type'] == 'code']
    assert not any(cell['outputs'] or cell['execution_count'] for cell in code)
    assert any('assert mrr[' in ''.join(cell['source']) for cell in code)


def test_every_pure_module_and_task_has_its_place_in_the_api():
    named = set(re.findall(r'automodule:: (\S+)', ''.join(page.read_text() for page in DOCS.glob('api/*.md'))))
    wanted = {f'mans_jax.{name}' for name in ('graph', 'scoring', 'fusion', 'losses', 'ranking', 'models', 'samplers')}
    for package in ('sampling', 'tasks', 'prediction'):
        modules = pkgutil.iter_modules([str(Path(mans_jax.__file__).parent / package)])
        wanted |= {f'mans_jax.{package}.{module.name}' for module in modules}
    assert wanted <= named, wanted - named
