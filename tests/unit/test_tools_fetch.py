"""fetch: from hosts that are allowed and addresses that are public, also after redirects, and connected to what was checked."""

import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import ip_address
from typing import Any

import httpx2
import pytest

from stretto.shared.tools.built_in.fetch import Fetch
from stretto.shared.tools.built_in.public_address import is_public, public_address
from stretto.shared.tools.errors import ToolForbidden, ToolUnavailable

PUBLIC = "93.184.215.14"


class Net:
    """Hosts and what they answer; keeps what was asked, of whom."""

    def __init__(self, addresses: dict[str, list[str]] | None = None) -> None:
        self.addresses = addresses or {}
        self.looked_up: list[str] = []
        self.asked: list[httpx2.Request] = []
        self.answers: dict[str, Callable[[], httpx2.Response]] = {}

    async def look_up(self, host: str, port: int) -> Sequence[str]:
        self.looked_up.append(host)
        return self.addresses.get(host, [PUBLIC])

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        where = f"{request.headers['host']}{request.url.raw_path.decode()}"
        found = self.answers.get(where)
        return found() if found else httpx2.Response(200, text="found", headers={"content-type": "text/plain"})

    def redirect(self, where: str, to: str, status: int = 302) -> None:
        self.answers[where] = lambda: httpx2.Response(status, headers={"location": to})

    def fetch(self, *hosts: str, **settings: Any) -> Fetch:
        transport = httpx2.MockTransport(self.answer)
        return Fetch(hosts=hosts or ("example.org",), look_up=self.look_up, transport=transport, **settings)


async def get(fetch: Fetch, url: str) -> dict[str, Any]:
    found = await fetch.call({"url": url}, key="")
    assert isinstance(found, dict)
    return found


async def test_it_connects_to_the_address_that_was_checked_and_asks_for_the_host() -> None:
    net = Net()
    found = await get(net.fetch(), "https://example.org/a%20b?x=1#part")
    assert found == {
        "url": "https://example.org/a%20b?x=1#part",
        "status": 200,
        "type": "text/plain",
        "text": "found",
        "cut": False,
    }
    (request,) = net.asked
    assert request.url.host == PUBLIC  # whatever the name says by now
    assert request.headers["host"] == "example.org"
    assert request.extensions["sni_hostname"] == "example.org"
    assert str(request.url) == f"https://{PUBLIC}/a%20b?x=1"
    assert not {"cookie", "authorization"} & set(request.headers)


async def test_an_address_of_ipv6_is_connected_to() -> None:
    net = Net({"example.org": ["2606:2800:21f:cb07:6820:80da:af6b:8b2c"]})
    await get(net.fetch(), "https://example.org/")
    assert net.asked[0].url.host == "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


INTERNAL = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 (an address in a table)
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "100::1",
]


@pytest.mark.parametrize("address", INTERNAL)
async def test_an_allowed_host_with_an_internal_address_is_refused_before_anything_is_sent(address: str) -> None:
    for addresses in ([address], [PUBLIC, address]):
        net = Net({"example.org": addresses})
        with pytest.raises(ToolForbidden, match="not public"):
            await get(net.fetch(), "https://example.org/")
        assert net.asked == []


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", INTERNAL)
async def test_a_redirect_of_an_allowed_host_to_an_internal_address_is_refused(address: str) -> None:
    net = Net({"inner.example.org": [address]})
    net.redirect("example.org/", "https://inner.example.org/")
    with pytest.raises(ToolForbidden):
        await get(net.fetch("example.org", "inner.example.org"), "https://example.org/")
    assert [one.headers["host"] for one in net.asked] == ["example.org"]


@pytest.mark.parametrize(
    "url",
    [
        "https://other.org/",
        "https://example.org.other.org/",
        "https://notexample.org/",
        "https://sub.example.org/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://１２７.0.0.1/",  # noqa: RUF001 (digits of another width)
        "https://localhost/",
        "https://user@example.org/",
        "https://example.org@other.org/",
        "https://other.org\\@example.org/",
        "https://example.org:8443/",
        "https://example.org:99999/",
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "data:text/plain,x",
        "//example.org/",
        "example.org",
        "https://",
        "https:///path",
        "https://exa mple.org/",
        "https://example.org/\r\nHost: other.org",
        "https://example.org\t/",
        "https://[::1",
        "https://ex%61mple.org/",
        "https://example.org/" + "x" * 3_000,
    ],
)
async def test_an_address_that_is_not_allowed_is_refused_before_anything_is_looked_up(url: str) -> None:
    net = Net()
    with pytest.raises(ToolForbidden):
        await get(net.fetch(), url)
    assert net.looked_up == []
    assert net.asked == []
    # As what a redirect leads to, some are other addresses, of the same host; and not all can be written in a header.
    if url.isascii() and not url.startswith(("//example.org", "example.org", "https:///")):
        net.redirect("example.org/", url)
        with pytest.raises((ToolForbidden, ToolUnavailable)):
            await get(net.fetch(), "https://example.org/")
        assert {one.headers["host"] for one in net.asked} <= {"example.org"}


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "a.0x7f"])
async def test_a_number_is_no_host_below_a_wildcard(host: str) -> None:
    net = Net()
    with pytest.raises(ToolForbidden):
        await get(net.fetch(f"*.{host.rpartition('.')[2]}", "*.1"), f"https://x.{host}/")
    assert net.looked_up == []


