"""publish and ticket: one key, one effect; and nothing in a page that runs or loads."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from stretto.shared.settings import SettingsError
from stretto.shared.tools.built_in.publish import Publish
from stretto.shared.tools.built_in.ticket import Ticket
from stretto.shared.tools.built_in.webhook import Webhook
from stretto.shared.tools.errors import ToolArgumentsWrong, ToolError, ToolForbidden, ToolUnavailable
from stretto.shared.tools.settings import PublishSettings
from stretto.shared.tools.webhook_settings import WebhookSettings

TEXT = {"title": "Refunds, and <more>", "text": "They take **fourteen** days."}


def publish(folder: Path, form: Literal["markdown", "html"] = "markdown") -> Publish:
    return Publish(name="publish", to=folder, form=form)


def pages(folder: Path, *, hidden: bool = False) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.name.startswith(".") == hidden)


@pytest.mark.parametrize(
    ("key", "arguments", "form", "outcome"),
    [
        ("k1", TEXT, "markdown", "same"),
        ("k2", TEXT, "markdown", "another"),
        ("k1", {**TEXT, "text": "Other words."}, "markdown", "refused"),
        ("k1", {**TEXT, "title": "Another title"}, "markdown", "refused"),
        ("k1", TEXT, "html", "refused"),
    ],
)
async def test_what_a_second_call_does(
    key: str, arguments: dict[str, Any], form: Literal["markdown", "html"], outcome: str, tmp_path: Path
) -> None:
    first: Any = await publish(tmp_path).call(TEXT, key="k1")
    (page,) = pages(tmp_path)
    assert first == {"file": page}
    before = (tmp_path / page).read_bytes()
    if outcome == "refused":
        with pytest.raises(ToolForbidden, match="something else under this key"):
            await publish(tmp_path, form).call(arguments, key=key)
    else:
        second: Any = await publish(tmp_path, form).call(arguments, key=key)
        assert (second == first) == (outcome == "same")
    assert (tmp_path / page).read_bytes() == before
    assert len(pages(tmp_path)) == (2 if outcome == "another" else 1)


async def test_many_at_once_under_one_key_publish_once(tmp_path: Path) -> None:
    done = await asyncio.gather(*(publish(tmp_path).call(TEXT, key="k1") for _ in range(20)))
    assert len(pages(tmp_path)) == 1
    assert all(one == done[0] for one in done)
    assert pages(tmp_path, hidden=True) == [".published"], "no drafts are left"


async def test_what_died_between_claim_and_page_is_published_by_the_next(tmp_path: Path) -> None:
    first: Any = await publish(tmp_path).call(TEXT, key="k1")
    (tmp_path / first["file"]).unlink()
    assert await publish(tmp_path).call(TEXT, key="k1") == first
    assert (tmp_path / first["file"]).read_text(encoding="utf-8").startswith("# Refunds, and \\<more>")


async def test_a_page_that_somebody_edited_is_left_alone(tmp_path: Path) -> None:
    first: Any = await publish(tmp_path).call(TEXT, key="k1")
    (tmp_path / first["file"]).write_text("edited", encoding="utf-8")
    assert await publish(tmp_path).call(TEXT, key="k1") == first
    assert (tmp_path / first["file"]).read_text(encoding="utf-8") == "edited"


async def test_a_title_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    for title in ("../../etc/passwd", "/", "..", "Ünïcode", "a" * 200):
        done: Any = await publish(folder).call({**TEXT, "title": title}, key=title)
        assert (folder / done["file"]).is_file()
    assert pages(tmp_path) == ["inside"]
    assert pages(tmp_path, hidden=True) == []


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ToolUnavailable, match="cannot write into its folder"):
        await publish(tmp_path / "file").call(TEXT, key="k1")


async def test_an_html_page_runs_and_loads_nothing(tmp_path: Path) -> None:
    text = (
        "<script>alert(1)</script>\n\nHello <b onclick=x>you</b> [a](javascript:alert(1)) [ok](https://example.org)\n\n"
        "![spy](https://example.org/pixel.png)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    done: Any = await publish(tmp_path, "html").call({"title": "<script>x</script>", "text": text}, key="k")
    page = (tmp_path / done["file"]).read_text(encoding="utf-8")
    assert page.count("<script") == 0
    assert "<b onclick" not in page
    assert "<img" not in page
    assert 'href="javascript:' not in page
    assert 'href="https://example.org"' in page
    assert "<td>1</td>" in page
    assert "Content-Security-Policy" in page


@pytest.mark.parametrize("text", ["<script>x</script>", "a <b>b</b>", "<!-- c -->", "> <iframe src=x>"])
async def test_a_markdown_page_takes_no_html(text: str, tmp_path: Path) -> None:
    with pytest.raises(ToolArgumentsWrong, match="plain Markdown"):
        await publish(tmp_path).call({"title": "t", "text": text}, key="k")
    assert pages(tmp_path) == pages(tmp_path, hidden=True) == []
    await publish(tmp_path).call({"title": "t", "text": "`<b>` and 1 < 2, x<y"}, key="k")


# Webhooks


@contextlib.asynccontextmanager
async def receiver(status: int = 201, body: str = '{"number": 7}') -> AsyncGenerator[tuple[str, list[dict[str, Any]]]]:
    """An address that keeps what it is sent."""
    received: list[dict[str, Any]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        sent = await reader.readexactly(int(headers["content-length"]))
        received.append({"headers": headers, "body": json.loads(sent)})
        reply = f"HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
        writer.write(reply.encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", received


def webhook(address: str, **fields: Any) -> Webhook:
    settings = WebhookSettings.model_validate({"url": address, "headers": {"Authorization": "HOOK_KEY"}, **fields})
    return Webhook("tickets", settings, environment={"HOOK_KEY": "Bearer canary", "HOOK_URL": address})


async def test_a_ticket_goes_out_with_its_key_and_the_answer_is_the_result() -> None:
    async with receiver() as (url, received):
        tool = Ticket(name="tickets", webhook=webhook(url))
        assert tool.effects == "keyed"
        assert await tool.call({"title": "Refund late"}, key="k1") == {"number": 7}
    (sent,) = received
    assert sent["body"] == {"title": "Refund late", "body": "", "priority": "normal"}
    assert (sent["headers"]["idempotency-key"], sent["headers"]["authorization"]) == ("k1", "bearer canary")


async def test_a_page_goes_out_rendered() -> None:
    async with receiver(200, "ok") as (url, received):
        tool = Publish(name="publish", to=webhook(url), form="html")
        assert await tool.call(TEXT, key="k1") == {}
    assert received[0]["body"]["format"] == "html"
    assert "<strong>fourteen</strong>" in received[0]["body"]["text"]


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (422, '{"error": "title is too long"}', ToolForbidden, "status 422: title is too long"),
        (409, "[]", ToolForbidden, "status 409"),
        (302, "", ToolUnavailable, "status 302"),
        (429, "", ToolUnavailable, "status 429"),
        (503, "<html>canary</html>", ToolUnavailable, "status 503"),
    ],
)
async def test_what_the_receiver_says_is_told(status: int, body: str, error: type[ToolError], said: str) -> None:
    async with receiver(status, body) as (url, received):
        with pytest.raises(error, match=f"{said}$"):
            await Ticket(name="tickets", webhook=webhook(url)).call({"title": "t"}, key="k")
    assert len(received) == 1, "no redirect is followed, and nothing sent twice"


async def test_a_receiver_that_is_away_is_told_without_its_address() -> None:
    tool = Ticket(name="tickets", webhook=webhook("http://127.0.0.1:1/secret-path"))
    with pytest.raises(ToolUnavailable, match="does not reach its webhook: ConnectError") as caught:
        await tool.call({"title": "t"}, key="k")
    assert "secret-path" not in str(caught.value)


def test_a_receiver_that_does_not_look_at_keys_is_unkeyed() -> None:
    assert Ticket(name="t", webhook=webhook("http://127.0.0.1:1/x", idempotent=False)).effects == "unkeyed"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"headers": {"Authorization": "NO_SUCH"}}, "tickets needs NO_SUCH in the environment"),
        ({"url": None, "url_variable": "NO_SUCH"}, "tickets needs NO_SUCH in the environment"),
        ({"url": None}, "tickets needs a url, or a url_variable"),
    ],
)
def test_a_webhook_that_lacks_something_says_what(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        webhook("http://127.0.0.1:1/x", **fields)


@pytest.mark.parametrize("fields", [{}, {"folder": "out", "url": "https://example.org/x"}])
def test_publish_has_one_place(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="publish into a folder, or through the webhook"):
        PublishSettings.model_validate({"kind": "publish", "roles": ["writer"], **fields})
