"""The Python code of the README and of the documentation runs as it stands, and what they name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / 'README.md'
PAGES = [README, *sorted((ROOT / 'docs').rglob('*.md'))]
WITH_CODE = [page for page in PAGES if '```python\n' in page.read_text()]

every_page = pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.mark.parametrize('page', WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page, capsys):
    """One after the other, as a reader would run them."""
    blocks, names = re.findall(r'```python\n(.*?)```', page.read_text(), re.DOTALL), {}
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
def test_flags_that_a_command_has_exist(page):
    """Of the commands of mans_jax alone: what stands behind them on the line, or on lines that go on."""
    text = re.sub(r'\\\n\s*', ' ', page.read_text())
    unknown = []
    for name, rest in re.findall(r'python -m mans_jax\.(\w+)([^\n`#]*)', text):
        source = (ROOT / 'mans_jax' / f'{name}.py').read_text()
        flags = set(re.findall(r"DEFINE_\w+\(\s*'(\w+)'", source)) | {'config', 'workdir', 'head', 'relation', 'tail'}
        unknown += [(name, flag) for flag in re.findall(r'--(?!config\.)(\w+)', rest) if flag not in flags]
    assert unknown == []
