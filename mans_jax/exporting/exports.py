"""An export from end to end: a trained run to a folder, whole or not there."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from absl import logging

from mans_jax.config import check_name
from mans_jax.data.extras import import_for_export
from mans_jax.encoders.feature_writer import file_digest
from mans_jax.errors import InputError
from mans_jax.exporting import pictures, programs, projector, readme, trained, vectors
from mans_jax.exporting.folder import FORMAT, MANIFEST, check_output, whole_folder
from mans_jax.exporting.tables import write_labels
from mans_jax.exporting.trained import Trained

VECTORS, PROJECTOR, PROGRAM = 'vectors', 'projector', 'program'
FORMATS = (VECTORS, PROJECTOR, PROGRAM)

_VERSION = 1
_ANSWERS = 100


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is exported, and how.

    Attributes:
        formats: some of FORMATS.
        platforms: where programs can run, some of `programs.PLATFORMS`.
        top: how many answers a query of a program gives at most; None for 100, or as many as there are entities.
        points: how many entities the projector shows at most, drawn where there are more; 0 for all.
        seed: what draws them.
        images: a folder of images for the projector, as `pictures.of_files` takes it.
        index: what names the images in it, likewise.
    """

    formats: tuple[str, ...] = FORMATS
    platforms: tuple[str, ...] = ('cpu', 'cuda', 'tpu')
    top: int | None = None
    points: int = 10_000
    seed: int = 0
    images: Path | None = None
    index: Path | None = None


def check_settings(settings: Settings) -> None:
    """Refuses settings that no run can be exported by.

    Raises:
        InputError: naming the flag that is wrong, or a library that is missing.
    """
    if 'gpu' in settings.platforms:
        # Nearest to it in letters are others.
        raise InputError("--platforms: 'gpu' is cuda for NVIDIA's and rocm for AMD's; name the one that is meant")
    for flag, kind, names, known in (
        ('--formats', 'format', settings.formats, FORMATS),
        ('--platforms', 'platform', settings.platforms, programs.PLATFORMS),
    ):
        if not names:
            raise InputError(f'{flag} is empty; name some of {", ".join(known)}')
        for name in names:
            check_name(flag, name, known, kind=kind)
    if settings.top is not None and settings.top < 1:
        raise InputError(f'--top={settings.top}: at least 1 answer')
    if settings.index and not settings.images:
        raise InputError('--index comes with --images, the folder of the images that it names')
    needed = {VECTORS: vectors.LIBRARIES, PROGRAM: programs.LIBRARIES}
    for name in settings.formats:
        for library in needed.get(name, ()):
            import_for_export(library)


def export_run(
    workdir,
    output: Path,
    settings: Settings,
    *,
    overwrite: bool = False,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict:
    """Exports a trained run: its best state on valid, or the last one where nothing was validated.

    Args:
        workdir: the folder of the run.
        output: the folder to write, which must not be there yet, or be empty.
        settings: what is written.
        overwrite: whether an export that is there is replaced; another folder never is.
        progress: wraps what takes long, for a progress bar.

    Returns:
        The content of manifest.json.

    Raises:
        InputError: as `check_settings`, `folder.check_output`, `trained.load` and the formats.
    """
    check_settings(settings)
    check_output(output, overwrite)
    run = trained.load(workdir)
    top = _top(settings.top, run)
    with whole_folder(output, overwrite) as folder:
        write_labels(folder, run.run.graph.entities, run.run.graph.relations)
        manifest = {'format': FORMAT, 'version': _VERSION, **run.record()}
        writers = {
            VECTORS: lambda part: vectors.write(part, run),
            PROJECTOR: lambda part: _write_projector(part, run, settings, progress),
            PROGRAM: lambda part: programs.write(part, run, top, settings.platforms),
        }
        for name in FORMATS:
            if name in settings.formats:
                logging.info('writing %s', name)
                (folder / name).mkdir()
                manifest[name] = writers[name](folder / name)
        (folder / 'README.md').write_text(readme.text(run, manifest), encoding='utf-8')
        files = sorted(path for path in folder.rglob('*') if path.is_file())
        manifest['files'] = {
            path.relative_to(folder).as_posix(): {'bytes': path.stat().st_size, 'sha256': file_digest(path)}
            for path in files
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
    return manifest


def _top(top: int | None, run: Trained) -> int:
    graph = run.run.graph
    if top is not None and top > graph.num_entities:
        raise InputError(f'--top={top}: {graph.name} has only {graph.num_entities} entities; ask for at most as many')
    return min(_ANSWERS, graph.num_entities) if top is None else top


def _write_projector(folder, run, settings, progress):
    if settings.images is not None:
        shown = pictures.of_files(run.run.graph, settings.images, settings.index)
    else:
        shown = pictures.of_digits() if run.run.config.data == 'digits' else None
    return projector.write(folder, run, shown, settings.points, settings.seed, progress)
