"""What this machine can do at most: the rates that every benchmark is held against."""

import platform
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp


def median_and_spread(times):
    """The median of seconds and (least, most)."""
    times = sorted(times)
    return times[len(times) // 2], (times[0], times[-1])


def timed(function, *arguments, repeats=7):
    """Seconds of each of `repeats` calls, after one that is not counted."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return times


def matmul_rate(dtype=jnp.float32):
    """Multiply-adds of large matrix products, in FLOP/s (2 per multiply-add): the best of some.

    float32 is multiplied as such, also by a GPU, which would round it first.
    """
    # On a CPU so short that the best is not interrupted by what else runs.
    size, number = (1024, 1) if _is_cpu() else (8192, 8)
    a = jax.random.normal(jax.random.key(0), (size, size), dtype) / size**0.5

    @jax.jit
    def multiply(a):
        return jax.lax.fori_loop(0, number, lambda _, product: jnp.matmul(product, a, precision='highest'), a)

    return number * 2 * size**3 / min(timed(multiply, a, repeats=25))


def stream_rate():
    """Bytes read and written by a pass over 128 MB in place, 2 GB off the CPU, in bytes/s: the best of some."""
    x, number = (jnp.zeros(2**25), 1) if _is_cpu() else (jnp.zeros(2**29), 10)
    scale = jax.jit(lambda x: jax.lax.fori_loop(0, number, lambda _, x: x * 0.5 + 1.0, x), donate_argnums=0)
    x = jax.block_until_ready(scale(x))
    times = []
    for _ in range(25):
        start = time.perf_counter()
        x = jax.block_until_ready(scale(x))
        times.append(time.perf_counter() - start)
    return number * 2 * x.nbytes / min(times)


def _is_cpu():
    return jax.default_backend() == 'cpu'


class Rates(NamedTuple):
    """What the machine does at most.

    Attributes:
        matmul: FLOP/s.
        stream: bytes/s.
    """

    matmul: float
    stream: float

    @classmethod
    def measure(cls):
        """Both, now."""
        return cls(matmul_rate(), stream_rate())

    def least(self, operations, bytes_moved):
        """The seconds that operations and bytes take at these rates."""
        return operations / self.matmul, bytes_moved / self.stream


def describe(rates=None):
    """One line: device, libraries and the two rates, measured where they are not given."""
    device, rates = jax.devices()[0], rates or Rates.measure()
    return (
        f'{jax.device_count()} x {device.device_kind}, {platform.machine()}, Python {platform.python_version()}, '
        f'jax {jax.__version__}: matmul {rates.matmul / 1e9:.0f} GFLOP/s, stream {rates.stream / 1e9:.1f} GB/s'
    )


def counted(compiled):
    """The operations and the bytes, read and written, that the compiler counts in a program; in a loop, of one round.

    Bytes are counted at every fused operation, also where a cache holds them.
    """
    costs = compiled.cost_analysis()
    return costs.get('flops', float('nan')), costs.get('bytes accessed', float('nan'))


def described(costs, rates):
    """What `counted` has counted, and the milliseconds of it at the machine's rates."""
    (operations, bytes_moved), least = costs, rates.least(*costs)
    return (
        f'{operations / 1e6:.0f} million operations ({1000 * least[0]:.2f} ms at the matmul rate), '
        f'{bytes_moved / 1e6:.0f} MB as the compiler counts them ({1000 * least[1]:.2f} ms at the stream rate)'
    )
