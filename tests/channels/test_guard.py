"""What people entered as an address leads to public hosts only, and holds nobody up."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPMessage

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clarion.channels import guard
from clarion.exceptions import InvalidAddress, PermanentFailure, TransientFailure
from tests.channels.receiver import http_server, raw_server, read_request, until_closed


def post(url: str, **options: object) -> guard.Answer:
    given = {"body": b"{}", "headers": {}, "timeout": 5, "allow_private": True, **options}
    return guard.post(url, **given)


@pytest.fixture
def receiver():
    with http_server() as receiver:
        yield receiver


# --- which addresses are public


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
        "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",
        "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378::1",
        "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:0a00:0001::1",
        "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
        "ff02::1",
    ],
)  # fmt: skip
def test_what_not_everybody_can_reach_is_not_public(address):
    assert not guard.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "93.184.216.34",
        "172.32.0.1",
        "2606:4700::1111",
        "2a00:1450::1",
        "64:ff9b::808:808",
    ],
)
def test_what_everybody_can_reach_is_public(address):
    assert guard.is_public(ipaddress.ip_address(address))


def test_nothing_that_python_calls_private_is_public():
    edges = [
        address
        for network in (
            *ipaddress._IPv4Constants._private_networks,
            *ipaddress._IPv6Constants._private_networks,
        )
        for address in (network.network_address, network.broadcast_address)
    ]

    assert [str(address) for address in edges if guard.is_public(address)] == []


# --- what is refused when somebody enters it


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://127.0.0.1./", "https://[::1]/", "https://localhost/",
        "https://LOCALHOST./", "https://169.254.169.254/latest/meta-data/", "https://10.0.0.1:8443/",
        "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://\uff11\uff12\uff17.0.0.1/",
        "https://127\u30020\u30020\u30021/",
    ],
)  # fmt: skip
def test_a_private_host_is_refused_however_it_is_written(url):
    with pytest.raises(InvalidAddress, match="private network"):
        guard.check(url)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "0", "1.2.3.4.5", "a.0x1"]
)
def test_a_number_that_only_some_programs_take_for_an_address_is_refused(host):
    with pytest.raises(InvalidAddress, match="four plain numbers"):
        guard.check(f"https://{host}/")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "must begin with https://"),
        ("example.org", "must begin with https://"),
        ("http://example.org/", "must begin with https://"),
        ("ftp://example.org/", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("https://", "no valid host"),
        ("https:///path", "no valid host"),
        ("https://:443/", "no valid host"),
        ("https://user:secret@example.org/", "user name or password"),
        ("https://@example.org/", "user name or password"),
        ("https://example.org:0/", "port"),
        ("https://example.org:99999/", "not a URL"),
        ("https://example.org:x/", "not a URL"),
        ("https://[::1/", "not a URL"),
        ("https://[fe80::1%25eth0]/", "not a valid IPv6 address"),
        ("https://[v1.x:y]/", "not a"),
        ("https://exa mple.org/", "characters"),
        ("https://exam\nple.org/", "characters"),
        ("https://example.org/\r\nHost: inside", "characters"),
        ("https://example.org\\@127.0.0.1/", "characters"),
        ("https://exa%6dple.org/", "no valid host"),
        ("https://-example.org/", "no valid host"),
        ("https://example..org/", "not a valid name"),
        (f"https://{'a' * 64}.org/", "not a valid name"),
        ("https://nowhere.invalid/", "can't be found"),
    ],
)
def test_what_is_no_web_address_is_refused_with_a_sentence(url, why):
    with pytest.raises(InvalidAddress, match=why):
        guard.check(url)


def test_a_refusal_shows_no_secret():
    with pytest.raises(InvalidAddress) as refused:
        guard.check("https://user:hunter2@127.0.0.1/?key=hunter2")

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (" https://93.184.216.34 ", "https://93.184.216.34/"),
        ("HTTPS://93.184.216.34:8443/a?b=c#part", "https://93.184.216.34:8443/a?b=c"),
        ("https://93.184.216.34/ä b".replace(" ", ""), "https://93.184.216.34/%C3%A4b"),
        ("https://93.184.216.34/a%20b?q=%2F", "https://93.184.216.34/a%20b?q=%2F"),
        ("https://93.184.216.34?key=1", "https://93.184.216.34/?key=1"),
        ("https://[2606:4700:0::1111]/", "https://[2606:4700::1111]/"),
    ],
)
def test_a_public_address_is_stored_in_one_form(given, stored):
    assert guard.check(given) == stored


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch):
    both = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))
        for address in ("93.184.216.34", "10.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)

    with pytest.raises(InvalidAddress, match="private network"):
        guard.check("https://example.org/")


def test_other_schemes_and_private_hosts_are_taken_where_the_site_says_so():
    url = guard.check("http://localhost:8000/x", allow_private=True, schemes=("https", "http"))

    assert url == "http://localhost:8000/x"


# --- what is sent, and what comes back


def test_a_request_arrives_whole_and_its_answer_comes_back(receiver):
    receiver.answers[:] = [(202, {"X-Note": "thanks"}, b"taken")]

    answer = post(receiver.url("/a?b=c"), body=b"x" * 100_000, headers={"X-Mine": "1"})

    [request] = receiver.requests
    assert (request.path, request.body) == ("/a?b=c", b"x" * 100_000)
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["x-mine"] == "1"
    assert (answer.status, answer.ok, answer.body) == (202, True, b"taken")
    assert answer.headers.get("x-note") == "thanks"


def test_a_private_address_is_refused_at_the_time_of_sending_too(receiver):
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(PermanentFailure, match="private network"):
            post(receiver.url(host=host), allow_private=False)

    assert receiver.requests == []


def test_the_connection_goes_to_the_address_that_was_judged(receiver, monkeypatch):
    """DNS rebinding: a name that is public when asked once, and something else after that."""
    asked = []

    def rebinding(host, port, **_):
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "192.0.2.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)

    answer = post(f"http://rebinding.example:{receiver.port}/")

    assert (answer.status, asked) == (200, ["rebinding.example"])
    assert receiver.requests[0].headers["host"] == f"rebinding.example:{receiver.port}"


def test_a_redirect_is_an_answer_and_not_followed(receiver):
    receiver.answers[:] = [(302, {"Location": receiver.url("/inside")}, b"")]

    answer = post(receiver.url())

    assert (answer.status, answer.ok, len(receiver.requests)) == (302, False, 1)


def test_a_proxy_of_the_environment_is_not_used(receiver, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert post(receiver.url()).ok


def test_an_address_that_is_silent_leaves_time_for_the_next(receiver, monkeypatch):
    with silent_port() as silent:
        places = [("127.0.0.1", silent), ("127.0.0.1", receiver.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

        assert post("http://two.example/", timeout=2).ok


@contextmanager
def silent_port():
    """A port that takes no more connections and refuses none: its queue is full."""
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


# --- peers that behave badly; each test hangs when the promise is broken


def test_a_server_that_says_nothing_is_given_up():
    with raw_server(until_closed) as port, pytest.raises(TransientFailure) as failed:
        post(f"http://127.0.0.1:{port}/hook?key=secret", timeout=0.3)

    assert str(failed.value) == "127.0.0.1: no answer within 0.3 s"


def test_a_server_that_drips_its_headers_is_given_up():
    def drip(connected):
        read_request(connected)
        connected.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            connected.sendall(b"a")
            time.sleep(0.05)

    with raw_server(drip) as port, pytest.raises(TransientFailure):
        post(f"http://127.0.0.1:{port}/", timeout=0.5)


def test_a_server_that_drips_its_body_has_answered_all_the_same():
    def drip(connected):
        read_request(connected)
        connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nab")
        until_closed(connected)

    with raw_server(drip) as port:
        answer = post(f"http://127.0.0.1:{port}/", timeout=0.5)

    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2540BE400\r\n",
    ],
)
def test_an_endless_answer_is_cut(head):
    def pour(connected):
        read_request(connected)
        connected.sendall(head)
        while True:
            connected.sendall(b"a" * 65_536)

    with raw_server(pour) as port:
        answer = post(f"http://127.0.0.1:{port}/", limit=1000)

    assert (answer.status, answer.body) == (200, b"a" * 1000)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"",
    ],
)
def test_an_answer_that_breaks_the_rules_can_not_fill_the_memory(start):
    poured = []

    def pour(connected):
        read_request(connected)
        connected.sendall(start)
        while True:
            connected.sendall(b"a" * 65_536)
            poured.append(65_536)

    with raw_server(pour) as port, suppress(TransientFailure):
        post(f"http://127.0.0.1:{port}/")

    assert sum(poured) < 20_000_000  # what sockets hold on the way, and no more


def test_a_flood_of_headers_is_no_answer():
    def flood(connected):
        read_request(connected)
        connected.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n")

    with raw_server(flood) as port, pytest.raises(TransientFailure, match="not HTTP"):
        post(f"http://127.0.0.1:{port}/")


def test_a_closed_line_a_closed_port_and_an_unknown_name_may_work_later():
    with raw_server(read_request) as port, pytest.raises(TransientFailure, match="was closed"):
        post(f"http://127.0.0.1:{port}/")
    with pytest.raises(TransientFailure, match="refused"):
        post(f"http://127.0.0.1:{port}/")
    with pytest.raises(TransientFailure, match="can't be found"):
        post("http://nowhere.invalid/")


def test_a_name_server_that_does_not_answer_is_given_up(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(60) and [])

    with pytest.raises(TransientFailure, match="no answer within"):
        post("http://slow.example/", timeout=0.2)
    released.set()


# --- TLS


@pytest.fixture
def certificate(tmp_path):
    """A certificate for "localhost", of an authority of our own; its file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


