"""The README's snippets, run as they stand there."""

import asyncio
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stretto.bus.server import EmbeddedServer, ServerOptions
from tests.acceptance.command import Stretto

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def snippet(language: str, part: str) -> str:
    """The one block of this language that has `part` in it."""
    (found,) = [block for block in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if part in block]
    return str(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where somebody has written what the README says."""
    (tmp_path / "my_pkg").mkdir()
    (tmp_path / "my_pkg" / "shout.py").write_text(snippet("python", "class Shouter"))
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "loud.yaml").write_text(snippet("yaml", "name: loud"))
    # The default playbook, replaced: no specialist runs here.
    brief = snippet("yaml", "name: loud").replace("name: loud", "name: brief")
    (tmp_path / "playbooks" / "brief.yaml").write_text(brief)
    return tmp_path


async def test_an_agent_and_a_playbook_of_ones_own_and_the_python_client(folder: Path) -> None:
    async with EmbeddedServer(ServerOptions(data_dir=folder / "server")) as server:
        user = Stretto(folder).with_variables(nats_url=server.url, playbooks='["./playbooks"]')
        with user.start("supervisor", "run"), user.start("agent", "run", "my_pkg.shout:Shouter"):
            answer = user.run("ask", "hello", "--playbook", "loud", "--json", "--timeout", "40")
            assert answer.code == 0, answer.err
            assert answer.data["text"] == "HELLO"

            client = snippet("python", "asyncio.run(main())").replace("nats://127.0.0.1:4222", server.url)
            command = [sys.executable, "-c", client]
            done = await asyncio.to_thread(
                subprocess.run, command, env=user.environment, capture_output=True, text=True, timeout=60
            )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "HOW ARE REFUNDS HANDLED?"
    assert [line.split()[-1] for line in lines[:-1]] == ["request", "decision", "result", "answer"]


async def test_an_agent_that_asks_and_a_person_who_decides(folder: Path) -> None:
    (folder / "my_pkg" / "refund.py").write_text(snippet("python", "class Refunder"))
    loud = snippet("yaml", "name: loud")
    (folder / "playbooks" / "brief.yaml").write_text(
        loud.replace("name: loud", "name: brief").replace("shouter", "refunder")
    )
    decide = textwrap.indent(snippet("python", "stretto.approve("), "    ")
    script = f"""import asyncio
from stretto.shared.requester import connect
from stretto.shared.settings import load_settings


async def main() -> None:
{decide}

asyncio.run(main())
"""
    async with EmbeddedServer(ServerOptions(data_dir=folder / "server")) as server:
        user = Stretto(folder).with_variables(nats_url=server.url, playbooks='["./playbooks"]')
        with user.start("supervisor", "run"), user.start("agent", "run", "my_pkg.refund:Refunder"):
            asked = user.run("ask", "a broken lamp", "--json", "--timeout", "40")
            assert asked.code == 4, asked.err
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", script.replace("nats://127.0.0.1:4222", server.url)],
                env=user.environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            waited = user.run("runs", "wait", asked.data["run"], "--json", "--timeout", "40")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Shall this be refunded: a broken lamp? until 20")
    assert (waited.code, waited.data["text"]) == (0, "approved by local")


def test_the_commands_in_the_readme_exist() -> None:
    for command in sorted(set(re.findall(r"`stretto ((?:agent|inbox|memory|runs|supervisor) \w+|[a-z]+)", README))):
        words = command.split()
        shown = subprocess.run(
            [sys.executable, "-m", "stretto", *words, "--help"], capture_output=True, text=True, timeout=30
        )
        assert shown.returncode == 0, f"stretto {command}: {shown.stderr}"
