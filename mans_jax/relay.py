"""Stands between JAX and the connections of its processes, and tells when one of them breaks.

JAX aborts a process as soon as its connection to process 0 ends, with a page of addresses and before anything else has
a say. It cannot be asked for another end. So each process lets JAX speak to a relay in the process itself, which
notices the end of a connection and keeps it from JAX.
"""

import contextlib
import socket
import threading
from collections.abc import Callable

_PREFACE = b'PRI'
"""What a connection of JAX begins with, and that of whoever only looks whether somebody listens does not."""

_SILENCE = {'TCP_KEEPIDLE': 10, 'TCP_KEEPINTVL': 5, 'TCP_KEEPCNT': 4}
"""A host that has gone without closing its connections is noticed after 30 s."""


class Relay:
    """Passes on what comes to a listening socket to an address, and what comes back; in threads, until it is closed.

    Args:
        listener: whose connections are passed on.
        target: (host, port) to which they are passed on.
        lost: is called in a thread of the relay, with (address of the other side), when a connection of JAX ends
            while it is watched. Only after it returns is the other end closed.
    """

    def __init__(self, listener: socket.socket, target: tuple[str, int], lost: Callable[[str], None]):
        """Begins to pass on; watching begins with `watch`."""
        self._listener, self._target, self._lost = listener, target, lost
        self._is_watched = threading.Event()
        _start(self._accept)

    @property
    def port(self) -> int:
        """On which it listens."""
        return self._listener.getsockname()[1]

    def watch(self) -> None:
        """From now on, no connection may end."""
        self._is_watched.set()

    def close(self) -> None:
        """From now on, connections may end, and none are accepted."""
        self._is_watched.clear()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                _start(self._connect, near)

    def _connect(self, near):
        try:
            far = socket.create_connection(self._target)
        except OSError:
            near.close()  # JAX tries again.
            return
        for side in (near, far):
            _notice_silence(side)
        is_jax = threading.Event()
        _start(self._pass_on, far, near, is_jax)
        self._pass_on(near, far, is_jax)

    def _pass_on(self, source, sink, is_jax):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if data.startswith(_PREFACE):
                    is_jax.set()
                sink.sendall(data)
        if is_jax.is_set() and self._is_watched.is_set():
            is_jax.clear()  # The other direction ends in consequence, which is nothing new.
            self._lost(_address(source))
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


def listen_everywhere(port: int) -> socket.socket:
    """Listens on a port of all addresses of this machine.

    Raises:
        OSError: the port is taken.
    """
    if socket.has_dualstack_ipv6():
        return socket.create_server(('', port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(('', port))


def listen_here() -> socket.socket:
    """Listens on some port for connections from this machine."""
    return socket.create_server(('127.0.0.1', 0))


def free_port() -> int:
    """A port that nobody listens on just now."""
    with listen_here() as listener:
        return listener.getsockname()[1]


def _notice_silence(side):
    side.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in _SILENCE.items():
        if hasattr(socket, name):  # Not everywhere, as on macOS.
            side.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _address(side):
    try:
        host, port, *_ = side.getpeername()
    except OSError:
        return 'another host'
    return f'{host.removeprefix("::ffff:")}:{port}'


def _start(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()
