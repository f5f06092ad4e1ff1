"""What a run leaves in its workdir besides checkpoints: metrics, events, and what is needed to repeat it."""

import contextlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path

import jax

from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph

with contextlib.ExitStack() as _stack:
    if 'torch' not in sys.modules:
        # tensorboardX imports PyTorch wherever that is installed, which takes seconds and serves no run.
        sys.modules['torch'] = None
        _stack.callback(sys.modules.pop, 'torch')
    from tensorboardX import SummaryWriter

_LIBRARIES = ('mans_jax', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'chex', 'numpy')


class RunLog:
    """Writes metrics as JSON lines and as TensorBoard events; a context manager.

    A resumed run takes back what a later, lost part of the run had written, so that the log reads as if it had never
    been interrupted.
    """

    def __init__(self, workdir: Path, *, resumed_step: int):
        """Opens the logs of a run that stands at a step, 0 for a new one."""
        path = workdir / 'metrics.jsonl'
        kept = [line for line in whole_lines(path) if json.loads(line)['step'] <= resumed_step] if resumed_step else []
        write_text(path, ''.join(kept))
        self._lines = path.open('a')
        try:
            self._events = SummaryWriter(str(workdir / 'events'), purge_step=resumed_step + 1)
        except OSError as error:
            raise _unwritable(workdir / 'events', error) from error

    def __enter__(self) -> 'RunLog':
        """The log itself."""
        return self

    def __exit__(self, *_) -> None:
        """Closes both files."""
        # `write` has flushed every line, or told why it could not.
        with contextlib.suppress(OSError):
            self._lines.close()
        self._events.close()

    def write(self, step: int, epoch: int, split: str, metrics: dict) -> None:
        """Writes the metrics of a split after a step; numbers, or groups of them by name."""
        try:
            self._lines.write(json.dumps({'step': step, 'epoch': epoch, 'split': split, **metrics}) + '\n')
            self._lines.flush()
        except OSError as error:
            raise _unwritable(self._lines.name, error) from error
        for name, value in _flatten(metrics):
            self._events.add_scalar(f'{split}/{name}', value, step)


def write_json(path: Path, content: dict) -> None:
    """Writes JSON as `write_text` writes text."""
    write_text(path, json.dumps(content, indent=2) + '\n')


def write_text(path: Path, text: str) -> None:
    """Writes a file so that whatever happens on the way it holds the old content or the new, never a part.

    Raises:
        InputError: it cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes as `write_text` writes text."""
    temporary = path.with_name(path.name + '.partial')
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def results_table(results: dict) -> str:
    """The results of a run as a table of text, from the content of results.json."""
    columns = {'mrr': '.4f', 'hits_at_1': '.4f', 'hits_at_3': '.4f', 'hits_at_10': '.4f', 'mean_rank': '.1f'}
    lines = [' ' * 12 + ''.join(f'{name:>12}' for name in columns) + f'{"triples":>10}']
    for split in ('valid', 'test'):
        both = results[split]
        for label, metrics in ((split, both), ('  head side', both['head']), ('  tail side', both['tail'])):
            numbers = ''.join(f'{format(metrics[name], form):>12}' for name, form in columns.items())
            lines.append(f'{label:12}{numbers}{both["triples"]:>10,}')
    return '\n'.join(lines)


def provenance(graph: KnowledgeGraph) -> dict:
    """What a run depends on besides its config: command, versions, code, data and machine."""
    device = jax.devices()[0]
    return {
        'command': [sys.executable, *sys.argv],
        'folder': str(Path.cwd()),
        'python': platform.python_version(),
        'versions': {name: _version(name) for name in _LIBRARIES},
        'git_revision': _git_revision(),
        'graph': graph.name,
        'graph_checksum': graph.checksum(),
        'device': f'{jax.device_count()} x {device.device_kind} ({device.platform})',
        'machine': f'{platform.system()} {platform.machine()}',
    }


def _unwritable(path, error):
    return InputError(f'{path}: cannot be written ({error.strerror}); free space or choose another folder, then resume')


def whole_lines(path):
    """The lines of a file; a last one that a killed process left unfinished is no line."""
    if not path.exists():
        return []
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith('\n')]


def _flatten(metrics, prefix=''):
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from _flatten(value, f'{prefix}{name}/')
        else:
            yield prefix + name, value


def _version(library):
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_revision():
    """The revision that this package runs from, with '+' after it where files have changed; None outside git."""
    here = Path(__file__).parent

    def git(*arguments):
        return subprocess.run(['git', '-C', str(here), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        return git('rev-parse', 'HEAD').strip() + ('+' if git('status', '--porcelain', '--', str(here)) else '')
    except (OSError, subprocess.CalledProcessError):
        return None