@pytest.fixture
def secure_port(certificate):
    def greet(connected):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with context.wrap_socket(connected, server_side=True) as secured:
            read_request(secured)
            secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    with raw_server(greet) as port:
        yield port


@pytest.fixture
def trusted(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    guard._tls.cache_clear()
    yield
    guard._tls.cache_clear()


@pytest.mark.usefixtures("trusted")
def test_the_certificate_is_checked_against_the_name_although_an_address_is_dialled(secure_port):
    assert post(f"https://localhost:{secure_port}/").body == b"hello"


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_name_is_refused(secure_port):
    with pytest.raises(TransientFailure, match=r"its certificate is not valid"):
        post(f"https://127.0.0.1:{secure_port}/")


def test_a_certificate_that_nobody_vouches_for_is_refused(secure_port):
    with pytest.raises(TransientFailure, match="its certificate is not valid"):
        post(f"https://localhost:{secure_port}/")


# --- when to come again


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Fri, 20 Nov 2026 12:01:00 GMT", 60.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(header, seconds):
    headers = HTTPMessage()
    if header is not None:
        headers["Retry-After"] = header

    with time_machine.travel("2026-11-20T12:00:00+00:00", tick=False):
        asked = guard.Answer(503, headers, b"").retry_after

    assert asked == seconds
