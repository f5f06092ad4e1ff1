"""What stands between JAX and its connections: bytes pass, and an end is told before it is passed on."""

import contextlib
import socket
import threading

import pytest

from mans_jax.relay import Relay, free_port, listen_everywhere, listen_here

PREFACE = b'PRI * HTTP/2.0'
LIMIT = 20
"""Seconds after which something that ought to happen counts as never happening."""


class Wire:
    """A relay with a connection through it."""

    def __init__(self, stack, first_bytes):
        self.lost, self.has_lost = [], threading.Event()
        behind = stack.enter_context(listen_here())
        self.relay = Relay(listen_here(), behind.getsockname(), self._note)
        stack.callback(self.relay.close)
        self.near = stack.enter_context(socket.create_connection(('127.0.0.1', self.relay.port), timeout=LIMIT))
        behind.settimeout(LIMIT)
        self.far = stack.enter_context(behind.accept()[0])
        self.far.settimeout(LIMIT)
        self.near.sendall(first_bytes)
        assert self.far.recv(100) == first_bytes
        self.far.sendall(b'answer')
        assert self.near.recv(100) == b'answer'

    def _note(self, address):
        # While this runs, JAX must not have seen anything.
        for side in (self.near, self.far):
            side.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                self.lost.append(side.recv(1))
        self.lost.append(address)
        self.has_lost.set()


@pytest.fixture
def wire():
    with contextlib.ExitStack() as stack:
        yield lambda first_bytes=PREFACE: Wire(stack, first_bytes)


def test_the_end_of_a_connection_is_told_before_it_is_passed_on(wire):
    found = wire()
    found.relay.watch()
    address = '{}:{}'.format(*found.far.getsockname())
    found.far.shutdown(socket.SHUT_WR)
    assert found.has_lost.wait(LIMIT)
    assert found.lost == [address], 'the other end heard of it before'


def test_it_is_told_on_the_side_of_process_0_too(wire):
    found = wire()
    found.relay.watch()
    address = '{}:{}'.format(*found.near.getsockname())
    found.near.shutdown(socket.SHUT_WR)
    assert found.has_lost.wait(LIMIT)
    assert found.lost == [address]


@pytest.mark.parametrize('case', ['unwatched', 'closed', 'no JAX'])
def test_an_end_that_is_no_loss_is_passed_on(wire, case):
    found = wire(b'GET /' if case == 'no JAX' else PREFACE)
    if case != 'unwatched':
        found.relay.watch()
    if case == 'closed':
        found.relay.close()
    found.near.shutdown(socket.SHUT_WR)
    assert found.far.recv(1) == b''
    assert not found.lost


def test_where_nobody_listens_behind_it_a_connection_ends_and_the_next_is_tried():
    port = free_port()
    with contextlib.closing(Relay(listen_here(), ('127.0.0.1', port), print)) as relay:
        with socket.create_connection(('127.0.0.1', relay.port), timeout=LIMIT) as early:
            assert early.recv(1) == b''
        with socket.create_server(('127.0.0.1', port)) as behind:
            behind.settimeout(LIMIT)
            with socket.create_connection(('127.0.0.1', relay.port), timeout=LIMIT):
                behind.accept()[0].close()


def test_process_0_listens_on_every_address_and_a_port_once():
    port = free_port()
    with listen_everywhere(port):
        with socket.create_connection(('127.0.0.1', port), timeout=LIMIT):
            pass
        with pytest.raises(OSError, match='in use'):
            listen_everywhere(port)
