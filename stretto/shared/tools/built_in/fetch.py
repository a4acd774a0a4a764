"""Fetch: HTTP GET from hosts that the settings allow, and from no address that is not public."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from pydantic import JsonValue

from stretto.shared.tools.built_in.public_address import Resolve, public_address, resolve
from stretto.shared.tools.errors import ToolForbidden, ToolUnavailable
from stretto.shared.tools.protocol import Consequences

if TYPE_CHECKING:
    import httpx2

__all__ = ["Fetch"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5
_MAX_URL_CHARS: Final = 2_000
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?)*")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_TEXT: Final = re.compile(r"(text/.*|application/(json|xml|xhtml\+xml|javascript|.+\+(json|xml)))", re.IGNORECASE)
_HTML: Final = re.compile(r"(text/html|application/xhtml\+xml)", re.IGNORECASE)


class Fetch:
    """Reads a page. It sends nothing of this system: no cookies, no credentials, and no proxy of the environment is used.

    Args:
        hosts: whose pages may be read; `*.example.org` for all hosts below `example.org`.
        ports: at which; 443, and 80 where `schemes` allow it, by default.
        schemes: `https` alone, by default.
        loopback: this machine's own addresses are allowed too, for tests: a host has to be named all the same.
        max_body_bytes: how much is read of a page.
        look_up: finds a host's addresses.
        transport: sends requests, for tests; they name an address in place of the host.
    """

    effects: Consequences = "none"
    schema: Mapping[str, JsonValue] = {
        "type": "object",
        "properties": {
            "url": {"type": "string", "minLength": 1, "maxLength": _MAX_URL_CHARS, "description": "The page's address."}
        },
        "required": ["url"],
        "additionalProperties": False,
    }
    output_schema: Mapping[str, JsonValue] | None = {
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "Where the page was found in the end."},
            "status": {"type": "integer"},
            "type": {"type": "string"},
            "text": {"type": "string"},
            "cut": {"type": "boolean", "description": "Whether there is more than was read."},
        },
        "required": ["url", "status", "text"],
    }

    def __init__(
        self,
        *,
        hosts: Sequence[str],
        name: str = "fetch",
        schemes: Sequence[str] = ("https",),
        ports: Sequence[int] = (),
        loopback: bool = False,
        max_body_bytes: int = 2 * 1024 * 1024,
        look_up: Resolve = resolve,
        transport: "httpx2.AsyncBaseTransport | None" = None,
    ) -> None:
        self.name = name
        self.description = f"Read a page of the web by its address (HTTP GET), from these hosts: {', '.join(hosts)}."
        self._hosts = tuple(one.lower() for one in hosts)
        self._schemes = frozenset(schemes)
        self._ports = frozenset(ports) or frozenset(_PORTS[one] for one in schemes)
        self._loopback = loopback
        self._max_body_bytes = max_body_bytes
        self._look_up = look_up
        self._transport = transport

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        """As `Tool.call`.

        Raises:
            ToolForbidden: the address, or one that it leads to, is not allowed.
            ToolUnavailable: there is no page, or no text on it.
        """
        import httpx2

        given: Mapping[str, Any] = arguments
        url: str = given["url"]
        # A connection for each request: one that is kept could be taken for another host at the same address.
        transport = self._transport or httpx2.AsyncHTTPTransport(
            trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0)
        )
        try:
            async with httpx2.AsyncClient(transport=transport, follow_redirects=False, trust_env=False) as client:
                for _ in range(_MAX_REDIRECTS + 1):
                    found = await self._get(client, url)
                    if isinstance(found, dict):
                        return found
                    url = found
        except httpx2.HTTPError as error:
            raise ToolUnavailable(f"the host does not answer as it should: {type(error).__name__}") from error
        except httpx2.InvalidURL as error:
            raise ToolForbidden("url: it is no address of a page") from error
        raise ToolUnavailable(f"the page is not found after {_MAX_REDIRECTS} redirects")

    async def _get(self, client: "httpx2.AsyncClient", url: str) -> dict[str, JsonValue] | str:
        """The page, or where it is said to be."""
        scheme, host, port, target = self._allowed(url)
        address = await public_address(host, port, look_up=self._look_up, loopback=self._loopback)
        shown = f"[{address}]" if ":" in address else address
        named = host if port == _PORTS[scheme] else f"{host}:{port}"
        async with client.stream(
            "GET",
            f"{scheme}://{shown}:{port}{target}",
            headers={"Host": named, "Accept": "text/*, application/json;q=0.9, */*;q=0.1", "User-Agent": "stretto"},
            extensions={"sni_hostname": host},
        ) as response:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return _joined(url, response.headers["location"])
            return await self._page(url, response)

    async def _page(self, url: str, response: "httpx2.Response") -> dict[str, JsonValue]:
        kind = response.headers.get("content-type", "text/plain")
        if response.status_code >= 400:
            raise ToolUnavailable(f"the host answers with status {response.status_code}")
        if not _TEXT.match(kind):
            raise ToolUnavailable(f"the page is no text, but {kind.partition(';')[0][:80]}")
        body = bytearray()
        async for piece in response.aiter_bytes(
            chunk_size=65_536
        ):  # unpacked piece by piece: small pages may unpack to huge ones
            body += piece
            if len(body) > self._max_body_bytes:
                break
        cut = len(body) > self._max_body_bytes
        text = _text(bytes(body[: self._max_body_bytes]), kind, response.charset_encoding)
        return {"url": url, "status": response.status_code, "type": kind.partition(";")[0], "text": text, "cut": cut}

    def _allowed(self, url: str) -> tuple[str, str, int, str]:
        """Scheme, host, port and the rest of an address that may be fetched.

        Raises:
            ToolForbidden: it may not.
        """
        if len(url) > _MAX_URL_CHARS or any(one.isspace() or ord(one) < 0x21 for one in url) or "\\" in url:
            raise ToolForbidden("url: it is no address of a page")
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme.lower(), (parts.hostname or "").rstrip("."), parts.port
        except ValueError as error:
            raise ToolForbidden("url: it is no address of a page") from error
        if scheme not in self._schemes or scheme not in _PORTS:
            raise ToolForbidden(f"url: its scheme must be {' or '.join(sorted(self._schemes))}")
        if "@" in parts.netloc:
            raise ToolForbidden("url: it must not hold a user or a password")
        if not self._is_allowed(host):
            raise ToolForbidden(f"{self.name} may not read from this host: allowed are {', '.join(self._hosts)}")
        port = _PORTS[scheme] if port is None else port
        if port not in self._ports:
            raise ToolForbidden(f"url: its port must be one of {', '.join(map(str, sorted(self._ports)))}")
        return scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def _is_allowed(self, host: str) -> bool:
        """Names only, and addresses that are named themselves: numbers in other forms are addresses too for some resolvers."""
        if host in self._hosts:
            return True
        if not _HOST.fullmatch(host) or _NUMBER.fullmatch(host.rpartition(".")[2]):
            return False
        return any(one.startswith("*.") and host.endswith(one[1:]) for one in self._hosts)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise ToolUnavailable("the page is said to be where nothing can be") from error


def _text(body: bytes, kind: str, charset: str | None) -> str:
    try:
        text = body.decode(charset or "utf-8", errors="replace")
    except LookupError:
        text = body.decode("utf-8", errors="replace")
    if not _HTML.match(kind):
        return text
    try:
        from stretto.shared.memory.readers.html import read_html

        return "\n\n".join(one.text for one in read_html(text.encode()))
    except ImportError as error:
        raise ToolUnavailable(f"reading pages of HTML needs more: pip install 'stretto[memory]' ({error})") from error