async def test_a_wildcard_allows_what_is_below_it_alone() -> None:
    net = Net()
    fetch = net.fetch("*.example.org")
    assert (await get(fetch, "https://a.b.EXAMPLE.org./"))["text"] == "found"
    with pytest.raises(ToolForbidden, match=r"allowed are \*\.example\.org"):
        await get(fetch, "https://example.org/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_what_is_allowed_is_followed(status: int) -> None:
    net = Net()
    net.redirect("example.org/a", "/b", status)
    assert (await get(net.fetch(), "https://example.org/a"))["url"] == "https://example.org/b"
    assert net.looked_up == ["example.org", "example.org"]  # each time: it may have changed


async def test_a_name_that_answers_otherwise_the_second_time_is_refused_there() -> None:
    net = Net()
    net.redirect("example.org/", "/next")
    answers = iter([[PUBLIC], ["127.0.0.1"]])

    async def look_up(host: str, port: int) -> Sequence[str]:
        return next(answers)

    fetch = Fetch(hosts=["example.org"], look_up=look_up, transport=httpx2.MockTransport(net.answer))
    with pytest.raises(ToolForbidden):
        await get(fetch, "https://example.org/")
    assert len(net.asked) == 1


async def test_redirects_end() -> None:
    net = Net()
    net.redirect("example.org/", "/")
    with pytest.raises(ToolUnavailable, match="5 redirects"):
        await get(net.fetch(), "https://example.org/")
    assert len(net.asked) == 6


async def test_loopback_is_for_those_who_ask_for_it_and_does_not_open_the_rest() -> None:
    net = Net({"here": ["127.0.0.1"], "there": ["10.0.0.1"]})
    fetch = net.fetch("here", "there", "127.0.0.1", schemes=("http",), ports=(8080,), loopback=True)
    assert (await get(fetch, "http://here:8080/"))["text"] == "found"
    with pytest.raises(ToolForbidden):
        await get(fetch, "http://there:8080/")


class Endless(httpx2.AsyncByteStream):
    def __init__(self) -> None:
        self.given = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.given += 1
            yield b"x" * 1_000


async def test_no_more_is_read_than_the_limit() -> None:
    net, endless = Net(), Endless()
    net.answers["example.org/"] = lambda: httpx2.Response(200, stream=endless)
    found = await get(net.fetch(max_body_bytes=10_000), "https://example.org/")
    assert (len(found["text"]), found["cut"]) == (10_000, True)
    assert endless.given < 200


async def test_a_small_body_that_unpacks_to_a_huge_one_is_cut() -> None:
    net = Net()
    packed = gzip.compress(b"x" * 20_000_000)
    net.answers["example.org/"] = lambda: httpx2.Response(200, content=packed, headers={"content-encoding": "gzip"})
    found = await get(net.fetch(max_body_bytes=10_000), "https://example.org/")
    assert (len(found["text"]), found["cut"]) == (10_000, True)


async def test_of_a_page_its_reader_sees_the_text() -> None:
    net = Net()
    page = "<html><head><style>x{}</style></head><body><h1>Head</h1><p hidden>obey</p><p>Körper</p></body></html>"
    net.answers["example.org/"] = lambda: httpx2.Response(
        200, content=page.encode("latin-1"), headers={"content-type": "text/html; charset=latin-1"}
    )
    text = (await get(net.fetch(), "https://example.org/"))["text"]
    assert "Körper" in text
    assert "obey" not in text
    assert "<" not in text


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (lambda: httpx2.Response(404, text="secret"), "status 404"),
        (lambda: httpx2.Response(503), "status 503"),
        (lambda: httpx2.Response(200, content=b"PNG", headers={"content-type": "image/png"}), "image/png"),
    ],
)
async def test_what_is_no_page_is_told(response: Callable[[], httpx2.Response], told: str) -> None:
    net = Net()
    net.answers["example.org/"] = response
    with pytest.raises(ToolUnavailable, match=told) as caught:
        await get(net.fetch(), "https://example.org/")
    assert "secret" not in str(caught.value)


async def test_a_host_that_is_not_found_is_unavailable() -> None:
    async def look_up(host: str, port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    with pytest.raises(ToolUnavailable, match="not found"):
        await public_address("nowhere.example.org", 443, look_up=look_up)
