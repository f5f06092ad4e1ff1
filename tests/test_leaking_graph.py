"""Training on a graph whose splits leak says so, once."""

import pytest

from mans_jax.training import train_and_evaluate
from tests.graphs import quick_programs, short_recipe, write_openke


@pytest.fixture
def leaking(tmp_path):
    """A folder with a train triple twice, two of train in test, and one of test in valid."""
    folder = write_openke(tmp_path / 'leaking')

    def add(split, *rows):
        path = folder / f'{split}2id.txt'
        count, *lines = path.read_text().splitlines()
        path.write_text('\n'.join([str(int(count) + len(rows)), *lines, *rows]) + '\n')

    train, test = ((folder / f'{split}2id.txt').read_text().splitlines() for split in ('train', 'test'))
    add('train', train[1])
    add('test', *train[1:3])
    add('valid', test[1])
    return folder


@pytest.mark.parametrize(
    ('splits', 'kept'),
    [
        ('clean', ('256 of 257', '32 of 33', '32 of 34')),
        ('published', ('257 of 257', '33 of 33', '34 of 34')),
    ],
)
def test_training_says_once_what_leaks(leaking, tmp_path, tmp_path_factory, caplog, splits, kept):
    config = short_recipe(leaking, splits=splits, num_epochs=2, evaluate_every=1)
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'), caplog.at_level('WARNING'):
        train_and_evaluate(config, tmp_path / 'run')
    said = [record.getMessage() for record in caplog.records if 'lines kept' in record.getMessage()]
    assert said == [
        f'leaking: train: {kept[0]} lines kept (1 repeated); valid: {kept[1]} lines kept (1 in test); '
        f'test: {kept[2]} lines kept (2 in train)'
    ]


def test_training_on_a_clean_graph_says_nothing_of_it(tmp_path, tmp_path_factory, caplog):
    config = short_recipe(write_openke(tmp_path / 'graph'), num_epochs=1, evaluate_every=1)
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'), caplog.at_level('WARNING'):
        train_and_evaluate(config, tmp_path / 'run')
    assert 'lines kept' not in caplog.text
