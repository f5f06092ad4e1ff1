"""A comparison from its grid to its tables: resumed, refused, with a cell or a seed that fails."""

import csv
import json
import logging
import os
import random
import shlex
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mans_jax import training
from mans_jax.checkpoints import Checkpoints
from mans_jax.comparison import cells, comparing, costs, search
from mans_jax.comparison.comparing import compare
from mans_jax.comparison.grid import comparison_config, from_config_dict
from mans_jax.comparison.output import BY_DEGREE
from mans_jax.comparison.results import CellResult, SeedResult
from mans_jax.comparison.significance import paired_tests
from mans_jax.data import extras
from mans_jax.errors import InputError, NotServable
from mans_jax.prediction.predictor import Predictor
from mans_jax.ranking import rank_metrics, ranks
from mans_jax.run_log import RunLog
from mans_jax.runs import load_run
from mans_jax.samplers import FAMILIES, Family
from mans_jax.sampling import Sampler, uniform
from mans_jax.tasks.breakdowns import answer_groups
from mans_jax.training import Interrupted, train_and_evaluate
from tests.graphs import quick_programs, write_openke

ROWS = ('normal: bernoulli', 'mans_h(bernoulli); num_negatives=2', 'alone: uniform; features=')

FILES = {'table.md', 'table.tex', 'table.csv', 'comparison.json', 'commands.sh', 'grid.json', 'cells'}
PLOTS = {'quality_against_time.png', 'quality_against_time.svg'}

TIMES = {'seconds_per_step', 'training_seconds'}


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_openke(tmp_path_factory.mktemp('graph'))


@pytest.fixture(autouse=True)
def _stops_within_an_epoch(monkeypatch):
    monkeypatch.setattr(training, '_STEPS_PER_CALL', 5)


def make(folder, samplers=ROWS, baseline='normal', **fields):
    recipe = {
        'data': str(folder),
        'features': {'visual': str(folder / 'visual.npy')},
        'dim': 8,
        'margin': 4.0,
        'learning_rate': 0.02,
        'batch_size': 16,
        'evaluate_every': 1,
        'seeds': (0, 1),
        'budget': '2 epochs',
    }
    return from_config_dict(comparison_config(samplers, baseline, **(recipe | fields)))


def refusal(*arguments) -> str:
    """The one line with which something is refused."""
    with pytest.raises(InputError) as error:
        compare(*arguments)
    assert '\n' not in str(error.value)
    return str(error.value)


def rows_of(workdir) -> list[dict]:
    """The rows of table.csv without what depends on the clock."""
    with (workdir / 'table.csv').open() as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


def kept_of(workdir) -> dict:
    """What a comparison leaves behind and that must not depend on how often it was interrupted."""
    content = {}
    for path in sorted(workdir.rglob('*')):
        name = str(path.relative_to(workdir))
        if path.name == 'metrics.jsonl':
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            content[name] = [{k: v for k, v in line.items() if k != 'triples_per_second'} for line in lines]
        elif path.name in ('results.json', 'config.json', 'cell.json', 'recipe.py', 'trials.json', 'failure.json'):
            content[name] = path.read_text()
        elif path.name == 'test_ranks.npz':
            with np.load(path) as counts:
                content[name] = {part: counts[part].tolist() for part in counts}
        elif path.parent.name == 'checkpoints':
            content[name] = True
    return content


@pytest.fixture(scope='module')
def done(folder, tmp_path_factory):
    """(grid, workdir, what it printed) of a comparison that nobody interrupts."""
    grid, workdir = make(folder), tmp_path_factory.mktemp('comparison')
    return grid, workdir, compare(grid, workdir)


# What it writes.


def test_every_file_is_there_and_says_the_same(done):
    grid, workdir, printed = done
    pytest.importorskip('matplotlib')
    assert {path.name for path in workdir.iterdir()} == FILES | PLOTS
    assert (workdir / 'table.md').read_text() == printed
    rows = json.loads((workdir / 'comparison.json').read_text())['rows']
    assert [row['row'] for row in rows] == [cell.label for cell in grid.cells()]
    for row, of_csv in zip(rows, rows_of(workdir), strict=True):
        for name, value in of_csv.items():
            expected = row[name]
            expected = ' '.join(map(str, expected)) if isinstance(expected, list) else expected
            assert value == ('' if expected is None else str(expected)), name
        assert f'{row["mrr_mean"]:.3f} ± {row["mrr_std"]:.3f}' in printed
        assert rf'{row["mrr_mean"]:.3f} $\pm$ {row["mrr_std"]:.3f}' in (workdir / 'table.tex').read_text()


