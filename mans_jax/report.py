"""A page that shows trained runs: `python -m mans_jax.report --workdir=RUN [--workdir=RUN2 ...] [--output=FILE.html]`.

One HTML file with everything in it: results, curves, what a run is good at, its negatives, a map of its entities and
examples. Runs of different graphs may stand side by side; what must not be compared is then not compared.
"""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from mans_jax import command_line
from mans_jax.errors import InputError

MOST_RUNS = 8
"""More cannot be told apart by their colours."""


def define_flags() -> None:
    """Defines the flags; not on import, since flags of one name cannot be defined by two modules."""
    flags.DEFINE_multi_string('workdir', None, 'The folder of a run; several times for several runs side by side.')
    flags.DEFINE_string('output', None, 'The page; by default report.html, or report_of_N_runs.html, in the first run.')
    flags.DEFINE_string('images', None, 'A folder with a folder of images for each entity, to show them.')
    flags.DEFINE_string('index', None, 'A file of lines entity, image id, that names the images in --images.')
    flags.DEFINE_integer('seed', 0, 'What draws samples, examples and layouts.', lower_bound=0)


def main(_) -> int:
    """Makes the page and says where it is and how large."""
    arguments = flags.FLAGS
    workdirs = [Path(workdir) for workdir in arguments.workdir]
    names = run_names(workdirs)
    if arguments.index and not arguments.images:
        raise InputError('--index names images in a folder: give that as --images=FOLDER')
    # Imported late: a mistyped flag is answered at once.
    from mans_jax.data.extras import import_for_report
    from mans_jax.reporting import page
    from mans_jax.reporting.gather import STEPS, gather
    from mans_jax.reporting.pictures import MOST_BYTES
    from mans_jax.run_log import write_text
    from mans_jax.runs import read_config

    for library in ('jinja2', 'PIL', 'vl_convert'):
        import_for_report(library)
    for workdir in workdirs:
        read_config(workdir)
    output = Path(arguments.output) if arguments.output else workdirs[0] / default_name(len(workdirs))
    check_output(output)
    folder, index = (Path(path) if path else None for path in (arguments.images, arguments.index))
    share = MOST_BYTES // len(workdirs)
    with _bar(total=len(workdirs) * len(STEPS) + 1, bar_format='{l_bar}{bar}{postfix}') as bar:

        def gather_one(workdir, name):
            def announce(step):
                bar.set_postfix_str(f'{name}: {step}')
                bar.update()

            return gather(workdir, name, arguments.seed, folder, index, share, announce, _blocks_bar)

        reports = [gather_one(*run) for run in zip(workdirs, names, strict=True)]
        bar.set_postfix_str('the page')
        text = page.render(reports)
    write_text(output, text)
    print(f'{output}: {len(text.encode()) / 1e6:.1f} MB')
    return 0


def run_names(workdirs: Sequence[Path]) -> list[str]:
    """What runs are called: by their folders, with as much of the path as tells them apart.

    Raises:
        InputError: a run is given twice, or there are more than can be told apart.
    """
    paths = [workdir.resolve() for workdir in workdirs]
    for workdir, path in zip(workdirs, paths, strict=True):
        if paths.count(path) > 1:
            raise InputError(f'--workdir={workdir} is given {paths.count(path)} times; give each run once')
    if len(paths) > MOST_RUNS:
        raise InputError(f'--workdir: {len(paths)} runs are too many for one page, which tells {MOST_RUNS} apart')
    depth = 1
    while len(names := ['/'.join(path.parts[-depth:]) for path in paths]) > len(set(names)):
        depth += 1
    return names


def default_name(number: int) -> str:
    """The name of the page of so many runs; that of several does not replace that of one."""
    return 'report.html' if number == 1 else f'report_of_{number}_runs.html'


def check_output(path: Path) -> None:
    """Refuses a place that the page cannot be written to, before it is made.

    Raises:
        InputError: it cannot be written.
    """
    probe = path.with_name(f'{path.name}.partial')
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = f'cannot be written ({error.strerror}); name another file by --output=FILE.html'
        raise InputError(f'{path}: {reason}') from None


def _bar(*arguments, **options):
    """A progress bar where a person watches, nothing elsewhere."""
    from tqdm import tqdm

    return tqdm(*arguments, disable=not sys.stderr.isatty(), leave=False, **options)


def _blocks_bar(blocks):
    return _bar(blocks, unit='block')


if __name__ == '__main__':
    define_flags()
    command_line.run(main, required=('workdir',))
