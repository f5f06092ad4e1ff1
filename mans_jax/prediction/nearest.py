"""The labels that someone may have meant."""

import difflib
import heapq
import re
from collections.abc import Sequence

from mans_jax.data.lines import quote
from mans_jax.errors import InputError

_COMPARED = 200
"""So many labels, those that share the most letters, are compared in full."""


def nearest_labels(label: str, labels: Sequence[str], n: int = 3) -> list[str]:
    """The labels that contain a label, the shortest first, then those that look most like it, equals by the alphabet.

    Capitals count for none, and an underscore is a space. A label that is no address is also compared with the last
    part of addresses, as `<http://dbpedia.org/resource/New_York_City>` ends in New York City.

    Args:
        label: what was written.
        labels: what exists.
        n: how many at most.
    """
    wanted = _plain(label)
    if not wanted.strip():
        return []
    part_of = _plain if '/' in wanted else _last_part
    # A letter or two is part of too many labels to mean one of them.
    containing = (x for x in labels if wanted in part_of(x)) if len(wanted) > 2 else ()
    found = heapq.nsmallest(n, containing, key=lambda x: (len(part_of(x)), x))
    if len(found) == n:
        return found
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)

    def likeness(text, ratio):
        matcher.set_seq1(part_of(text))
        return ratio()

    likely = heapq.nlargest(_COMPARED, labels, key=lambda x: likeness(x, matcher.quick_ratio))
    alike = sorted((-likeness(x, matcher.ratio), x) for x in likely if x not in found)
    return found + [x for ratio, x in alike if ratio < -0.5][: n - len(found)]


def _plain(label):
    return label.casefold().replace('_', ' ')


def _last_part(label):
    """What an address ends in, or the whole label where that is nothing."""
    whole = _plain(label)
    return re.split('[/#]', whole.strip('<>').rstrip('/#'))[-1] or whole


def unknown_label(label: str, labels: Sequence[str], kind: str) -> InputError:
    """The error of a label that does not exist, with the nearest ones that do."""
    nearest = ' or '.join(map(quote, nearest_labels(label, labels)))
    return InputError(f'no {kind} is called {quote(label)}' + (f'; did you mean {nearest}?' if nearest else ''))
