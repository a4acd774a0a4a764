"""Dead letters as an operator handles them: real processes, one of them killed wherever a replay can be cut off."""

import asyncio
import base64
import signal
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.dead_letter_replay import REPLAY
from stretto.bus.dead_letters import DeadLetter
from stretto.bus.envelope import open_envelope
from stretto.bus.failpoints import VARIABLE
from stretto.bus.server import running
from stretto.bus.subjects import RunKey, Subjects, TaskKey
from stretto.bus.wire import Wire
from stretto.shared.settings import Settings
from tests.acceptance.command import Ran, Stretto
from tests.integration.ground import LIMIT_S
from tests.integration.ground_check import settled_ground

JUNK = b"\xc1\xff junk"
SUBJECTS = Subjects()


def request(tenant: str, run: str = "r1") -> str:
    return SUBJECTS.request(RunKey(0, tenant, run), "ann")


def task(tenant: str) -> str:
    return SUBJECTS.task(TaskKey(RunKey(0, tenant, "r1"), "researcher", "t1", 1))


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Stretto:
    return Stretto(tmp_path_factory.mktemp("user"))


@pytest.fixture(scope="module")
def up(user: Stretto) -> Iterator[None]:
    with user.start("up") as started:
        started.wait_for("ready")
        yield


@pytest.fixture
async def connection(user: Stretto, up: None) -> AsyncGenerator[Connection]:
    settings = Settings(data_dir=user.data_dir)
    url = await running(settings.data_dir)
    assert url is not None
    async with await Connection.open(settings.connection(url, name="test")) as connection:
        yield connection


async def bury(connection: Connection, subject: str, data: bytes = JUNK) -> int:
    """Send junk to the running system; return the number of its dead letter."""
    await connection.jetstream.store(subject, data)
    async with asyncio.timeout(LIMIT_S):
        while not (found := await connection.jetstream.read(SUBJECTS.stream("DEAD"), SUBJECTS.any_dead(subject))):
            pass
    return found[-1].seq


def dead(user: Stretto, *words: object) -> Ran:
    ran = user.run("dead", *map(str, words))
    assert "Traceback" not in ran.err
    return ran


async def test_an_operator_finds_looks_through_and_settles_dead_letters(user: Stretto, connection: Connection) -> None:
    assert dead(user, "list").err == "stretto: no such dead letter (0 unsettled in all)\n"
    subject = request("acme")
    first = await bury(connection, subject)
    second = await bury(connection, task("default"), b"a text")

    listed = dead(user, "list", "--json").data
    assert [one["number"] for one in listed["letters"]] == [second, first]
    assert listed["unsettled"] == 2
    assert [one["number"] for one in dead(user, "list", "--tenant", "acme", "--json").data["letters"]] == [first]
    assert [one["number"] for one in dead(user, "list", "--source", "task", "--json").data["letters"]] == [second]
    page = dead(user, "list", "--limit", 1, "--json").data
    assert [one["number"] for one in page["letters"]] == [second]
    assert [one["number"] for one in dead(user, "list", "--before", page["before"], "--json").data["letters"]] == [
        first
    ]
    table = dead(user, "list")
    assert subject in table.out
    assert "junk" not in table.out

    assert user.run("status", "--json").data["dead_letters"] == 2
    assert "2 unsettled" in user.run("doctor").out

    shown = dead(user, "show", first)
    assert subject in shown.out
    assert "junk" not in shown.out
    assert JUNK.hex(" ") in dead(user, "show", first, "--data").out
    assert "a text" in dead(user, "show", second, "--data").out
    data = dead(user, "show", first, "--data", "--json").data["letter"]
    assert (base64.b64decode(data["data_base64"]), data["kind"]) == (JUNK, "undecodable")

    assert dead(user, "replay", first).code == 0
    assert len(await letters_about_replays(connection, subject)) == 1, "it still cannot be read"
    again = dead(user, "replay", first)
    assert (again.code, again.out) == (2, "")
    assert "replayed already, by local" in again.err
    assert "replayed already" in dead(user, "discard", first).err

    assert dead(user, "discard", second).code == 0
    refused = dead(user, "replay", second, "--json")
    assert (refused.code, refused.data["error"]["kind"]) == (2, "AlreadySettled")
    assert dead(user, "discard", "--all").code == 0
    assert dead(user, "list", "--json").data == {"letters": [], "before": None, "unsettled": 0}
    assert len(dead(user, "list", "--settled", "--json").data["letters"]) == 3
    assert "none unsettled" in user.run("doctor").out