def test_numbers_are_those_of_the_seeds(done):
    grid, workdir, _ = done
    for row, cell in zip(json.loads((workdir / 'comparison.json').read_text())['rows'], grid.cells(), strict=True):
        own = [workdir / 'cells' / cell.name / f'seed_{seed}' for seed in grid.seeds]
        found = [json.loads((path / 'results.json').read_text())['test'] for path in own]
        assert row['mrr_mean'] == pytest.approx(np.mean([test['mrr'] for test in found]))
        assert row['tail_mrr_std'] == pytest.approx(np.std([test['tail']['mrr'] for test in found], ddof=1))
        assert (row['epochs'], row['steps'], row['seeds']) == (2, 32, [0, 1])
        for path, test in zip(own, found, strict=True):
            with np.load(path / 'test_ranks.npz') as counts:
                assert rank_metrics(ranks(counts['better'], counts['tied']))['mrr'] == pytest.approx(test['mrr'])
    normal, other, alone = json.loads((workdir / 'comparison.json').read_text())['rows']
    assert normal['difference'] is None and normal['p_holm'] is None
    assert other['difference'] == pytest.approx(other['mrr_mean'] - normal['mrr_mean'])
    of_rows = {row['row']: _reciprocal_ranks(workdir, cell, grid) for row, cell in
               zip((normal, other, alone), grid.cells(), strict=True)}  # fmt: skip
    tests = paired_tests({name: of_rows[name] - of_rows['normal'] for name in (other['row'], 'alone')})
    for row in (other, alone):
        assert [row[name] for name in ('low', 'high', 'p', 'p_holm')] == pytest.approx(tests[row['row']][1:])
    assert [row['scored_triples'] for row in (normal, other, alone)] == [32 * 16 * 2, 32 * 16 * 3, 32 * 16 * 2]


def _reciprocal_ranks(workdir, cell, grid) -> np.ndarray:
    """float64[N, S], the mean of both sides of each test triple."""
    seeds = []
    for seed in grid.seeds:
        with np.load(workdir / 'cells' / cell.name / f'seed_{seed}' / 'test_ranks.npz') as counts:
            seeds.append(np.mean(1 / ranks(counts['better'], counts['tied']), axis=0))
    return np.stack(seeds, axis=1)


def test_mrr_by_degree_of_the_answer_is_that_of_the_answers_one_by_one(make_graph, tmp_path):
    graph = make_graph(0, number=80)
    reciprocal = np.random.default_rng(0).random((3, 2, len(graph.test)))
    seeds = [SeedResult(seed, {}, of_seed, [], 0.0) for seed, of_seed in enumerate(reciprocal)]
    result = CellResult(None, tmp_path, seeds, {})
    train = {tuple(map(int, triple)) for triple in graph.train}
    expected = {}
    for side, column in enumerate((0, 2)):
        for number, answer in enumerate(graph.test[:, column]):
            degree = sum(answer in (head, tail) for head, _, tail in train)
            low = 2 ** (degree.bit_length() - 1) if degree else 0
            name = f'{low}-{2 * low - 1}' if low > 1 else str(low)
            expected.setdefault(name, []).append(reciprocal[:, side, number])
    degrees = answer_groups(graph, graph.test)['degree']
    assert set(degrees) == set(expected) and len(expected) > 2
    for name, positions in degrees.items():
        of_seeds = np.mean(expected[name], axis=0)
        assert result.mrr_of(positions) == pytest.approx((np.mean(of_seeds), np.std(of_seeds, ddof=1)))


