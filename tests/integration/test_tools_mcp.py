"""Tools of MCP servers: the real desk on both transports, and a server that misbehaves."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from stretto.shared.settings import SettingsError
from stretto.shared.tools.errors import ToolResultWrong, ToolUnavailable
from stretto.shared.tools.mcp import McpTool, open_mcp
from stretto.shared.tools.mcp_settings import McpServerSettings
from tests.integration.ground import LIMIT_S

ROOT = Path(__file__).parents[2]
DESK = ROOT / "examples" / "desk"


@contextlib.asynccontextmanager
async def tools_of(name: str = "desk", **settings: Any) -> AsyncGenerator[dict[str, McpTool]]:
    environment = {"PATH": os.environ["PATH"], "TOKEN": "canary-token", "OTHER": "canary-other"}
    async with (
        asyncio.timeout(LIMIT_S),
        open_mcp(name, McpServerSettings.model_validate(settings), environment=environment) as tools,
    ):
        yield {tool.name: tool for tool in tools}


def rogue(how: str = "", **settings: Any) -> Any:
    command = (sys.executable, "-m", "tests.integration.rogue_server", how)
    return tools_of("rogue", command=command, folder=ROOT, **settings)


async def echo(tools: dict[str, McpTool], **arguments: Any) -> Any:
    text = await tools["rogue_echo"].call(arguments, key="k")
    assert isinstance(text, str)
    return json.loads(text.splitlines()[0])


# The desk


def desk(file: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "desk", str(file))


@contextlib.contextmanager
def desk_over_http(file: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*desk(file), "--http", str(port)], cwd=DESK, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            assert any("running on" in line for line in process.stderr), "the desk did not start"
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rows(tmp_path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(tmp_path / "desk.db")) as database:
        return [title for (title,) in database.execute("SELECT title FROM ticket ORDER BY number")]


async def use_desk(tools: dict[str, McpTool]) -> None:
    assert {name: tool.effects for name, tool in tools.items()} == {
        "desk_create_ticket": "keyed",
        "desk_get_ticket": "none",
        "desk_list_tickets": "none",
        "desk_add_note": "keyed",
    }
    create = tools["desk_create_ticket"]
    assert "idempotency_key" not in json.dumps(create.schema), "keys are no business of models"
    assert create.schema["required"] == ["title"]
    made: Any = await create.call({"title": "Refund late"}, key="k1")
    assert (made["number"], made["priority"]) == (1, "normal")
    assert await create.call({"title": "Refund late"}, key="k1") == made, "one key, one ticket"
    with pytest.raises(ToolUnavailable, match="idempotency key was used for something else"):
        await create.call({"title": "Another"}, key="k1")
    noted: Any = await tools["desk_add_note"].call({"number": 1, "text": "called"}, key="k2")
    again: Any = await tools["desk_add_note"].call({"number": 1, "text": "called"}, key="k2")
    assert [note["text"] for note in noted["notes"]] == [note["text"] for note in again["notes"]] == ["called"]
    with pytest.raises(ToolUnavailable, match="there is no ticket 7"):
        await tools["desk_get_ticket"].call({"number": 7}, key="k3")
    listed: Any = await tools["desk_list_tickets"].call({}, key="k4")
    assert [one["title"] for one in listed["tickets"]] == ["Refund late"]


async def test_the_desk_on_standard_input_and_output(tmp_path: Path) -> None:
    async with tools_of(command=desk(tmp_path / "desk.db"), folder=DESK) as tools:
        await use_desk(tools)
        (process,) = [one for one in psutil.Process().children() if "desk" in one.cmdline()]
    assert not process.is_running(), "it ends with the block"
    assert rows(tmp_path) == ["Refund late"]


async def test_the_desk_over_http_which_is_killed_and_comes_back(port: int, tmp_path: Path) -> None:
    file = tmp_path / "desk.db"
    with contextlib.ExitStack() as running:
        process = running.enter_context(desk_over_http(file, port))
        async with tools_of(url=f"http://127.0.0.1:{port}/mcp") as tools:
            await use_desk(tools)
            made: Any = await asyncio.gather(
                *(tools["desk_create_ticket"].call({"title": "At once"}, key=f"c{n % 2}") for n in range(10))
            )
            process.kill()
            process.wait()
            with pytest.raises(ToolUnavailable):
                await tools["desk_list_tickets"].call({}, key="k")
            running.enter_context(desk_over_http(file, port))
            listed: Any = await tools["desk_list_tickets"].call({}, key="k")
    assert len({one["number"] for one in made}) == 2
    assert rows(tmp_path) == ["Refund late", "At once", "At once"], "ten calls with two keys"
    assert len(listed["tickets"]) == 3


async def test_only_what_the_settings_allow_and_by_their_names(tmp_path: Path) -> None:
    async with tools_of(
        command=desk(tmp_path / "desk.db"),
        folder=DESK,
        tools=["create_ticket"],
        names={"create_ticket": "ticket"},
        effects={"create_ticket": "unkeyed"},
    ) as tools:
        assert {name: tool.effects for name, tool in tools.items()} == {"ticket": "unkeyed"}


async def test_a_tool_that_the_server_has_not_is_named_with_those_that_it_has(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no tool close_ticket: it has create_ticket, get_ticket"):
        async with tools_of(command=desk(tmp_path / "desk.db"), folder=DESK, tools=["close_ticket"]):
            pass


# A server that misbehaves


async def test_texts_are_the_result_and_the_key_is_in_meta() -> None:
    async with rogue("chatty") as tools:
        assert {tool.name: tool.effects for tool in tools.values()} == {
            "rogue_echo": "none",
            "rogue_act_twice": "unkeyed",
            "rogue_promise": "unkeyed",
        }
        text: Any = await tools["rogue_echo"].call({"a": 1}, key="k9")
    said, rest = text.splitlines()
    assert json.loads(said)["meta"]["stretto/idempotency-key"] == "k9"
    assert rest == "[image/png: left out, for it is no text]"


async def test_the_process_gets_the_variables_that_it_is_given_and_no_others() -> None:
    async with rogue(environment=["TOKEN"]) as tools:
        told = await echo(tools)
        environment = psutil.Process(told["pid"]).environ()
    assert told["variable"] == "canary-token"
    assert "canary-other" not in environment.values()


async def test_a_server_that_dies_in_a_call_fails_that_call_and_is_started_for_the_next() -> None:
    async with rogue() as tools:
        before = (await echo(tools))["pid"]
        with pytest.raises(ToolUnavailable, match="gone before it answered"):
            await echo(tools, do="die")
        assert (await echo(tools))["pid"] != before


async def test_a_server_that_is_killed_between_calls_is_started_again() -> None:
    async with rogue() as tools:
        process = psutil.Process((await echo(tools))["pid"])
        process.kill()
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    again = await echo(tools)
                except ToolUnavailable:  # its end was not noticed yet
                    continue
                break
    assert again["pid"] != process.pid


async def test_a_server_that_hangs_is_replaced_once_the_call_is_cut_off() -> None:
    async with rogue() as tools:
        before = (await echo(tools))["pid"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await echo(tools, do="hang")
        assert (await echo(tools))["pid"] != before


@pytest.mark.parametrize("how", ["junk", "long line"])
async def test_a_server_that_floods_is_ended(how: str, caplog: pytest.LogCaptureFixture) -> None:
    before_bytes = psutil.Process().memory_info().rss
    async with rogue() as tools:
        with pytest.raises(ToolUnavailable, match="gone before it answered"):
            await echo(tools, do=how)
        assert (await echo(tools))["pid"]
    assert psutil.Process().memory_info().rss - before_bytes < 100 * 1024 * 1024
    assert "it is ended" in caplog.text
    assert "xxxx" not in caplog.text
    assert "this is no message" not in caplog.text


async def test_what_it_writes_to_stderr_is_counted_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="stretto")
    async with rogue() as tools:
        await echo(tools, do="stderr")
    assert "wrote 5000 lines to stderr" in caplog.text
    assert "secret" not in caplog.text


async def test_results_that_are_not_as_promised_are_refused_without_their_content(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with rogue() as tools:
        assert await tools["rogue_promise"].call({"do": 3}, key="k") == {"n": 3}
        for wanted, tool in (("canary-7", "rogue_promise"), ("not MCP", "rogue_echo")):
            with pytest.raises(ToolResultWrong) as caught:
                await tools[tool].call({"do": wanted}, key="k")
            assert "canary" not in str(caught.value)
        assert (await echo(tools))["pid"], "the session goes on"
    assert "canary-7" not in caplog.text


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cannot", r"cannot be reached: \w+; its last words: no desk here, whatever \*\*\* says"),
        ("silent", "does not answer within 0.5 s"),
        ("endless", "lists its tools without end"),
    ],
)
async def test_a_server_that_cannot_be_used_says_why(how: str, said: str) -> None:
    limit_s = 0.5 if how == "silent" else 15
    with pytest.raises(ToolUnavailable, match=said):
        async with rogue(how, environment=["TOKEN"], connect_limit_s=limit_s):
            pass


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"command": ["no-such-program"]}, "cannot be reached: No such file or directory"),
        ({"url": "http://127.0.0.1:1/mcp"}, "cannot be reached: ConnectError"),
    ],
)
async def test_a_server_that_is_not_there_is_told_at_once(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolUnavailable, match=said):
        async with tools_of(**settings):
            pass


@pytest.mark.parametrize("size_bytes", [10, 10**9])
async def test_an_address_that_answers_junk_without_end_is_no_server(size_bytes: int, port: int) -> None:
    sent_bytes = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent_bytes
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size_bytes}\r\n\r\n"
        writer.write(head.encode())
        with contextlib.suppress(ConnectionError):
            while sent_bytes < size_bytes:
                writer.write(b"canary-9" * 100_000 if size_bytes > 100 else b"canary-9!!")
                sent_bytes += 800_000
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        with pytest.raises(ToolUnavailable) as caught:
            async with tools_of(url=f"http://127.0.0.1:{port}/mcp"):
                pass
    assert sent_bytes < 100_000_000
    assert "canary" not in str(caught.value)


async def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(SettingsError, match=r"tools\.desk needs DESK_TOKEN in the environment"):
        async with tools_of(url="http://127.0.0.1:1/mcp", headers={"Authorization": "DESK_TOKEN"}):
            pass
