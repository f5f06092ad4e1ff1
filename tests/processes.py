"""Command lines in processes of their own, forked where Python and its libraries are imported already."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.graphs import quick_programs


class Done(NamedTuple):
    code: int
    stdout: str
    stderr: str


ENVIRONMENT = {'PYTHONPATH': os.pathsep.join(filter(None, sys.path)), 'JAX_PLATFORMS': 'cpu'}

FORK_SERVER = """
import importlib, json, os, resource, runpy, select, sys, traceback, warnings
import jax
importlib.import_module(sys.argv[2])
from jax._src import xla_bridge

# Only what has no threads yet can be forked.
assert not xla_bridge.backends_are_initialized()
warnings.filterwarnings('ignore', message='os.fork', category=RuntimeWarning)

def run(arguments, largest_file, outputs):
    for fd, output in enumerate(outputs, start=1):
        os.dup2(output, fd)
    sys.argv = [sys.argv[1], *arguments]
    if largest_file is not None:
        # The programs that are kept are not part of the test: they are only read.
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 1e9)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    try:
        runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
    except SystemExit as stop:
        return stop.code or 0
    except BaseException:
        traceback.print_exc()
        return 70

def read_all(inputs):
    texts = dict.fromkeys(inputs, b'')
    while inputs:
        for fd in select.select(inputs, [], [])[0]:
            data = os.read(fd, 1 << 16)
            texts[fd] += data
            if not data:
                inputs.remove(fd)
                os.close(fd)
    return [text.decode() for text in texts.values()]

print('ready', flush=True)
for line in sys.stdin:
    inputs, outputs = map(list, zip(os.pipe(), os.pipe()))
    child = os.fork()
    if not child:
        code = run(*json.loads(line), outputs)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    for fd in outputs:
        os.close(fd)
    texts = read_all(inputs)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([code, *texts]), flush=True)
"""


@contextlib.contextmanager
def command_line_of(module: str, imported: str, programs: Path):
    """Within it, (*arguments, largest_file in bytes) -> Done: what `python -m MODULE` does.

    Each call is a process of its own, forked where Python and its libraries, which take seconds, are imported already.

    Args:
        module: the module that is run.
        imported: the module that is imported once for all calls.
        programs: the folder of `quick_programs`.
    """
    with quick_programs(programs):
        environment = {**os.environ, **ENVIRONMENT}
    server = subprocess.Popen(
        [sys.executable, '-c', FORK_SERVER, module, imported],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert server.stdout.readline() == 'ready\n'

    def run(*arguments, largest_file=None):
        server.stdin.write(json.dumps([[str(argument) for argument in arguments], largest_file]) + '\n')
        server.stdin.flush()
        return Done(*json.loads(server.stdout.readline()))

    yield run
    server.stdin.close()
    assert server.wait(timeout=30) == 0
    server.stdout.close()


def refusal(done) -> str:
    """The line that says what is wrong, behind 'error: '."""
    assert done.code == 1 and done.stdout == '', done
    *log, last = done.stderr.splitlines()
    assert last.startswith('error: '), done.stderr
    assert all(re.match('[IW][0-9]{4} ', line) for line in log), done.stderr
    return last.removeprefix('error: ')
