"""What kind of devices there are, where work is best cut otherwise for the one kind than for the other.

A CPU core goes through portions that fit its own cache, one after the other. GPUs and TPUs want much to do at once, and
pay for every portion.
"""

import jax


def on_cpu() -> bool:
    """Whether this process has CPUs alone; asked where a program is traced, also one that is exported for others."""
    return jax.default_backend() == 'cpu'


def positives_at_once() -> int:
    """Of how many positives the negatives are scored together where no gradient is taken."""
    return 32 if on_cpu() else 256


def answers_at_once() -> int:
    """How many known answers of a list of queries are gone through together."""
    return 1 << 10 if on_cpu() else 1 << 16


def rows_at_once() -> int:
    """How many rows of a table's shard are updated together."""
    return 1 << 10 if on_cpu() else 1 << 14
