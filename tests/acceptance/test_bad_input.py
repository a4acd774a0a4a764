"""Bad input on a running system, as a stranger sends it: refused in plain words or kept as a dead letter; no run is the worse for it."""

import asyncio
from collections.abc import AsyncGenerator, Iterator

import psutil
import pytest

from stretto.bus.client import Client
from stretto.bus.codec import decode, encode
from stretto.bus.connection import Connection
from stretto.bus.dead_letters import DeadLetter
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import TooLarge
from stretto.bus.subjects import RunKey, Subjects
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.memory import MemoryFailure
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.request import MAX_REQUEST_CHARS, Request
from stretto.shared.requester import Requester
from stretto.shared.settings import Settings, SettingsError, load_settings
from tests.acceptance.command import HANDBOOK, LIMIT_S, Running, Stretto

SHOUT = """
from pydantic import BaseModel
from stretto.agents import Agent, TaskContext

class Text(BaseModel):
    text: str

class Shouter(Agent[Text, Text]):
    role = "shouter"
    description = "Says a text louder."

    async def handle(self, task: Text, ctx: TaskContext) -> Text:
        return Text(text=task.text.upper())
"""
LOUD = """
name: loud
description: Says the request louder, after somebody has looked it up.
roles: {shouter: Says a text louder.}
tasks:
  - {id: find, role: researcher}
  - {id: loud, role: shouter, inputs: {text: request, found: [find]}}
answer: loud
"""
QUESTION = "When is a refund paid?"

WHOLE = Envelope.of(Progress(kind="note", role="x"), tenant="default", run="loud-run", sender="local")
JUNK = {
    "binary": b"\xc1\x00\xffjunk",
    "json": b'{"type": ',
    "unknown-type": encode(WHOLE.model_copy(update={"type": "invoice"})),
    "unknown-major": encode(WHOLE.model_copy(update={"type": "answer", "version": "9.0"})),
}
"""What no reader can make anything of, by what is wrong with it."""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Stretto:
    """Somebody with a handbook, a playbook and an agent of his own."""
    folder = tmp_path_factory.mktemp("user")
    for name, text in {
        "handbook/refunds.md": HANDBOOK,
        "playbooks/loud.yaml": LOUD,
        "shout.py": SHOUT,
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return Stretto(folder).with_variables(playbooks='["playbooks"]', role_wait_s="600")


@pytest.fixture(scope="module")
def up(user: Stretto) -> Iterator[Running]:
    with user.start("up") as running:
        running.wait_for("ready")
        assert user.run("memory", "add", "handbook", "-q").code == 0
        yield running


@pytest.fixture
def settings(user: Stretto) -> Settings:
    return Settings(data_dir=user.data_dir)


@pytest.fixture
async def connection(user: Stretto, up: Running, settings: Settings) -> AsyncGenerator[Connection]:
    url = user.run("status", "--json").data["server"]["url"]
    async with await Connection.open(settings.connection(url, name="stranger")) as connection:
        yield connection


@pytest.fixture
def requester(connection: Connection, settings: Settings) -> Requester:
    return Requester(client=Client(connection=connection, deployment=settings.deployment, answer_type=Answer))


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_REQUEST_CHARS + 1)], ids=["empty", "blank", "oversized"])
async def test_the_client_refuses_a_request_that_is_none(requester: Requester, text: str) -> None:
    with pytest.raises(ValueError, match="text"):
        await requester.submit(text)


async def test_the_client_refuses_names_that_cannot_stand_in_a_subject(
    connection: Connection, requester: Requester, settings: Settings
) -> None:
    with pytest.raises(ValueError, match=r"run 'a\.b' is not allowed: use 1 to 64 of"):
        await requester.submit(QUESTION, run="a.b")
    with pytest.raises(ValueError, match="tenant '>' is not allowed"):
        Client(connection=connection, deployment=settings.deployment, tenant=">")
    with pytest.raises(SettingsError, match=r"principal.*use 1 to 64 of a-z"):
        load_settings(principal="Ann!")


async def test_what_is_too_large_for_the_server_is_refused_and_the_connection_goes_on(
    connection: Connection, requester: Requester
) -> None:
    subject = Subjects().request(RunKey(0, "default", "huge"), "local")
    with pytest.raises(TooLarge, match="over the server's limit"):
        await connection.jetstream.store(subject, bytes(connection.max_payload_bytes + 1))
    answer = await requester.ask(QUESTION, timeout_s=LIMIT_S)
    assert answer.state == "completed"
    assert answer.citations[0].source == "handbook/refunds.md"