def test_the_table_by_degree_has_every_answer(done):
    """Of this graph, in which every entity is in about as many triples."""
    _, workdir, printed = done
    heading, _, counts, *lines = printed.split(BY_DEGREE)[1].strip().splitlines()[:6]
    assert (heading, counts) == ('| row | 8-15 |', '| answers | 64 |')
    rows = json.loads((workdir / 'comparison.json').read_text())['rows']
    for row, line in zip(rows, lines, strict=True):
        assert row['mrr_degree_8-15_mean'] == pytest.approx(row['mrr_mean'])
        assert line == f'| {row["row"]} | {row["mrr_mean"]:.3f} ± {row["mrr_std"]:.3f} |'


def test_a_seed_is_an_ordinary_run_of_which_the_tested_state_is_kept(done):
    grid, workdir, _ = done
    path = workdir / 'cells' / grid.cells()[1].name / 'seed_1'
    run, state = load_run(path)
    assert (run.config.seed, run.config.num_negatives, run.config.num_epochs) == (1, 2, 2)
    assert [int(kept.name) for kept in (path / 'checkpoints').iterdir()] == [int(state.step)]
    assert json.loads((path / 'results.json').read_text())['step'] == int(state.step)
    answers = Predictor.load(path).tails(['entity_3'], ['relation_0'], 2)
    assert answers is not None


def command_of(workdir, number) -> dict[str, str]:
    """The flags of a command in commands.sh."""
    lines = [line for line in (workdir / 'commands.sh').read_text().splitlines() if line.startswith('python')]
    parts = shlex.split(lines[number])
    assert parts[:3] == ['python', '-m', 'mans_jax.train']
    return dict(part.removeprefix('--').split('=', 1) for part in parts[3:])


def config_of(command):
    """As the command line makes it."""
    import importlib.util

    from mans_jax.config import from_config_dict as recipe_of

    spec = importlib.util.spec_from_file_location('recipe', command['config'])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.seed = int(command['config.seed'])
    return recipe_of(config)


