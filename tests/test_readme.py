"""The Python code of the README and of the documentation runs as it stands, and what they name exists."""

import dataclasses
import re
import runpy
from pathlib import Path

import pytest

from mans_jax.comparison.grid import comparison_config
from mans_jax.config import Config, from_config_dict
from mans_jax.samplers import FAMILIES, parse
from mans_jax.training import train_and_evaluate

ROOT = Path(__file__).parents[1]
README = ROOT / 'README.md'
RESULTS = ('README.md', 'docs/results.md')
PAGES = [README, *sorted((ROOT / 'docs').rglob('*.md'))]
WITH_CODE = [page for page in PAGES if '```python\n' in page.read_text()]

every_page = pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    """A folder in which runs/digits has been trained for an epoch."""
    folder = tmp_path_factory.mktemp('reader')
    config = runpy.run_path(str(ROOT / 'configs' / 'digits.py'))['get_config']()
    config.update(num_epochs=1, evaluate_every=0)
    train_and_evaluate(from_config_dict(config), folder / 'runs' / 'digits')
    return folder


@pytest.mark.parametrize('page', WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page, request, monkeypatch, capsys):
    """One after the other, as a reader would run them."""
    blocks, names = re.findall(r'```python\n(.*?)```', page.read_text(), re.DOTALL), {}
    if any('runs/digits' in block for block in blocks):
        monkeypatch.chdir(request.getfixturevalue('digits'))
        capsys.readouterr()
    for block in blocks:
        exec(compile(block, str(page), 'exec'), names)
    printed, promised = capsys.readouterr().out, re.findall(r'print\(.*\)  # ([\d.]+)', ''.join(blocks))
    assert printed.split() == promised


def test_the_readme_has_code():
    assert README in WITH_CODE


@every_page
def test_commands_and_files_that_a_page_names_exist(page):
    text = page.read_text()
    named = [f'mans_jax/{name}.py' for name in re.findall(r'python -m mans_jax\.(\w+)', text)]
    named += re.findall(r'\b(?:configs|benchmarks|launch)/\w+\.(?:py|sh)', text)
    assert [name for name in named if not (ROOT / name).exists()] == []


@every_page
def test_links_between_files_lead_somewhere(page):
    targets = [link.split('#')[0] for link in re.findall(r'\]\((?!\w+:)([^)\s]+)\)', page.read_text())]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


@every_page
def test_links_to_headings_lead_to_one_of_that_name(page):
    lost = []
    for file, anchor in re.findall(r'\]\((?!\w+:)([^)\s#]*)#([^)\s]+)\)', page.read_text()):
        text = re.sub(r'```.*?```', '', (page.parent / file if file else page).read_text(), flags=re.DOTALL)
        headings = re.findall(r'^#+ (.*)$', text, re.MULTILINE)
        # As code hosts make an anchor of a heading.
        anchors = {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}
        lost += [(file, anchor)] * (anchor not in anchors)
    assert lost == []


@every_page
def test_fields_of_a_recipe_that_a_page_names_exist(page):
    known = {field.name for field in dataclasses.fields(Config)} | {'FIELD', 'json', 'py'}
    # A comparison has fields of its own, beside those of a recipe.
    if page.name in ('does_mans_help.md', 'compare.md', 'data.md', 'results.md'):
        known |= set(comparison_config(['bernoulli'], 'bernoulli'))
    assert set(re.findall(r'(?<![\w./])(?:--)?config\.(\w+)', page.read_text())) <= known


def test_samplers_are_described_with_the_options_that_they_have():
    text = (ROOT / 'docs' / 'samplers.md').read_text().split('\n## What they look up')[0]
    described = {}
    for cell in re.findall(r'^\| (`.*?) \|', text, re.MULTILINE):
        for sampler in re.findall(r'`([^`]+)`', cell):
            inner = re.sub(r'\b[STU]\b', 'bernoulli', sampler.replace(', share_end=...', ''))
            found = parse(inner)
            described[found.name] = {name for name in found.options}
            wrong = {n: v for n, v in found.options.items() if FAMILIES[found.name].options[n] not in (v, '')}
            assert wrong == {}, sampler
    assert set(described) == set(FAMILIES)


def test_the_table_of_the_readme_is_that_of_the_measured_page():
    tables = [re.search(r'\| row \| MRR \|.*?\n\n', (ROOT / name).read_text(), re.DOTALL) for name in RESULTS]
    assert tables[0][0] == tables[1][0]


@every_page
def test_flags_that_a_command_has_exist(page):
    """Of the commands of mans_jax alone: what stands behind them on the line, or on lines that go on."""
    text = re.sub(r'\\\n\s*', ' ', page.read_text())
    unknown = []
    for name, rest in re.findall(r'python -m mans_jax\.(\w+)([^\n`#]*)', text):
        source = (ROOT / 'mans_jax' / f'{name}.py').read_text()
        flags = set(re.findall(r"DEFINE_\w+\(\s*'(\w+)'", source)) | {'config', 'workdir', 'head', 'relation', 'tail'}
        unknown += [(name, flag) for flag in re.findall(r'--(?!config\.)(\w+)', rest) if flag not in flags]
    assert unknown == []
