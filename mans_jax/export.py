"""Gives a trained run to other programs: `python -m mans_jax.export --workdir=RUN --output=FOLDER`.

--formats: vectors (safetensors and Parquet), projector (files for TensorBoard), program (functions that JAX alone
runs); all of them by default. The folder is written as a whole or not at all.
"""

import sys
from pathlib import Path

from absl import flags

from mans_jax import command_line
from mans_jax.aligned_text import aligned
from mans_jax.errors import InputError

_OWN = {'program': ('platforms', 'top'), 'projector': ('points', 'seed', 'images', 'index')}
"""The flags that one format alone takes."""


def define_flags() -> None:
    """Defines the flags; not on import, since flags of one name cannot be defined by two modules."""
    flags.DEFINE_string('workdir', None, 'The folder of the run.')
    flags.DEFINE_string('output', None, 'The folder to write.')
    flags.DEFINE_list('formats', 'vectors,projector,program', 'What is written, parted by commas.')
    flags.DEFINE_bool('overwrite', False, 'Replaces an export that is there.')
    flags.DEFINE_list('platforms', 'cpu,cuda,tpu', 'program: where it can run; also rocm.')
    flags.DEFINE_integer('top', None, 'program: how many answers a query gives at most; 100 by default.')
    flags.DEFINE_integer('points', 10_000, 'projector: how many entities are shown at most; 0 for all.', lower_bound=0)
    flags.DEFINE_integer('seed', 0, 'projector: what draws them where there are more.', lower_bound=0)
    flags.DEFINE_string('images', None, 'projector: a folder with a folder of images for each entity.')
    flags.DEFINE_string('index', None, 'projector: a file of lines label<TAB>image id; --images is then any folder.')


def main(_) -> int:
    """Writes the export and says what was written."""
    given = flags.FLAGS
    for taker, own in _OWN.items():
        for flag in own:
            if given[flag].present and taker not in given.formats:
                raise InputError(f'--{flag} is for {taker}, which --formats leaves out; leave out one of them')
    # Imported late: a mistyped flag is answered at once.
    from tqdm import tqdm

    from mans_jax.exporting.exports import Settings, export_run

    settings = Settings(
        formats=tuple(given.formats),
        platforms=tuple(dict.fromkeys(given.platforms)),
        top=given.top,
        points=given.points,
        seed=given.seed,
        images=Path(given.images) if given.images else None,
        index=Path(given.index) if given.index else None,
    )

    def progress(steps):
        return tqdm(steps, disable=not sys.stderr.isatty(), leave=False)

    output = Path(given.output)
    manifest = export_run(given.workdir, output, settings, overwrite=given.overwrite, progress=progress)
    print(summary(output, manifest))
    return 0


def summary(output: Path, manifest: dict) -> str:
    """What was written, a line a file with its size."""
    sizes = {name: file['bytes'] for name, file in manifest['files'].items()}
    lines = [[f'{output / name}', f'{size:,} bytes'] for name, size in sizes.items()]
    of = f'{output}: step {manifest["step"]} of {manifest["run"]}'
    return f'{aligned(lines)}\n{of}, {len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB; see README.md in it'


if __name__ == '__main__':
    define_flags()
    command_line.run(main, required=('workdir', 'output'))
