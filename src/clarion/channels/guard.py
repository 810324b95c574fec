"""Requests to addresses that people entered: to public hosts only (SSRF).

A name is resolved once, all its addresses are judged, and the connection goes to one of those that
were judged, so that a name can't change its address in between. No proxy is used, no redirect is
followed, and neither a slow answer nor an endless one holds a worker.
"""

from __future__ import annotations

import functools
import http.client
import io
import re
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from threading import Thread
from time import monotonic
from typing import Any, cast
from urllib.parse import quote, urlsplit

from clarion.exceptions import InvalidAddress, PermanentFailure, TransientFailure

IPAddress = IPv4Address | IPv6Address
_CHECK_SECONDS = 5.0  # for the name of an address that somebody just entered
_HEAD_LIMIT = 65_536  # bytes of status line and headers
_PORTION = 16_384
_DEFAULT_PORTS = {"https": 443, "http": 80}
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_ENDS_IN_A_NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)")
_ALLOWED_IN_PATH = "/?:@!$&'()*+,;=%-._~[]|"

# IANA IPv4 Special-Purpose Address Registry, multicast, and the one public address that means the
# cloud's own inside (Azure). Written out, as `ipaddress.is_global` differs between Pythons.
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32",
            "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
            "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
            "224.0.0.0/4", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
# Of IPv6 only global unicast is public, without Teredo and its neighbours, documentation and 6to4.
_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)  # fmt: skip
_NAT64 = IPv6Network("64:ff9b::/96")  # how hosts without IPv6 look in networks that have no IPv4


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is cut at the limit, or where the time was over."""

    status: int
    headers: http.client.HTTPMessage
    """Read with `.get(name)`, whatever the case of the name."""
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """Seconds that the other side asks us to wait (RFC 9110, 10.2.3); None: it doesn't."""
        asked = (self.headers.get("Retry-After") or "").strip()
        if re.fullmatch(r"\d{1,9}", asked):
            return float(asked)
        try:
            moment = parsedate_to_datetime(asked)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True)
class _Target:
    scheme: str
    host: str
    port: int | None
    path: str

    @property
    def netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"


def check(url: str, *, allow_private: bool = False, schemes: Sequence[str] = ("https",)) -> str:
    """The URL as it is to be stored: ASCII, without a fragment.

    Raises:
        InvalidAddress: it can't be sent to, or leads into a private network; the text says why.
    """
    target = _parse(url, schemes)
    check_host(target.host, allow_private=allow_private)
    return target.url


def check_host(host: str, *, allow_private: bool = False) -> None:
    """Raise `InvalidAddress` unless `host` is known, and public with all its addresses."""
    name = _host(host)
    try:
        addresses = _resolve(name, None, _CHECK_SECONDS)
    except OSError:
        raise InvalidAddress(f"The host {name} can't be found; check how it is written.") from None
    if not allow_private and not _all_public(addresses):
        raise InvalidAddress(f"The host {name} is in a private network; it must be a public one.")


def post(
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    timeout: float,
    limit: int = 65_536,
    allow_private: bool = False,
    schemes: Sequence[str] = ("https", "http"),
) -> Answer:
    """POST `body`, and return the answer whatever its status; a redirect is one, too.

    Args:
        timeout: seconds for everything together, from the name's resolution to the last byte.
        limit: bytes of the answer's body that are read.
        allow_private: for local development and tests.

    Raises:
        TransientFailure: no answer: unknown name, no connection, bad certificate, too slow.
        PermanentFailure: an address that is not sent to.
    """
    until = monotonic() + timeout
    try:
        target = _parse(url, schemes)
    except InvalidAddress as error:
        raise PermanentFailure(str(error)) from None
    try:
        line = _connect(target, until, allow_private=allow_private)
        line.left = limit + _HEAD_LIMIT
        with line.socket:
            return _exchange(line, target, body, headers, limit)
    except (OSError, http.client.HTTPException) as error:
        raise TransientFailure(f"{target.host}: {_trouble(error, timeout)}") from None


# --- what the URL says