async def test_junk_on_every_subject_is_kept_and_changes_no_answer(
    user: Stretto, up: Running, connection: Connection, requester: Requester, settings: Settings
) -> None:
    parts = {process.pid for process in up.family()}
    subjects = settings.deployment.subjects
    # The run is under way: one of its tasks is done, the other waits for an agent.
    run = await requester.submit(Request(text="hello", playbook="loud"), run="loud-run")
    async for event in requester.events(run):
        if isinstance(event.message, Progress) and event.message.kind == "waiting":
            break
    key = RunKey.of("default", run, settings.shards)
    place, shard = subjects.run(key), f"{subjects.prefix}.run.{key.shard}"
    buried: list[tuple[str, bytes]] = []
    for name, data in JUNK.items():
        delivered = (
            f"{place}.request.{name}",
            f"{place}.result.shouter.loud.1",
            f"{place}.result.researcher.{name}.1",
            f"{place}.command.local.{name}",
            f"{place}.timer.{name}",
            f"{shard}.Tenant-{name}.run.request.local",
            f"{place}.request.local.{name}",
            f"{subjects.prefix}.task.researcher.default.{run}.{name}.1",
        )
        only_stored = (
            f"{place}.decision",
            f"{place}.answer",
            f"{place}.schedule.{name}",
            f"{subjects.prefix}.step.{key.shard}.default.{run}.shouter.loud.1.{name}",
            f"{subjects.prefix}.dead.{name}",
        )
        heard = (
            subjects.progress(key, "shouter"),
            subjects.beat("shouter", name),
            subjects.roll_call(),
            f"{subjects.log(key)}.answer",
        )
        for subject in (*delivered, *only_stored):
            await connection.jetstream.store(subject, data)
        for subject in heard:
            await connection.publish(subject, data)
        for verb in ("search", "add", "forget", name):
            reply = decode((await connection.request(subjects.memory("default", verb), data)).data)
            assert open_envelope(reply, MemoryFailure).message
        buried += [(subject, data) for subject in delivered]

    letters = await dead_letters(connection, subjects, len(buried))
    assert sorted((letter.origin, letter.data) for letter in letters) == sorted(buried)
    assert all(letter.reason for letter in letters)

    # What stands in the way of a run that is yet to come does not count either.
    other = RunKey.of("default", "other-run", settings.shards)
    for data in JUNK.values():
        await connection.jetstream.store(subjects.decision(other), data)
        await connection.jetstream.store(subjects.answer(other), data)
    assert (await requester.ask(QUESTION, run="other-run", timeout_s=LIMIT_S)).state == "completed"

    with user.start("agent", "run", "shout:Shouter") as agent:
        answer = await requester.result(run, timeout_s=LIMIT_S)
        assert (answer.state, answer.text) == ("completed", "HELLO")
        agent.process.terminate()
        assert agent.end().code == 0
    assert {process.pid for process in up.family()} == parts, "nobody has died of it"
    assert user.run("doctor").code == 0
    assert user.run("status", "--json").data["open_runs"] == 0


async def test_a_run_goes_on_when_the_server_dies_and_comes_back(
    user: Stretto, up: Running, requester: Requester
) -> None:
    run = await requester.submit(Request(text="hello again", playbook="loud"))
    (server,) = [one for one in up.family() if one.name() == "nats-server"]
    server.kill()
    up.wait_for("nats-server ended")
    with user.start("agent", "run", "shout:Shouter"):
        answer = await requester.result(run, timeout_s=LIMIT_S)
    assert (answer.state, answer.text) == ("completed", "HELLO AGAIN")


def test_a_question_is_answered_although_the_server_of_its_own_system_dies(user: Stretto, up: Running) -> None:
    other = Stretto(user.folder, user.variables | {"STRETTO_DATA_DIR": str(user.folder / "own")})
    with other.start("ask", "hello", "--docs", "handbook", "--playbook", "loud") as asking:
        asking.wait_for("nobody serves shouter")
        server = next(one for one in asking.family() if one.name() == "nats-server")
        server.kill()
        psutil.wait_procs([server], timeout=LIMIT_S)
        asking.wait_for("started again")
        with other.start("agent", "run", "shout:Shouter"):
            ran = asking.end()
    assert (ran.code, ran.out) == (0, "HELLO\n"), ran.err
    assert "Traceback" not in ran.err


async def dead_letters(connection: Connection, subjects: Subjects, count: int) -> list[DeadLetter]:
    """The dead letters, as soon as there are so many."""
    letters: list[DeadLetter] = []
    async with asyncio.timeout(LIMIT_S):
        while len(letters) < count:
            stored = await connection.jetstream.read(subjects.stream("DEAD"), f"{subjects.prefix}.dead.>")
            # Junk was sent to the dead letters themselves, too.
            letters = [open_envelope(decode(one.data), DeadLetter) for one in stored if one.data not in JUNK.values()]
    return letters
