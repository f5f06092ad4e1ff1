"""The command line of comparisons."""

import pytest

from tests.graphs import write_openke
from tests.processes import command_line_of, refusal

CONFIG = """
from mans_jax.comparison.grid import comparison_config


def get_config():
    return comparison_config(
        ('normal: bernoulli', 'mans_v(bernoulli)'),
        'normal',
        seeds=(0, 1),
        budget='1 epochs',
        data={data!r},
        features={{'visual': {visual!r}}},
        dim=8,
        batch_size=16,
    )
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = write_openke(tmp_path_factory.mktemp('graph'))
    path = folder / 'compare.py'
    path.write_text(CONFIG.format(data=str(folder), visual=str(folder / 'visual.npy')))
    return path


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    programs = tmp_path_factory.getbasetemp() / 'programs'
    with command_line_of('mans_jax.compare', 'mans_jax.comparison.comparing', programs) as run:
        yield run


def test_the_table_is_printed_and_kept(run, config, tmp_path):
    rows = "('a: bernoulli', 'b: uniform; num_negatives=2')"
    given = [f'--config={config}', f'--workdir={tmp_path}', f'--config.samplers={rows}', '--config.baseline=a']
    done = run(*given, '--config.seeds=0,', '--config.budget=16 steps')
    assert done.code == 0, done.stderr
    assert done.stdout == (tmp_path / 'table.md').read_text()
    assert '\n| a | 0.' in done.stdout and '\n| b | 0.' in done.stdout
    assert 'Budget of every seed: 16 steps' in done.stdout and 'With one seed only the test triples' in done.stdout
    assert 'cell 2 of 2: b, transe_l1' in done.stderr


@pytest.mark.parametrize(
    ('flag', 'message'),
    [
        ('--config.sampler=uniform', "--config.sampler: the recipe has no such field; did you mean 'samplers'?"),
        ('--config.budgets=3', "--config.budgets: the recipe has no such field; did you mean 'budget'?"),
        ('--config.search.trails=3', "--config.search.trails: the recipe has no such field; did you mean 'trials'?"),
        ('--config.samplers=()', 'config.samplers is empty: a comparison needs at least one'),
        (
            '--config.baseline=norml',
            "config.baseline: 'norml' is not a known row; did you mean 'normal'? ",
        ),
        (
            '--config.samplers=bernouli',
            "config.samplers: row 'bernouli': config.sampler: 'bernouli' is not a k",
        ),
        ('--config.scores=transe', "config.scores: 'transe' is not a known name; did you mean 'transe_l"),
        (
            '--config.budget=3 hours',
            "config.budget: 'hours' is not a known unit; Known: steps, epochs, secon",
        ),
    ],
)
def test_a_mistake_is_one_line(run, config, tmp_path, flag, message):
    said = refusal(run(f'--config={config}', f'--workdir={tmp_path / "run"}', flag))
    assert said.startswith(message)
    assert not (tmp_path / 'run').exists()


def test_a_recipe_is_no_grid(run, tmp_path):
    said = refusal(run('--config=configs/digits.py', f'--workdir={tmp_path / "run"}'))
    assert said.startswith("config: 'num_epochs' is not a known field of a comparison")


def test_flags_are_needed(run, config):
    assert refusal(run(f'--config={config}')) == '--workdir is missing; see --help'
