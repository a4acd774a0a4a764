"""Messages that should not be there: poison, what was sent before, and what is as large as it may be or larger."""

import contextlib
import random

import msgpack
import pytest
from nats.aio.msg import Msg

from stretto.bus.artifacts import INLINE_LIMIT_BYTES
from stretto.bus.codec import MAX_DEPTH, encode
from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import Busy, TooLarge
from stretto.bus.subjects import RunKey
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.progress import Progress
from tests.chaos.agents import How
from tests.chaos.invariants import check
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import System, until

pytestmark = pytest.mark.chaos
LARGE_BYTES = 8 * 2**20
WHOLE = Envelope.of(Progress(kind="note", role="think"), tenant="default", run="any", sender="nemesis")


def poison(rng: random.Random) -> dict[str, bytes]:
    """What nobody can read, by what is wrong with it."""
    nested: object = "deep"
    for _ in range(2 * MAX_DEPTH):
        nested = [nested]
    return {
        "random": rng.randbytes(rng.randint(1, 4_000)),
        "empty": b"",
        "nested": msgpack.packb({"type": "result", "body": nested}),
        "major": encode(WHOLE.model_copy(update={"type": "result", "version": "9.0"})),
        "stranger": encode(WHOLE.model_copy(update={"type": "result", "tenant": "other"})),
    }


def places(system: System, key: RunKey, number: int) -> list[str]:
    """Subjects that somebody reads, none of them taken."""
    run = system.deployment.subjects.run(key)
    return [
        f"{run}.request.stranger-{number}",
        f"{run}.result.think.left.{number + 100}",
        f"{run}.result.think.left.many-{number}",
        f"{run}.command.stranger.c-{number}",
        f"{run}.timer.t-{number}",
        f"{run}.question.think.left.1.{number + 100}",
        f"stretto.run.0.default.stranger-{number}-{key.run}.request.local",
        f"stretto.task.think.default.{key.run}.left.1.{number + 100}",
    ]


async def test_poison_is_dead_and_harms_nobody(
    system: System, load: Load, reader: Reader, connection: Connection, rng: random.Random
) -> None:
    runs = await load.submit_many(4, How(call_s=0.2))
    for number, data in enumerate(poison(rng).values()):
        for subject in places(system, load.client.key(rng.choice(runs)), number):
            system.ledger.poison(subject)
            await connection.jetstream.store(subject, data)
    runs += await load.submit_many(4)
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)


async def test_a_handler_that_kills_its_process_is_given_up(
    system: System, load: Load, reader: Reader, nemesis: Nemesis
) -> None:
    system.start("doomed-1", agent="tests.chaos.agents:Doomed")
    try:
        async with nemesis.reviving():
            doomed = await load.submit(playbook="doomed", ends="failed")
            system.ledger.poison(f"stretto.task.doom.default.{doomed}.only.1.0")
            runs = await load.submit_many(4)
            await load.answered([doomed, *runs], limit_s=system.heal_s)
    finally:
        system.forget("doomed-1")
    await check(system, reader)


async def test_what_was_sent_before_changes_nothing(
    system: System, load: Load, reader: Reader, connection: Connection, nemesis: Nemesis
) -> None:
    traffic: list[Msg] = []

    async def note(msg: Msg) -> None:
        traffic.append(msg)

    for family in ("run", "task", "step"):
        await connection.subscribe(f"stretto.{family}.>", note)
    runs = await load.submit_many(6)
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)
    captured = list(traffic)
    assert {msg.subject.split(".")[1] for msg in captured} >= {"run", "task"}
    stored = len(await reader.read())

    for _ in ("while it is fresh", "after a restart"):
        for msg in captured:
            await connection.publish(msg.subject, msg.data, headers=msg.headers)
        await connection.client.flush()
        assert len(await reader.read()) == stored, "what was stored once was stored again"
        await nemesis.kill_server()
        await until(lambda: connection.is_connected, "connected again")

    # A task or a request without its condition is stored once more, and is done all the same.
    for msg in captured:
        if ".request." in msg.subject or ".task." in msg.subject:
            with contextlib.suppress(Busy):  # a queue takes each task once until it is acknowledged
                await connection.jetstream.store(msg.subject, msg.data)
    await check(system, reader)


@pytest.mark.parametrize("over", [-1, 0, 1])
async def test_requests_of_the_size_from_which_on_they_go_by_reference(
    system: System, load: Load, reader: Reader, over: int
) -> None:
    def size_of(ballast: int) -> int:
        request = load.request("x" * 20, ballast="x" * ballast)
        return len(encode(Envelope.of(request, tenant="default", run="x" * 20, sender="local")))

    half = INLINE_LIMIT_BYTES // 2
    ballast = half + INLINE_LIMIT_BYTES + over - size_of(half)
    assert size_of(ballast) == INLINE_LIMIT_BYTES + over
    run = await load.submit(ballast="x" * ballast, run="x" * 19 + str(over + 1))
    await load.answered([run], limit_s=system.heal_s)
    await check(system, reader)


@pytest.mark.parametrize("over", [-1, 0, 1])
async def test_messages_of_the_largest_size_of_the_server(
    system: System, load: Load, reader: Reader, connection: Connection, over: int
) -> None:
    key = load.client.key(f"largest-{over + 1}")
    request = load.request(key.run).model_dump_json()
    data = f'{{"type": "request", "body": {request}}}'.encode().ljust(connection.max_payload_bytes + over)
    system.ledger.submit(key.run, ends="completed")
    subject = system.deployment.subjects.request(key, "local")
    if over > 0:
        with pytest.raises(TooLarge):
            await connection.jetstream.store(subject, data)
    else:
        await connection.jetstream.store(subject, data)
        system.ledger.acknowledge(key.run)
        await load.answered([key.run], limit_s=system.heal_s)
    await check(system, reader)


async def test_eight_megabytes_go_in_and_out_by_reference(system: System, load: Load, reader: Reader) -> None:
    run = await load.submit(
        How(size=LARGE_BYTES), playbook="alone", text="[x]".ljust(LARGE_BYTES, "."), ballast="x" * LARGE_BYTES, run="x"
    )
    await load.answered([run], limit_s=system.heal_s)
    answer = open_envelope(await load.client.result(run), Answer)
    assert (answer.state, len(str((answer.output or {}).get("text", answer.text)))) == ("completed", LARGE_BYTES)
    await check(system, reader)
