"""The documentation builds without a warning; the tutorial in it runs, with what it claims."""

import html
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

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
    page = (built / 'tutorial.html').read_text()
    assert re.search(r'MANS-V +0\.8', page) and page.count('<img') >= 5
    assert 'Traceback' not in page


def test_the_tutorial_is_kept_without_what_it_printed():
    cells = json.loads((DOCS / 'tutorial.ipynb').read_text())['cells']
    code = [cell for cell in cells if cell['cell_type'] == 'code']
    assert not any(cell['outputs'] or cell['execution_count'] for cell in code)
    assert any('assert mrr[' in ''.join(cell['source']) for cell in code)


def test_every_module_has_its_place_in_the_api(built):
    pages = ''.join(page.read_text() for page in built.glob('api/*.html'))
    placed = re.findall(r'id="module-([\w.]+)"', pages)
    modules = [module.name for module in pkgutil.walk_packages(mans_jax.__path__, 'mans_jax.')]
    assert sorted(placed) == sorted(name for name in modules if not name.endswith('.__main__'))


def test_links_of_the_built_pages_lead_somewhere(built):
    pages = {path.resolve(): path.read_text() for path in built.rglob('*.html')}
    anchors = {path: {'', *re.findall(r'\bid="([^"]+)"', text)} for path, text in pages.items()}
    lost = set()
    for path, text in pages.items():
        for link in re.findall(r'\b(?:href|src)="(?!\w+:|data:)([^"]*)"', text):
            file, _, anchor = html.unescape(link).partition('#')
            target = (path.parent / unquote(file.partition('?')[0])).resolve() if file else path
            if not target.exists() or (target in anchors and unquote(anchor) not in anchors[target]):
                lost.add((path.name, link))
    assert lost == set()


def test_a_file_of_the_package_is_linked_to_its_place_in_the_api(built):
    assert 'href="api/scoring.html#module-mans_jax.fusion"' in (built / 'modalities.html').read_text()


def test_the_api_reads_as_the_source_does(built):
    text = html.unescape(re.sub(r'<[^>]+>', '', (built / 'api' / 'sampling.html').read_text()))
    assert re.search(r"replace: Sequence\[bool\] \| Bool\[Array, 'M'\],", text)
    assert 'jaxtyping.' not in text and 'jaxlib' not in text and '<function' not in text
    assert '--candidates: How many candidates sampled_ranking draws' in re.sub(
        r'<[^>]+>', '', (built / 'api' / 'commands.html').read_text()
    )