def test_a_command_repeats_its_seed_up_to_the_order_of_summation(done, tmp_path):
    grid, workdir, _ = done
    command = command_of(workdir, 3)
    again = train_and_evaluate(config_of(command), tmp_path)
    path = workdir / 'cells' / grid.cells()[1].name / 'seed_1'
    _, state = load_run(path)
    assert command['workdir'] == str(workdir / 'repeated' / grid.cells()[1].name / 'seed_1')
    assert int(again.step) == int(state.step)
    for name, value in again.params.items():
        np.testing.assert_allclose(state.params[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
    assert (path / 'config.json').read_text() == (tmp_path / 'config.json').read_text()
    found, expected = (json.loads((where / 'results.json').read_text())['test']['mrr'] for where in (path, tmp_path))
    assert found == pytest.approx(expected, rel=0.02)


def test_a_command_repeats_a_seed_that_trained_by_itself_to_the_last_bit(folder, tmp_path):
    grid = make(folder, ROWS[:1], seeds_at_once=1)
    compare(grid, tmp_path / 'one')
    train_and_evaluate(config_of(command_of(tmp_path / 'one', 1)), tmp_path / 'again')
    path = tmp_path / 'one' / 'cells' / grid.cells()[0].name / 'seed_1'
    assert (path / 'results.json').read_bytes() == (tmp_path / 'again' / 'results.json').read_bytes()


# Going on.


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@pytest.fixture
def kill_after(monkeypatch):
    """(n) -> the comparison is killed at the n-th of its events: a line, a save, a JSON file, ranks, a deletion."""
    left = [0]

    def tick():
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def hook(owner, name):
        original = getattr(owner, name)

        def hooked(*arguments, **options):
            tick()
            result = original(*arguments, **options)
            tick()
            return result

        monkeypatch.setattr(owner, name, hooked)

    hook(RunLog, 'write')
    hook(Checkpoints, 'save')
    hook(Checkpoints, 'keep_only')
    for module in (cells, search):
        hook(module, 'write_json')
    hook(cells, 'write_bytes')
    return lambda n: left.__setitem__(0, n)


def test_a_comparison_that_is_killed_again_and_again_ends_as_an_undisturbed_one(done, kill_after, tmp_path):
    grid, workdir, _ = done
    rng, kills = random.Random(0), 0
    while True:
        kill_after(rng.randint(10, 50) if kills < 8 else 0)
        try:
            compare(grid, tmp_path)
            break
        except Killed:
            kills += 1
    assert kills >= 4
    assert kept_of(tmp_path) == kept_of(workdir)
    assert rows_of(tmp_path) == rows_of(workdir)


def test_a_comparison_that_sigterm_stops_goes_on_within_its_cell(done, tmp_path, monkeypatch):
    grid, workdir, _ = done
    write, lines = RunLog.write, []

    def stopping(*arguments):
        write(*arguments)
        lines.append(1)
        # After the second of the two seeds' lines of the second cell's first epoch.
        if len(lines) == 8 + 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, 'write', stopping)
        with pytest.raises(Interrupted, match='^stopped by SIGTERM at step 16 of 32; the same command goes on$'):
            compare(grid, tmp_path)
    assert [row['row'] for row in rows_of(tmp_path)] == ['normal'], 'no table of what is done'
    compare(grid, tmp_path)
    assert len(lines) == 8 + 4 and kept_of(tmp_path) == kept_of(workdir)


def test_what_is_done_is_not_trained_again_and_more_rows_and_seeds_may_come(folder, done, tmp_path, monkeypatch):
    _, workdir, _ = done
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    trained = []

    def train_seeds(run, workdirs, program_of):
        trained.append((run.config.sampler, [*workdirs]))
        return train(run, workdirs, program_of)

    train = cells.train_seeds
    monkeypatch.setattr(cells, 'train_seeds', train_seeds)
    compare(make(folder), tmp_path)
    assert trained == [] and rows_of(tmp_path) == rows_of(workdir)
    compare(make(folder, (*ROWS[:1], 'new: uniform'), seeds=(0, 1, 2)), tmp_path)
    assert trained == [('bernoulli', [2]), ('uniform', [0, 1, 2])]
    assert [(row['row'], row['seeds']) for row in rows_of(tmp_path)] == [('normal', '0 1 2'), ('new', '0 1 2')]


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'budget': '3 epochs'}, "config.budget is '3 epochs', but the comparison in {} has '2 epochs': set it back"),
        ({'margin': 5.0}, 'config.margin is 5.0, but the comparison in {} has 4.0: set it back, or choose another '),
        ({'search': {'seed': 4}}, 'config.search.seed is 4, but the comparison in {} has 0: set it back'),
        (
            {'samplers': ('normal: uniform', *ROWS[1:])},
            "row 'normal': its sampler is 'uniform', but the cell in {}/cells/normal.transe_l1 has 'bernoulli': set",
        ),
    ],
)
def test_the_workdir_of_another_grid_is_refused_and_not_touched(folder, done, fields, message):
    _, workdir, _ = done
    before = {path: path.read_bytes() for path in workdir.rglob('*') if path.is_file()}
    assert message.format(workdir) in refusal(make(folder, **fields), workdir)
    assert {path: path.read_bytes() for path in workdir.rglob('*') if path.is_file()} == before


def test_changed_files_of_the_graph_are_refused(done, tmp_path):
    _, workdir, _ = done
    shutil.copytree(workdir, tmp_path / 'run')
    other = write_openke(tmp_path / 'graph', seed=1)
    text = (tmp_path / 'run' / 'grid.json').read_text()
    for path in (tmp_path / 'run').rglob('*.json'):
        path.write_text(path.read_text().replace(json.loads(text)['recipe']['data'], str(other)))
    assert 'the files are not those that the run in' in refusal(make(other), tmp_path / 'run')


def test_a_workdir_that_cannot_be_written_is_told(folder, tmp_path):
    (tmp_path / 'file').write_text('mine')
    said = refusal(make(folder), tmp_path / 'file')
    assert said.startswith(f'--workdir={tmp_path / "file"} cannot be written: ')


# Cells that fail.


@pytest.fixture
def choosy(monkeypatch):
    """Samplers of tests: one that no graph serves, and one with an option that makes no sense."""

    def build(graph):
        raise InputError('no entity of this graph has a concept')

    def refuse(inputs, inner, tables):
        raise ValueError('the number of hops must be positive')

    monkeypatch.setitem(FAMILIES, 'concepts', Family(refuse, build=build))
    monkeypatch.setitem(FAMILIES, 'hops', Family(refuse))


