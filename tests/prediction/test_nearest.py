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


def test_of_labels_alike_the_first_comes_first():
    numbered = [f'image_{i:04}' for i in range(1500)]
    assert nearest_labels('imag_005', numbered)[0] == 'image_0005'


def test_the_line_that_a_user_reads():
    assert str(unknown_label('Lodnon', LABELS, 'entity')) == (
        "no entity is called 'Lodnon'; did you mean 'London' or 'Londonderry'?"
    )
    assert str(unknown_label('qqq\n', LABELS, 'relation')) == "no relation is called 'qqq\\n'"
