"""What the page says of the two runs of the tests, gathered once."""

import pytest

from tests.graphs import quick_programs
from tests.report_runs import copy_of


@pytest.fixture(scope='session')
def reports(marked_workdir, shown_workdir, programs, tmp_path_factory):
    """A run whose names are markup, and one on another graph, which was copied without its metrics."""
    from mans_jax.reporting.gather import gather

    bare = copy_of(shown_workdir, tmp_path_factory.mktemp('bare') / 'bare')
    for name in ('metrics.jsonl', 'provenance.json'):
        (bare / name).unlink()
    marked = copy_of(marked_workdir, tmp_path_factory.mktemp('copied') / marked_workdir.name)
    with quick_programs(programs):
        return [gather(folder, folder.name) for folder in (marked, bare)]