def test_a_cell_that_the_graph_cannot_serve_is_named_and_the_others_run(folder, choosy, tmp_path, caplog):
    rows = (*ROWS[:1], 'c: concepts', 'v: mans_v(bernoulli); features=')
    with caplog.at_level(logging.WARNING):
        printed = compare(make(folder, rows), tmp_path)
    assert 'c, transe_l1 is left out: no entity of this graph has a concept' in caplog.text
    assert 'c, transe_l1 is left out: no entity of this graph has a concept' in printed
    assert "v, transe_l1 is left out: config.sampler is 'mans_v(bernoulli)', but" in printed
    assert [row['row'] for row in rows_of(tmp_path)] == ['normal']
    assert not (tmp_path / 'cells' / 'c.transe_l1').exists()


def test_a_baseline_that_the_graph_cannot_serve_is_refused(folder, choosy, tmp_path):
    said = refusal(make(folder, (*ROWS, 'c: concepts'), 'c'), tmp_path)
    assert said == "config.baseline: 'c' cannot be trained: no entity of this graph has a concept"
    assert not (tmp_path / 'cells').exists()


def test_a_sampler_whose_option_makes_no_sense_is_refused_before_anything_is_trained(folder, choosy, tmp_path):
    said = refusal(make(folder, (*ROWS, 'h: hops')), tmp_path)
    assert said == (
        "config.samplers: row 'h' with transe_l1: config.sampler is 'hops': the number of hops must be positive"
    )
    assert not (tmp_path / 'cells').exists()


def test_a_file_that_is_not_there_is_refused_before_anything_is_trained(folder, tmp_path):
    said = refusal(make(folder, (*ROWS, 'x: bernoulli; features.visual=missing.npy')), tmp_path)
    assert said.startswith("config.samplers: row 'x' with transe_l1: ") and 'missing.npy' in said
    assert not (tmp_path / 'cells').exists()


def test_a_budget_that_pays_for_no_epoch_is_refused(folder, tmp_path):
    said = refusal(make(folder, budget='15 steps'), tmp_path)
    assert said == ("row 'normal' with transe_l1: config.budget is 15 steps, but an epoch takes 16 steps; raise it")


def test_a_seed_that_diverges_is_told_and_its_row_not_tested(folder, tmp_path, monkeypatch, done):
    """The others go on, and a resume does not try it again."""
    make_programs = cells.programs_of

    def spoilt_programs_of(run):
        def program_of(seeds):
            program = make_programs(run)(seeds)

            def train_steps(states, num_steps):
                states = program.train_steps(states, num_steps)
                if run.config.sampler == 'uniform' and num_steps:
                    states = states.replace(params=jax.tree.map(lambda x: x.at[1].multiply(jnp.nan), states.params))
                return states

            return program._replace(train_steps=train_steps)

        return program_of

    monkeypatch.setattr(cells, 'programs_of', spoilt_programs_of)
    grid = make(folder, (ROWS[0], 'lost: uniform'))
    for _ in range(2):
        printed = compare(grid, tmp_path)
        normal, lost = rows_of(tmp_path)
        assert normal == rows_of(done[1])[0]
        assert (lost['seeds'], lost['diverged'], lost['mrr_std'], lost['p_holm']) == ('0', '1', '', '')
        assert float(lost['mrr_mean']) > 0
        assert 'lost, transe_l1: seed 1 has diverged and is in no mean; the row is not tested (the loss is' in printed
        monkeypatch.setattr(cells, 'train_seeds', None)


# Budgets and costs.


def test_a_budget_in_seconds_is_measured_once(folder, tmp_path, monkeypatch):
    measured = []

    def seconds_of_a_step(run, seeds, at_least):
        measured.append((list(seeds), at_least))
        return 0.01

    monkeypatch.setattr(cells, 'seconds_of_a_step', seconds_of_a_step)
    grid = make(folder, ROWS[:1], budget='0.4 seconds')
    for _ in range(2):
        compare(grid, tmp_path)
    assert measured == [([0, 1], 1.0)]
    plan = json.loads((tmp_path / 'cells' / 'normal.transe_l1' / 'cell.json').read_text())
    assert plan['num_epochs'] == 2 and plan['seconds_per_step'] == 0.01