async def test_all_that_match_are_settled_and_what_cannot_be_is_told(user: Stretto, connection: Connection) -> None:
    numbers = [await bury(connection, request("bulk", f"r{number}")) for number in range(3)]
    hostile = await bury(connection, request("bulk").replace("r1", "\x01"))
    await bury(connection, request("another"))
    ran = dead(user, "replay", "--all", "--tenant", "bulk", "--json")
    assert ran.code == 1
    assert [one["number"] for one in ran.data["letters"]] == [*numbers, hostile], "the oldest first, and no others"
    assert [one["state"] for one in ran.data["letters"]] == ["replayed", "replayed", "replayed", "open"]
    assert "nobody may publish on such a subject" in ran.err
    nothing = dead(user, "discard", "--all", "--kind", "exhausted")
    assert (nothing.code, nothing.out) == (0, "0 of 0 letters are discarded\n")


@pytest.mark.parametrize("place", ["log", "queue"])
@pytest.mark.parametrize("where", ["dead.replay_begun", "dead.put_back"])
async def test_a_replay_that_is_killed_is_finished_by_the_next(
    user: Stretto, connection: Connection, place: str, where: str
) -> None:
    tenant = f"{place}-{where.rpartition('.')[2]}"
    number = await bury(connection, request(tenant) if place == "log" else task(tenant))
    environment = {VARIABLE: f"{where}=kill"}
    killed = Stretto(user.folder, user.variables | environment).run("dead", "replay", str(number))
    assert killed.code == -signal.SIGKILL
    letter = dead(user, "show", number, "--json").data["letter"]
    assert letter["state"] == "replaying"
    assert dead(user, "replay", number).code == 0
    assert "replayed already" in dead(user, "replay", number).err
    # What came back still cannot be read: each time that it was put back there is a letter about it.
    again = await letters_about_replays(connection, letter["origin"])
    assert [one.headers[REPLAY] for one in again] == [letter["id"]]
    assert [one.data for one in again] == [JUNK]
    await settled_ground(connection, Settings(data_dir=user.data_dir).deployment)
    assert len(await letters_about_replays(connection, letter["origin"])) == 1


async def letters_about_replays(connection: Connection, origin: str) -> list[DeadLetter]:
    """The letters about messages that were put back on `origin`, as soon as there is one."""
    wire = Wire(artifacts=Artifacts(connection=connection, subjects=SUBJECTS))
    async with asyncio.timeout(LIMIT_S):
        while True:
            there = await connection.jetstream.read(SUBJECTS.stream("DEAD"), SUBJECTS.any_dead(origin))
            letters = [open_envelope(await wire.unpack(one.data, one.headers), DeadLetter) for one in there]
            again = [letter for letter in letters if REPLAY in letter.headers]
            if again:
                return again


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("replay",), "say which: `stretto dead replay NUMBER...`, or --all"),
        (("discard", "1", "--all"), "say which"),
        (("replay", "1", "--tenant", "acme"), "say which"),
        (("list", "--since", "yesterday"), "write 15m, 2h, 7d, or a date"),
        (("list", "--tenant", "Acme Inc."), "tenant 'Acme Inc.' is not allowed"),
        (("list", "--kind", "odd"), "odd"),
        (("show", "first"), "letter"),
    ],
)
def test_wrong_usage_is_one_clear_line(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    ran = dead(Stretto(tmp_path), *words, "--json")
    assert (ran.code, message in ran.data["error"]["message"]) == (2, True), ran.err


async def test_a_number_without_a_letter_is_wrong_usage(user: Stretto, connection: Connection) -> None:
    for verb in ("show", "replay", "discard"):
        ran = dead(user, verb, 77)
        assert (ran.code, "there is no dead letter 77" in ran.err) == (2, True)


def test_without_a_system_it_says_so(tmp_path: Path) -> None:
    ran = dead(Stretto(tmp_path), "list")
    assert (ran.code, "nothing was asked yet" in ran.err) == (3, True)
