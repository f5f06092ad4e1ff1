"""The labels that someone may have meant."""

import pytest

from mans_jax.prediction.nearest import nearest_labels, unknown_label

LABELS = (
    'Paris',
    'Paris Hilton',
    'http://example.org/Berlin',
    '<http://dbpedia.org/resource/New_York_City>',
    '<http://example.org/of#time/>',
    'London',
    'Londonderry',
    'Rome',
)


@pytest.mark.parametrize(
    ('label', 'want'),
    [
        ('paris', ['Paris', 'Paris Hilton']),
        ('Lodnon', ['London', 'Londonderry']),
        ('Berlin', ['http://example.org/Berlin']),
        ('Berlni', ['http://example.org/Berlin']),
        ('new york', ['<http://dbpedia.org/resource/New_York_City>']),
        ('New Yrok City', ['<http://dbpedia.org/resource/New_York_City>']),
        ('http://example.org/berlin', ['http://example.org/Berlin', '<http://example.org/of#time/>']),
        ('tmie', ['<http://example.org/of#time/>']),
        ('xyz', []),
        ('', []),
        (' ', []),
    ],
)
def test_contained_first_then_alike(label, want):
    assert nearest_labels(label, LABELS) == want


def test_the_line_that_a_user_reads():
    assert str(unknown_label('Lodnon', LABELS, 'entity')) == (
        "no entity is called 'Lodnon'; did you mean 'London' or 'Londonderry'?"
    )
    assert str(unknown_label('qqq\n', LABELS, 'relation')) == "no relation is called 'qqq\\n'"
