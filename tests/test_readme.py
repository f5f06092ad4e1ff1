"""The README's Python code runs as it stands."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / 'README.md'


def test_python_blocks_run(capsys):
    blocks = re.findall(r'```python\n(.*?)```', README.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(README), 'exec'), {})
    printed, promised = capsys.readouterr().out, re.findall(r'print\(.*\)  # ([\d.]+)', ''.join(blocks))
    assert printed.split() == promised