def test_a_step_is_measured(folder):
    run = comparing.make_run(make(folder).cells()[0].config, comparing._graph_of(make(folder).cells()[0].config, {}))
    seconds = costs.seconds_of_a_step(run, (0, 1), at_least=0.05)
    assert 0 < seconds < 0.05


def test_a_budget_in_triples_pays_for_fewer_epochs_where_more_are_scored(folder, tmp_path):
    grid = make(folder, (ROWS[0], 'more: bernoulli; num_negatives=3'), budget=f'{16 * 16 * 2 * 4} triples', seeds=(0,))
    compare(grid, tmp_path)
    assert [(row['epochs'], row['scored_triples']) for row in rows_of(tmp_path)] == [('4', '2048'), ('2', '2048')]


def learning_sampler(inputs, inner, tables):
    """A sampler with a table, a state and parameters of its own, that asks for scores twice."""
    base = uniform(inputs.known, inputs.num_negatives)

    def init(key):
        weights = {'a': jnp.zeros((3, 2)), 'b': jnp.zeros(4)}
        return {'weights': weights, 'optimizer': optax.adam(1.0).init(weights), 'steps': jnp.int32(0)}

    def sample(state, key, positives, view):
        corruption, _ = base.sample((), key, positives, view)
        doubled = jax.tree.map(lambda x: jnp.concatenate([x, x], axis=1), corruption)
        weight = jnp.mean(view.scores(positives, doubled)) + jnp.mean(view.pair_scores(positives, corruption))
        weight += tables.sum()
        return corruption, {**state, 'steps': state['steps'] + (weight > 0)}

    return Sampler(init, sample)


def test_a_sampler_that_learns_has_its_costs(folder, monkeypatch):
    monkeypatch.setitem(FAMILIES, 'learning', Family(learning_sampler, build=lambda graph: np.zeros(10, np.int16)))
    cell = make(folder, ('learning; num_negatives=5',), 'learning; num_negatives=5').cells()[0]
    run = comparing.make_run(cell.config, comparing._graph_of(cell.config, {}))
    assert costs.costs_of(run) == costs.Costs(
        triples_per_step=16 * (1 + 5 + 10 + 5), parameters=10, state_bytes=4 * (3 * 10 + 2), table_bytes=20
    )


def test_what_excuses_negatives_scores_each_of_them_three_times(folder):
    row = 'in_batch; loss=softplus; substitution_weight=1; num_negatives=5'
    cell = make(folder, (row,), row).cells()[0]
    run = comparing.make_run(cell.config, comparing._graph_of(cell.config, {}))
    assert costs.costs_of(run).triples_per_step == 16 * (1 + 3 * 5)


@pytest.mark.parametrize(
    ('loss', 'score', 'triples'), [('one_vs_all', 'distmult', 16 * 80), ('non_sampling', 'transe_l2', 16)]
)
def test_a_loss_without_negatives_has_its_costs(folder, loss, score, triples):
    cell = make(folder, (f'a: bernoulli; loss={loss}',), 'a', scores=(score,)).cells()[0]
    run = comparing.make_run(cell.config, comparing._graph_of(cell.config, {}))
    assert costs.costs_of(run) == costs.Costs(triples, 0, 0, 0)


# Search.


def searching(folder, **fields):
    asked = {'trials': 4, 'learning_rate': (1e-3, 0.3), 'margin': (1.0, 6.0), 'seed': 3}
    return make(folder, ROWS[:1], search=asked, budget='1 epochs', **fields)


@pytest.fixture
def by_learning_rate(monkeypatch):
    """Trials are not trained: the MRR on valid is highest at a learning rate of 0.05. Returns what was tried."""
    tried = []

    def valid_mrr(config, values, graph, seed, workdir):
        tried.append(values)
        return float(np.exp(-(np.log(values['learning_rate'] / 0.05) ** 2)))

    monkeypatch.setattr(search, '_valid_mrr', valid_mrr)
    return tried


