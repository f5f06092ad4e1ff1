"""Training by several processes, on one machine or on many: how they find each other, agree and part."""

import atexit
import contextlib
import dataclasses
import os
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterator

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from mans_jax.config import Config
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph
from mans_jax.relay import Relay, free_port, listen_everywhere, listen_here

AUTOMATIC = 'auto'
"""In place of an address: what a TPU pod or Slurm tells JAX of its processes."""

_HEARTBEAT_S = 60
"""A process that is silent for so long counts as lost."""

_ENDING = threading.Lock()

_OF_EACH_HOST = ('data', 'features')
"""Fields that may differ between hosts, where files lie elsewhere: the graph's checksum tells what is in them."""


def join(coordinator: str, num_processes: int | None, process_id: int | None, timeout_s: int) -> None:
    """Waits until all processes are there; to be called before any device is used.

    Args:
        coordinator: HOST:PORT of process 0, or AUTOMATIC.
        num_processes: how many there are; None with AUTOMATIC.
        process_id: which of them this is, from 0 on; None with AUTOMATIC.
        timeout_s: seconds after which this gives up.

    Raises:
        InputError: an argument cannot be used, or not all processes came in time.
    """
    address, relay = None, None
    if coordinator != AUTOMATIC:
        _check(coordinator, num_processes, process_id)
        if process_id:
            _await_coordinator(coordinator, timeout_s)
        address, relay = _relay(coordinator, is_first=not process_id)
    # JAX would end the process by itself, with a page of addresses: this comes before.
    giving_up = threading.Timer(timeout_s, _give_up, (coordinator, timeout_s))
    giving_up.daemon = True
    giving_up.start()
    try:
        jax.distributed.initialize(
            address,
            num_processes,
            process_id,
            coordinator_bind_address=address,
            initialization_timeout=timeout_s + _HEARTBEAT_S,
            heartbeat_timeout_seconds=_HEARTBEAT_S,
            shutdown_timeout_seconds=_HEARTBEAT_S,
        )
    except (RuntimeError, ValueError) as error:
        why = str(error).partition('\n')[0]
        raise InputError(f'--coordinator={coordinator}: the processes cannot come together: {why}') from None
    finally:
        giving_up.cancel()
    if relay:
        relay.watch()
        # What is registered last is done first: JAX, which takes leave of the others at the exit, has been before.
        atexit.register(relay.close)
    if not is_first():
        logging.set_verbosity(logging.WARNING)


def is_first() -> bool:
    """Whether this process writes logs and results; each writes its part of the checkpoints."""
    return jax.process_index() == 0


def agree(flag: bool) -> bool:
    """Whether the flag is set in any process; all of them must ask at the same places."""
    return flag if jax.process_count() == 1 else bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def check_same(config: Config, graph: KnowledgeGraph) -> None:
    """Refuses processes that do not train the same, in all of them.

    Raises:
        InputError: naming the first process and the first field that differ from process 0.
    """
    if jax.process_count() == 1:
        return
    fields = {
        f'config.{name}': value for name, value in dataclasses.asdict(config).items() if name not in _OF_EACH_HOST
    }
    fields['the graph of config.data and config.features'] = graph.checksum()
    own = np.array([zlib.crc32(repr(value).encode()) for value in fields.values()], np.uint32)
    of_all = multihost_utils.process_allgather(own)
    differ = np.argwhere(of_all != of_all[0])
    if len(differ):
        process, place = differ[0]
        raise InputError(
            f'{list(fields)[place]} is not the same in process {process} as in process 0: start all processes with '
            f'the same flags, on the same files'
        )


@contextlib.contextmanager
def loss_of_others_is_told() -> Iterator[None]:
    """Within it, an error of JAX that comes where another process is lost ends this one with one line."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        why = str(error).partition('\n')[0]
        _end_for_others(why[:200])


def _relay(coordinator, is_first):
    """The address that JAX is to take for process 0's, and the relay that leads from or to it."""
    host, _, port = coordinator.rpartition(':')
    if not is_first:
        relay = Relay(listen_here(), (host.strip('[]'), int(port)), _lost)
        return f'127.0.0.1:{relay.port}', relay
    try:
        listener = listen_everywhere(int(port))
    except OSError as error:
        raise InputError(
            f'--coordinator={coordinator}: process 0 cannot listen on port {port} ({os.strerror(error.errno)}); '
            f'choose another port'
        ) from None
    behind = '127.0.0.1', free_port()
    return f'{behind[0]}:{behind[1]}', Relay(listener, behind, _lost)


def _lost(address):
    _end_for_others(f'the connection to {address} has ended')


def _end_for_others(why):
    _end(
        f'process {jax.process_index()} has lost another process ({why}); the same commands, in all processes, go on '
        f'at the last checkpoint'
    )


def _give_up(coordinator, timeout_s):
    _end(
        f'--coordinator={coordinator}: the processes did not come together within {timeout_s} s; start all of them, '
        f'with the same --coordinator and --num_processes'
    )


def _end(message):
    """Ends this process at once: the others cannot take leave of it."""
    with _ENDING:  # Whichever thread comes first says why.
        print(f'error: {message}', file=sys.stderr, flush=True)
        os._exit(1)


def _check(coordinator, num_processes, process_id):
    _, colon, port = coordinator.rpartition(':')
    if not colon or not port.isdigit():
        raise InputError(f'--coordinator={coordinator}: not of the form HOST:PORT, nor {AUTOMATIC!r}')
    if num_processes is None or process_id is None:
        missing = 'num_processes' if num_processes is None else 'process_id'
        raise InputError(f'--{missing} is missing beside --coordinator={coordinator}')
    if process_id >= num_processes:
        raise InputError(f'--process_id={process_id}, but with --num_processes={num_processes} they are below that')


def _await_coordinator(coordinator, timeout_s):
    host, _, port = coordinator.rpartition(':')
    end = time.monotonic() + timeout_s
    while True:
        try:
            with socket.create_connection((host.strip('[]'), int(port)), timeout=max(end - time.monotonic(), 0.1)):
                return
        except OSError as error:
            if time.monotonic() + 1 > end:
                raise InputError(
                    f'--coordinator={coordinator}: no answer within {timeout_s} s '
                    f'({error.strerror or error}); start process 0 there, or correct the address'
                ) from None
        time.sleep(1)