def _parse(url: str, schemes: Sequence[str]) -> _Target:
    text = url.strip()
    if not text.isprintable() or any(sign in text for sign in ' \\"<>^`{}'):
        raise InvalidAddress("The URL has characters that a URL can't have.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InvalidAddress("This is not a URL.") from None
    if parts.scheme not in schemes:
        raise InvalidAddress(f"The URL must begin with {' or '.join(f'{s}://' for s in schemes)}.")
    if "@" in parts.netloc:
        raise InvalidAddress("The URL must not have a user name or password in it.")
    if port == 0:
        raise InvalidAddress("The URL has a port that nothing listens on.")
    query = f"?{parts.query}" if parts.query else ""
    path = quote((parts.path or "/") + query, safe=_ALLOWED_IN_PATH)
    return _Target(parts.scheme, _host(parts.hostname or ""), port, path)


def _host(host: str) -> str:
    """The name in ASCII (IDNA), or the address in its one usual form.

    Forms such as 127.1, 2130706433 or 0x7f000001 mean an address to some programs and a name to
    others, and an IPv6 zone is never public: both are refused.
    """
    if ":" in host:
        return _ipv6(host)
    try:
        name = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise InvalidAddress("The host of the URL is not a valid name.") from None
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise InvalidAddress("The URL has no valid host.")
    if _ENDS_IN_A_NUMBER.fullmatch(name):
        return _ipv4(name)
    return name


def _ipv4(host: str) -> str:
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise InvalidAddress("Write an IPv4 address as four plain numbers.") from None


def _ipv6(host: str) -> str:
    try:
        address = IPv6Address(host)
    except ValueError:
        address = None
    if address is None or address.scope_id is not None:
        raise InvalidAddress("The host of the URL is not a valid IPv6 address.")
    return str(address)


# --- where it leads


def _resolve(host: str, port: int | None, seconds: float) -> list[Any]:
    """What `getaddrinfo` says, without waiting for it longer than `seconds`. Raise `OSError`."""
    answer: Future[list[Any]] = Future()
    Thread(target=_look_up, args=(answer, host, port), name="clarion-dns", daemon=True).start()
    return answer.result(timeout=max(seconds, 0))


def _look_up(answer: Future[list[Any]], host: str, port: int | None) -> None:
    try:
        answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except Exception as error:  # noqa: BLE001 - raised where the answer is awaited
        answer.set_exception(error)


def _all_public(addresses: Iterable[Any]) -> bool:
    return all(is_public(ip_address(place[0])) for *_, place in addresses)


def is_public(address: IPAddress) -> bool:
    """Whether anybody on the internet could reach it: nothing of ours, nothing of our cloud's."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


# --- the exchange


class _Line(io.RawIOBase):
    """A connected socket; each step counts against one deadline, each byte against one limit."""

    left = _HEAD_LIMIT

    def __init__(self, connected: socket.socket, until: float) -> None:
        super().__init__()
        self.socket = connected
        self.until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.socket.settimeout(_remaining(self.until))
        count = self.socket.recv_into(buffer, min(len(buffer), self.left)) if self.left else 0
        self.left -= count
        return count

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self.socket.settimeout(_remaining(self.until))
            rest = rest[self.socket.send(rest[:_PORTION]) :]

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(self)

    def close(self) -> None:
        """`http.client` closes it before the body was read; whoever opened the socket closes it."""


def _connect(target: _Target, until: float, *, allow_private: bool) -> _Line:
    port = target.port or _DEFAULT_PORTS[target.scheme]
    addresses = _resolve(target.host, port, _remaining(until))
    if not allow_private and not _all_public(addresses):
        raise PermanentFailure(f"{target.host} is in a private network")
    connected = _first_that_answers(addresses, until)
    try:
        if target.scheme == "https":
            connected.settimeout(_remaining(until))
            connected = _tls().wrap_socket(connected, server_hostname=target.host)
    except BaseException:
        connected.close()
        raise
    return _Line(connected, until)


def _first_that_answers(addresses: Sequence[Any], until: float) -> socket.socket:
    """A host with several addresses may have one that is silent: each gets its share of time."""
    trouble: OSError = OSError("no address")
    for number, (family, kind, protocol, _, place) in enumerate(addresses):
        attempt = socket.socket(family, kind, protocol)
        try:
            attempt.settimeout(_remaining(until) / (len(addresses) - number))
            attempt.connect(place)
        except OSError as error:
            attempt.close()
            trouble = error
        else:
            return attempt
    raise trouble


@functools.cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _exchange(
    line: _Line, target: _Target, body: bytes, headers: Mapping[str, str], limit: int
) -> Answer:
    connection = http.client.HTTPConnection(target.host)
    connection.sock = cast("socket.socket", line)  # it connects nowhere by itself then
    given = {"Host": target.netloc, "Connection": "close", **headers}
    connection.request("POST", target.path, body=body, headers=given)
    response = connection.getresponse()
    return Answer(response.status, response.msg, _body(response, limit))


def _body(response: http.client.HTTPResponse, limit: int) -> bytes:
    """The status has said what counts: a text that stays out or makes no sense is left out."""
    try:
        return response.read(limit)
    except (OSError, ValueError, http.client.HTTPException):
        return b""


def _remaining(until: float) -> float:
    """Seconds that are left. Raise `TimeoutError` where none are: a time-out of 0 means none."""
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _trouble(error: Exception, timeout: float) -> str:
    """In words that hold no part of the URL."""
    match error:
        case TimeoutError():
            return f"no answer within {timeout:g} s"
        case socket.gaierror():
            return "the host can't be found"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not valid: {error.verify_message}"
        case ssl.SSLError():
            return "no TLS connection"
        case ConnectionRefusedError():
            return "the connection was refused"
        case ConnectionError():
            return "the connection was closed without an answer"
        case OSError():
            return "can't be reached"
    return "its answer is not HTTP"
