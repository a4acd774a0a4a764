"""A wrong set-up: settings, playbooks, agents, files and addresses that cannot be used are told in one line, with what to do."""

import os
import socket
from pathlib import Path

import pytest

from tests.acceptance.command import HANDBOOK, Ran, Stretto

AGENT = """
from pydantic import BaseModel
from stretto.agents import Agent, TaskContext

class Text(BaseModel):
    text: str

class Mine(Agent[Text, Text]):
    role = "mine"
    description = "does it"

    async def handle(self, task: Text, ctx: TaskContext) -> Text:
        return task
"""
HANDLE = AGENT[AGENT.index("    async def") :]
AGENTS = {
    "does not import": (
        "import os\nos.environ['MY_KEY']\n",
        "mine cannot be imported: KeyError: 'MY_KEY' (mine.py, line 2)",
    ),
    "is no Python": ("def x(:\n", "mine cannot be imported: SyntaxError: invalid syntax (mine.py, line 1)"),
    "needs what is not there": ("import no_such_package.part\n", "mine needs the module no_such_package"),
    "has no such class": ("x = 1\n", "mine:Mine is no agent"),
    "is no class": ("Mine = 1\n", "mine:Mine is no agent"),
    "has a bad role": (AGENT.replace('"mine"', '"My Role!"'), "role 'My Role!' is not allowed: use 1 to 64 of a-z"),
    "has no text for a role": (AGENT.replace('"mine"', "5"), "Mine.role is 5: it must be a string"),
    "has a service's role": (AGENT.replace('"mine"', '"supervisor"'), "has the role 'supervisor'"),
    "has no role": (AGENT.replace('role = "mine"', ""), "has no role: set `role` and `description`"),
    "has no description": (AGENT.replace('"does it"', '""'), "Mine.description is missing"),
    "has no types": (AGENT.replace("Agent[Text, Text]", "Agent"), "must name its types"),
    "takes no tasks": (AGENT.replace("    async", "    slots = 0\n\n    async"), "Mine.slots is 0: at least 1"),
    "does nothing": (AGENT.replace(HANDLE, ""), "abstract method handle"),
    "cannot be made": (
        AGENT + "\n    def __init__(self) -> None:\n        raise OSError('no key')\n",
        "OSError: no key (mine.py",
    ),
}

SETTINGS = {
    "no TOML": ('tenant = "acme', "the settings file stretto.toml cannot be read: it is no TOML"),
    "not a text": ("\udcff\udcfe", "the settings file stretto.toml cannot be read"),
    "wrong types": (
        'shards = "many"\nprefix = 3',
        "prefix (in stretto.toml): Input should be a valid string; shards (in",
    ),
    "bad tenant": ('tenant = "Acme Inc."', "tenant (in stretto.toml): use 1 to 64 of a-z, 0-9, _ and -"),
    "unknown setting": ("shrads = 2", "stretto.toml has the unknown setting 'shrads': did you mean 'shards'?"),
}

VARIABLES = {
    "bad tenant": ({"tenant": "Acme Inc."}, 2, "tenant (STRETTO_TENANT): use 1 to 64 of a-z, 0-9, _ and -"),
    "bad prefix": ({"prefix": "a.b"}, 2, "prefix (STRETTO_PREFIX): use 1 to 64"),
    "no list": ({"playbooks": "mine"}, 2, "write it as JSON, as in STRETTO_PLAYBOOKS="),
    "no directory": ({"data_dir": "handbook/refunds.md"}, 3, "handbook/refunds.md cannot be used: File exists"),
    "below a file": ({"data_dir": "handbook/refunds.md/data"}, 3, "cannot be used: Not a directory"),
    "no server at all": ({"nats_server": "/nowhere"}, 3, "there is no nats-server at /nowhere: correct the path"),
    "no program": (
        {"nats_server": "handbook/refunds.md"},
        3,
        "handbook/refunds.md does not run here (Permission denied)",
    ),
}


@pytest.fixture
def user(tmp_path: Path) -> Stretto:
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook" / "refunds.md").write_text(HANDBOOK, encoding="utf-8")
    return Stretto(tmp_path)


def assert_told(ran: Ran, code: int, message: str) -> None:
    assert ran.code == code, ran.err
    told = ran.err.strip().splitlines()[-1]
    assert told.startswith("stretto: ")
    assert message in told
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(("source", "message"), AGENTS.values(), ids=AGENTS)
def test_an_agent_that_cannot_be_run_is_told(user: Stretto, source: str, message: str) -> None:
    (user.folder / "mine.py").write_text(source, encoding="utf-8")
    assert_told(user.with_variables(log_format="text").run("agent", "run", "mine:Mine"), 2, message)


@pytest.mark.parametrize(("text", "message"), SETTINGS.values(), ids=SETTINGS)
def test_a_wrong_settings_file_is_named(user: Stretto, text: str, message: str) -> None:
    (user.folder / "stretto.toml").write_bytes(os.fsencode(text))
    assert_told(user.run("status"), 2, message)


@pytest.mark.parametrize(("variables", "code", "message"), VARIABLES.values(), ids=VARIABLES)
def test_a_wrong_variable_is_named(user: Stretto, variables: dict[str, str], code: int, message: str) -> None:
    assert_told(user.with_variables(**variables).run("up"), code, message)


def test_a_wrong_playbook_is_told_with_its_line_to_whoever_asks_and_to_whoever_keeps_the_system_up(
    user: Stretto,
) -> None:
    (user.folder / "mine").mkdir()
    playbook = user.folder / "mine" / "bad.yaml"
    playbook.write_text("name: bad\ndescription: d\ntasks:\n  - {id: a, role: nobody}\nanswer: a\n", encoding="utf-8")
    theirs = user.with_variables(playbooks='["mine"]')

    assert_told(theirs.run("ask", "why?", "-q"), 2, "mine/bad.yaml:4: task a has the unknown role 'nobody'")
    with theirs.start("up") as up:
        up.wait_for(r"supervisor ended: mine/bad\.yaml:4: task a has the unknown role 'nobody'")
        playbook.unlink()
        up.wait_for("ready")


def test_an_address_where_something_else_listens_is_no_server(user: Stretto) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        assert_told(user.with_variables(nats_url=url).run("ask", "why?", "-q"), 3, f"no NATS server answers at {url}")


def test_what_cannot_be_searched_for_is_refused(user: Stretto) -> None:
    assert_told(user.run("memory", "search", "why " * 10_000), 2, "that cannot be searched for: query:")


def test_documents_that_cannot_be_read_are_told_and_the_others_are_used(user: Stretto) -> None:
    folder = user.folder / "handbook"
    (folder / "junk.pdf").write_bytes(b"\xc1\x00\xffjunk")
    (folder / "junk.md").write_bytes(bytes(range(256)) * 8)
    (folder / "gone.md").symlink_to(user.folder / "nowhere")
    os.mkfifo(folder / "pipe.md")
    latin = os.fsencode(folder) + b"/caf\xe9.md"
    Path(os.fsdecode(latin)).write_text("The coffee is served at nine.", encoding="utf-8")

    ran = user.run("ask", "When is the coffee served?", "--docs", "handbook")

    assert ran.code == 0, ran.err
    assert ran.out.startswith("The coffee is served at nine. [1]\n")
    assert r"handbook/caf\xe9.md" in ran.out
    assert "handbook/junk.pdf was not read: it is not a PDF that can be read" in ran.err
    assert "handbook/junk.md was not read: it is not text in any known encoding" in ran.err
    assert "pypdf" not in ran.err