def test_what_is_found_is_what_is_trained_with(folder, tmp_path, by_learning_rate):
    pytest.importorskip('optuna')
    printed = compare(searching(folder), tmp_path)
    assert len(by_learning_rate) == 4
    assert by_learning_rate[0] == {'learning_rate': 0.02, 'margin': 4.0}, 'the values of the recipe come first'
    assert all(1e-3 <= x['learning_rate'] <= 0.3 and 1 <= x['margin'] <= 6 for x in by_learning_rate)
    best = min(by_learning_rate, key=lambda x: abs(np.log(x['learning_rate'] / 0.05)))
    config = json.loads((tmp_path / 'cells' / 'normal.transe_l1' / 'seed_0' / 'config.json').read_text())
    assert {name: config[name] for name in best} == best
    assert config_of(command_of(tmp_path, 0)).learning_rate == best['learning_rate']
    assert f'{best["learning_rate"]:.4g} | {best["margin"]:.4g} |' in printed


def test_a_search_that_is_interrupted_tries_the_same(folder, tmp_path, by_learning_rate, monkeypatch):
    pytest.importorskip('optuna')
    compare(searching(folder), tmp_path / 'whole')
    whole, by_learning_rate[:] = [*by_learning_rate], []
    find = search._valid_mrr

    def dies(*arguments):
        value = find(*arguments)
        if len(by_learning_rate) in (1, 4):
            raise Killed
        return value

    with monkeypatch.context() as patch:
        patch.setattr(search, '_valid_mrr', dies)
        for _ in range(2):
            with pytest.raises(Killed):
                compare(searching(folder), tmp_path / 'interrupted')
    compare(searching(folder), tmp_path / 'interrupted')
    # Once more each time, what was under way.
    assert by_learning_rate == [whole[0], *whole[:3], *whole[2:]]
    assert kept_of(tmp_path / 'interrupted') == kept_of(tmp_path / 'whole')


def test_a_search_of_another_seed_tries_others(folder, tmp_path, by_learning_rate):
    pytest.importorskip('optuna')
    asked = {'trials': 2, 'learning_rate': (1e-3, 0.1)}
    for seed in (3, 4):
        compare(make(folder, ROWS[:1], search={**asked, 'seed': seed}), tmp_path / str(seed))
    assert by_learning_rate[1] != by_learning_rate[3]


def test_a_search_trains_on_train_and_looks_at_valid_alone(folder, tmp_path, monkeypatch):
    pytest.importorskip('optuna')
    looked, rank = [], training.rank_split

    def rank_split(run, state, split):
        looked.append((run.config.seed, split))
        return rank(run, state, split)

    monkeypatch.setattr(training, 'rank_split', rank_split)
    monkeypatch.setattr(cells, 'train_seeds', lambda *arguments: [])
    compare(make(folder, ROWS[:1], search={'trials': 2, 'margin': (1.0, 5.0), 'seed': 3}), tmp_path)
    assert looked == [(3, 'valid')] * 4
    trials = json.loads((tmp_path / 'cells' / 'normal.transe_l1' / 'search' / 'trials.json').read_text())
    assert len(trials) == 2 and all(0 < trial['valid_mrr'] < 1 for trial in trials)


def test_without_optuna_a_search_is_refused_at_once(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(extras.importlib.sys.modules, 'optuna', None)
    assert refusal(searching(folder), tmp_path / 'x') == "optuna is needed for this: pip install '.[compare]'"
    assert not (tmp_path / 'x').exists()


def test_without_matplotlib_all_but_the_plot_is_there(done, tmp_path, monkeypatch, caplog):
    grid, workdir, printed = done
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns('quality*'))
    monkeypatch.setitem(extras.importlib.sys.modules, 'matplotlib.figure', None)
    monkeypatch.setitem(extras.importlib.sys.modules, 'matplotlib', None)
    with caplog.at_level(logging.WARNING):
        compare(grid, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert "time is left out: matplotlib is needed for this: pip install '.[compare]'" in caplog.text


def test_graphs_that_cannot_serve_a_recipe_say_so(folder):
    """What `compare` leaves out, not what it refuses."""
    cell = make(folder, ('bernoulli; batch_size=1000',), 'bernoulli; batch_size=1000').cells()[0]
    with pytest.raises(NotServable, match='^config.batch_size is 1000, but '):
        comparing.make_run(cell.config, comparing._graph_of(cell.config, {}))
