"""The sockets that a server listens on: families, several hosts, one port, and what cannot be had."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence

import pytest

from onnxpress.core.errors import UsageError
from onnxpress.serving import sockets
from onnxpress.serving.settings import Address


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine speaks no IPv6")


@contextlib.contextmanager
def listening(*hosts: str, port: int = 0) -> Iterator[list[socket.socket]]:
    found = sockets.listening(Address(host=hosts, port=port))
    try:
        yield found
    finally:
        for one in found:
            one.close()


def reached(port: int, hosts: Sequence[str]) -> list[bool]:
    found = []
    for host in hosts:
        try:
            socket.create_connection((host, port), timeout=10).close()
        except OSError:
            found.append(False)
        else:
            found.append(True)
    return found


def test_one_address() -> None:
    with listening("127.0.0.1") as found:
        port = found[0].getsockname()[1]
        assert reached(port, ["127.0.0.1", "127.0.0.2"]) == [True, False]
        assert sockets.url(Address(), found) == f"http://127.0.0.1:{port}"


@ipv6
def test_the_ipv6_wildcard_takes_both_families() -> None:
    with listening("::") as found:
        port = found[0].getsockname()[1]
        assert reached(port, ["127.0.0.1", "::1"]) == [True, True]
        assert sockets.url(Address(), found) == f"http://[::]:{port}"


@ipv6
@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (("127.0.0.1", "::1"), [True, True, False]),
        (("::1",), [False, True, False]),
        (("127.0.0.1", "127.0.0.2"), [True, False, True]),
        (("0.0.0.0", "::"), [True, True, True]),
        (("::", "0.0.0.0"), [True, True, True]),
    ],
)
def test_several_hosts_share_one_port(hosts: tuple[str, ...], expected: list[bool]) -> None:
    with listening(*hosts) as found:
        ports = {one.getsockname()[1] for one in found}
        assert len(ports) == 1
        assert reached(ports.pop(), ["127.0.0.1", "::1", "127.0.0.2"]) == expected


def test_the_same_host_twice_is_one() -> None:
    with listening("127.0.0.1", "127.0.0.1") as found:
        assert len(found) == 1
        port = found[0].getsockname()[1]
    with listening("127.0.0.1", "127.0.0.1", port=port) as found:
        assert len(found) == 1


def test_a_name_stands_for_all_its_addresses_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))  # of a network for documents alone
    here = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [absent, here])
    with listening("somewhere") as found:
        assert [one.getsockname()[0] for one in found] == ["127.0.0.1"]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [absent])
    with pytest.raises(UsageError, match="cannot listen on somewhere:0"):
        sockets.bound(Address(host=("somewhere",), port=0))


def test_what_is_taken_is_said_and_nothing_stays_open() -> None:
    with listening("127.0.0.1") as found:
        port = found[0].getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.2:{port}, 127.0.0.1:{port}: Address already"):
            sockets.bound(Address(host=("127.0.0.2", "127.0.0.1"), port=port))
        assert reached(port, ["127.0.0.2"]) == [False]
        with listening("127.0.0.2", port=port):
            assert reached(port, ["127.0.0.1", "127.0.0.2"]) == [True, True]


def test_of_two_that_were_bound_before_either_listened_the_second_is_told() -> None:
    address = Address(host=("127.0.0.1",), port=0)
    (first,) = sockets.bound(address)
    port = first.getsockname()[1]
    with first, socket.socket() as second:
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        second.bind(("127.0.0.1", port))
        second.listen()
        with pytest.raises(OSError, match="in use"):
            first.listen()


def test_a_name_that_is_none_is_said() -> None:
    with pytest.raises(UsageError, match=r"cannot listen on nobody.invalid:0: "):
        sockets.bound(Address(host=("nobody.invalid",), port=0))
