"""Replay: a message goes back where it came from exactly once, wherever a replay is cut off and whoever else does it at the same time."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from stretto.bus.dead_letter_office import DeadLetterOffice, KeptLetter, LetterFilter
from stretto.bus.dead_letter_replay import REPLAY, DeadLetterReplay
from stretto.bus.dead_letters import DeadLetter, DeadLetters
from stretto.bus.delivery import Ack, Delivery, Disposition
from stretto.bus.errors import AlreadySettled, Busy, CannotReplay, StreamMissing, Unreachable
from stretto.bus.jetstream import Stored
from stretto.bus.settlements import LetterState, Settlements, Standing
from stretto.bus.subjects import TaskKey
from tests.integration.ground import LIMIT_S, Ground, MortalServer, Note, Running, open_ground, wrap

ROLE = "worker"
JUNK = b"\x00\xffjunk"
HEADERS = {
    "Kind": "odd",
    "Content-Type": "application/json",
    "Nats-Expected-Last-Subject-Sequence": "0",
    "Nats-Msg-Id": "once",
    "nats-expected-stream": "ANOTHER",
}
PLACES = ("log", "queue")


@dataclass
class Office:
    """An operator's desk, on which a replay can be cut off."""

    ground: Ground
    principal: str = "ann"
    settlements: Settlements = field(init=False)

    def __post_init__(self) -> None:
        self.settlements = Settlements(
            connection=self.ground.connection,
            subjects=self.ground.subjects,
            wire=self.ground.wire,
            principal=self.principal,
        )

    def replay(self, settlements: Settlements | None = None) -> DeadLetterReplay:
        return DeadLetterReplay(
            connection=self.ground.connection,
            deployment=self.ground.deployment,
            wire=self.ground.wire,
            settlements=settlements or self.settlements,
            result_type=Note,
        )

    async def letters(self, *states: LetterState) -> list[KeptLetter]:
        """The letters that stand so, the newest first."""
        desk = DeadLetterOffice(
            connection=self.ground.connection,
            subjects=self.ground.subjects,
            wire=self.ground.wire,
            settlements=self.settlements,
        )
        return await desk.newest(LetterFilter(states=states or ("open", "replaying")), limit=100)

    async def discard(self, kept: KeptLetter) -> None:
        await self.settlements.write(kept.id, "discarded", allowed=("open",))

    async def cut_off_before(self, kept: KeptLetter, state: LetterState) -> None:
        """Replay until just before this settlement is written, as a process that dies there does."""
        with pytest.raises(Unreachable):
            await self.replay(CutOff(self.settlements, state)).replay(kept)

    async def refreshed(self, kept: KeptLetter) -> KeptLetter:
        return replace(kept, standing=await self.settlements.of(kept.id))


class CutOff(Settlements):
    """Settlements of a process that dies before it writes one of them."""

    def __init__(self, settlements: Settlements, state: LetterState) -> None:
        self._settlements = settlements
        self._last = state

    async def write(self, letter: str, state: LetterState, *, allowed: tuple[LetterState, ...]) -> Standing:
        if state == self._last:
            raise Unreachable("the process is gone")
        return await self._settlements.write(letter, state, allowed=allowed)


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, queue_limit=3, task_lease_s=1.0) as ground:
        await ground.queue.provision(ROLE)
        yield ground


@pytest.fixture
def office(ground: Ground) -> Office:
    return Office(ground)


def subject_of(ground: Ground, place: str) -> tuple[str, str]:
    """Where messages go in, and the stream that keeps them."""
    if place == "log":
        return ground.subjects.request(ground.key(), "ann"), ground.shard
    return ground.subjects.task(TaskKey(ground.key(), ROLE, "t1", 1)), ground.subjects.tasks_stream(ROLE)


async def bury(ground: Ground, subject: str, stream: str, *, data: bytes = JUNK) -> Stored:
    """Store a message, give it up and, in a queue, have it acknowledged, as an agent or a supervisor does."""
    seq = await ground.connection.jetstream.store(subject, data, headers=HEADERS | {"nats-expected-stream": stream})
    stored = await ground.connection.jetstream.get(stream, seq)
    assert stored is not None
    dead = DeadLetters(connection=ground.connection, subjects=ground.subjects, wire=ground.wire, sender="s1")
    await dead.keep(stored, stream=stream, kind="undecodable", reason="for tests")
    if stream != ground.shard:
        await taken_off(ground, stream, seq)
    return stored


async def taken_off(ground: Ground, stream: str, seq: int) -> None:
    """Acknowledge a queued message, as the agent that is done with it does."""
    assert (await ground.connection.jetstream.api(f"STREAM.MSG.DELETE.{stream}", {"seq": seq}))["success"]


async def one_letter(ground: Ground, office: Office, place: str) -> tuple[KeptLetter, str]:
    """One letter, and the stream that its message came from."""
    subject, stream = subject_of(ground, place)
    await bury(ground, subject, stream)
    (kept,) = await office.letters()
    return kept, stream


async def came_back(ground: Ground, kept: KeptLetter) -> list[Stored]:
    """What was put back and lies there."""
    there = await ground.connection.jetstream.read(kept.letter.stream, kept.letter.origin)
    return [one for one in there if REPLAY in one.headers]


async def last_seq(ground: Ground, stream: str) -> int:
    return int((await ground.connection.jetstream.api(f"STREAM.INFO.{stream}"))["state"]["last_seq"])


@pytest.mark.parametrize("place", PLACES)
async def test_the_message_is_back_as_it_was(ground: Ground, office: Office, place: str) -> None:
    kept, _ = await one_letter(ground, office, place)
    await office.replay().replay(kept)
    (back,) = await came_back(ground, kept)
    assert (back.subject, back.data) == (kept.letter.origin, JUNK)
    assert (back.headers["Kind"], back.headers["Content-Type"]) == ("odd", "application/json")
    assert back.headers.get("Nats-Msg-Id") != "once"
    assert "nats-expected-stream" not in back.headers
    (settled,) = await office.letters("replayed")
    assert (settled.number, settled.standing.by) == (kept.number, "ann")
    assert settled.letter.headers["Nats-Msg-Id"] == "once", "the letter says how it was"


async def test_a_message_that_was_put_back_is_delivered(ground: Ground, office: Office) -> None:
    kept, _ = await one_letter(ground, office, "queue")
    came: asyncio.Queue[Delivery] = asyncio.Queue()

    async def take(delivery: Delivery) -> Disposition:
        came.put_nowait(delivery)
        return Ack()

    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.queue.consumer(ROLE, slots=1), take)
        await office.replay().replay(kept)
        async with asyncio.timeout(LIMIT_S):
            assert (await came.get()).data == JUNK
        await running.stop()
    await ground.settled(ground.subjects.tasks_stream(ROLE), 0)


@pytest.mark.parametrize("place", PLACES)
async def test_a_second_replay_is_refused(ground: Ground, office: Office, place: str) -> None:
    kept, stream = await one_letter(ground, office, place)
    await office.replay().replay(kept)
    last = await last_seq(ground, stream)
    for letter in (kept, await office.refreshed(kept)):
        with pytest.raises(AlreadySettled, match="replayed already, by ann"):
            await Office(ground, "bob").replay().replay(letter)
    with pytest.raises(AlreadySettled, match="replayed already"):
        await office.discard(kept)
    assert await last_seq(ground, stream) == last


@pytest.mark.parametrize("place", PLACES)
async def test_a_discarded_letter_is_not_replayed(ground: Ground, office: Office, place: str) -> None:
    kept, stream = await one_letter(ground, office, place)
    await office.discard(kept)
    last = await last_seq(ground, stream)
    with pytest.raises(AlreadySettled, match="discarded already"):
        await office.replay().replay(kept)
    assert await last_seq(ground, stream) == last


@pytest.mark.parametrize("place", PLACES)
async def test_many_at_once_put_it_back_once(ground: Ground, office: Office, place: str) -> None:
    kept, stream = await one_letter(ground, office, place)
    last = await last_seq(ground, stream)
    desks = [Office(await ground.again(), f"p{number}") for number in range(6)]
    outcomes = await asyncio.gather(*(desk.replay().replay(kept) for desk in desks), return_exceptions=True)
    assert None in outcomes
    assert all(one is None or isinstance(one, AlreadySettled) for one in outcomes), outcomes
    assert await last_seq(ground, stream) == last + 1
    assert len(await came_back(ground, kept)) == 1


# Cut off


@pytest.mark.parametrize("place", PLACES)
async def test_cut_off_before_it_began_it_is_as_if_it_had_not(ground: Ground, office: Office, place: str) -> None:
    kept, _ = await one_letter(ground, office, place)
    await office.cut_off_before(kept, "replaying")
    assert [one.standing.state for one in await office.letters()] == ["open"]
    assert await came_back(ground, kept) == []
    await office.replay().replay(kept)
    assert len(await came_back(ground, kept)) == 1


@pytest.mark.parametrize("place", PLACES)
async def test_cut_off_before_the_message_is_back_it_is_put_back(ground: Ground, office: Office, place: str) -> None:
    kept, _ = await one_letter(ground, office, place)
    await office.settlements.write(kept.id, "replaying", allowed=("open",))
    (found,) = await office.letters()
    assert found.standing.state == "replaying"
    with pytest.raises(AlreadySettled, match="replay it again"):
        await office.discard(found)
    await office.replay().replay(found)
    assert len(await came_back(ground, kept)) == 1


@pytest.mark.parametrize("place", PLACES)
async def test_cut_off_when_the_message_is_back_it_is_not_doubled(ground: Ground, office: Office, place: str) -> None:
    kept, stream = await one_letter(ground, office, place)
    await office.cut_off_before(kept, "replayed")
    last = await last_seq(ground, stream)
    await office.replay().replay(await office.refreshed(kept))
    assert (await last_seq(ground, stream), len(await came_back(ground, kept))) == (last, 1)
    assert [one.number for one in await office.letters("replayed")] == [kept.number]


async def test_cut_off_and_taken_from_the_queue_since_it_is_not_doubled(ground: Ground, office: Office) -> None:
    kept, stream = await one_letter(ground, office, "queue")
    await office.cut_off_before(kept, "replayed")
    last = await last_seq(ground, stream)
    await taken_off(ground, stream, last)
    await office.replay().replay(await office.refreshed(kept))
    assert (await last_seq(ground, stream), await came_back(ground, kept)) == (last, [])


@pytest.mark.parametrize("trace", ["result", "letter"])
async def test_a_server_that_forgot_it_is_told_by_what_it_left_behind(tmp_path: Path, trace: str) -> None:
    """A restarted server does not know the ids of what is acknowledged in a queue: nothing but its trace says that it was back."""
    async with MortalServer(tmp_path) as server, open_ground(server.url, "traces") as ground:
        await ground.queue.provision(ROLE)
        office = Office(ground)
        kept, stream = await one_letter(ground, office, "queue")
        await office.cut_off_before(kept, "replayed")
        last = await last_seq(ground, stream)
        if trace == "result":
            key = TaskKey(ground.key(), ROLE, "t1", 1)
            await ground.log.append(key.run, ground.subjects.result(key), wrap(Note(), key.run), after=0)
            await taken_off(ground, stream, last)
        else:
            dead = DeadLetters(connection=ground.connection, subjects=ground.subjects, wire=ground.wire, sender="s2")
            (back,) = await came_back(ground, kept)
            await dead.keep(back, stream=stream, kind="undecodable", reason="still")
            await taken_off(ground, stream, last)
        await server.kill()
        await server.restart()
        await ground.settled(stream, 0)
        await office.replay().replay(await office.refreshed(kept))
        await ground.settled(stream, 0)
        assert [one.number for one in await office.letters("replayed")] == [kept.number]
        assert len(await office.letters()) == (trace == "letter")


# What stands in the way


async def test_an_attempt_that_has_its_result_is_not_queued_again(ground: Ground, office: Office) -> None:
    kept, stream = await one_letter(ground, office, "queue")
    key = TaskKey(ground.key(), ROLE, "t1", 1)
    await ground.log.append(key.run, ground.subjects.result(key), wrap(Note(), key.run), after=0)
    with pytest.raises(CannotReplay, match="this attempt has its result"):
        await office.replay().replay(kept)
    assert [one.standing.state for one in await office.letters()] == ["open"]
    await ground.settled(stream, 0)


async def test_a_queue_that_has_another_message_there_is_busy_for_now(ground: Ground, office: Office) -> None:
    kept, stream = await one_letter(ground, office, "queue")
    seq = await ground.connection.jetstream.store(kept.letter.origin, b"another")
    with pytest.raises(Busy, match="another message just now"):
        await office.replay().replay(kept)
    assert [one.standing.state for one in await office.letters()] == ["open"]
    await taken_off(ground, stream, seq)
    await office.replay().replay(kept)
    assert len(await came_back(ground, kept)) == 1


async def test_a_full_queue_leaves_the_letter_open(ground: Ground, office: Office) -> None:
    kept, stream = await one_letter(ground, office, "queue")
    others = [f"{ground.subjects.prefix}.task.{ROLE}.default.r2.t{number}.1.0" for number in range(3)]
    seqs = [await ground.connection.jetstream.store(subject, b"x") for subject in others]
    with pytest.raises(Busy, match="is full"):
        await office.replay().replay(kept)
    assert [one.standing.state for one in await office.letters()] == ["open"]
    await taken_off(ground, stream, seqs[0])
    await office.replay().replay(kept)
    assert len(await came_back(ground, kept)) == 1


async def test_a_queue_that_is_gone_leaves_the_letter_open(ground: Ground, office: Office) -> None:
    kept, stream = await one_letter(ground, office, "queue")
    await ground.connection.jetstream.api(f"STREAM.DELETE.{stream}")
    with pytest.raises(StreamMissing):
        await office.replay().replay(kept)
    assert [one.standing.state for one in await office.letters()] == ["open"]


async def test_others_on_the_subject_of_a_run_are_no_hindrance(ground: Ground, office: Office) -> None:
    kept, stream = await one_letter(ground, office, "log")
    await ground.connection.jetstream.store(kept.letter.origin, b"another")
    await office.replay().replay(kept)
    assert await last_seq(ground, stream) == 3
    assert len(await came_back(ground, kept)) == 1


async def test_what_is_given_up_again_is_another_letter(ground: Ground, office: Office) -> None:
    kept, stream = await one_letter(ground, office, "log")
    dead = DeadLetters(connection=ground.connection, subjects=ground.subjects, wire=ground.wire, sender="s1")
    await office.replay().replay(kept)
    (back,) = await came_back(ground, kept)
    await dead.keep(back, stream=stream, kind="undecodable", reason="still")
    (again,) = await office.letters()
    assert (again.letter.data, again.letter.headers[REPLAY]) == (JUNK, kept.id)
    await office.replay().replay(again)
    assert [one.headers[REPLAY] for one in await came_back(ground, kept)] == [kept.id, again.id]


# Hostile letters


@pytest.mark.parametrize("forged", ["data", "seq"])
async def test_a_letter_that_the_runs_log_does_not_bear_out_is_refused(
    ground: Ground, office: Office, forged: str
) -> None:
    """Whoever may give up messages could otherwise have an operator write anything into anybody's run."""
    kept, stream = await one_letter(ground, office, "log")
    changed = {"data": b"evil"} if forged == "data" else {"seq": 77}
    letter = kept.letter.model_copy(update=changed)
    with pytest.raises(CannotReplay, match="log does not hold this message"):
        await office.replay().replay(replace(kept, letter=letter))
    assert await last_seq(ground, stream) == 1


@pytest.mark.parametrize(
    "origin",
    [
        "$JS.API.STREAM.DELETE.{shard}",
        "another.run.0.default.r1.request.ann",
        "{prefix}",
        "{prefix}.run",
        "{prefix}.run.0",
        "{prefix}.run.1.default.r1.request.ann",
        "{prefix}.run.*.default.r1.request.ann",
        "{prefix}.run.0.>",
        "{prefix}.run.0.default.a b.request.ann",
        "{prefix}.run.0.default.\ufffd.request.ann",
        "{prefix}.run.0.default.\x01.request.ann",
        "{prefix}.task.other.default.r1.t1.1.0",
        "{prefix}.dead.stray",
        "{prefix}.beat.worker.w1",
    ],
)
async def test_nothing_is_published_elsewhere_than_where_messages_come_from(
    ground: Ground, office: Office, origin: str
) -> None:
    kept, stream = await one_letter(ground, office, "log")
    letter: DeadLetter = kept.letter.model_copy(
        update={"origin": origin.format(prefix=ground.subjects.prefix, shard=ground.shard)}
    )
    with pytest.raises(CannotReplay, match="discard the letter"):
        await office.replay().replay(replace(kept, letter=letter))
    assert await last_seq(ground, stream) == 1
    assert [one.standing.state for one in await office.letters()] == ["open"]


async def test_a_message_that_is_not_kept_whole_is_refused(ground: Ground, office: Office) -> None:
    kept, _ = await one_letter(ground, office, "queue")
    cut = kept.letter.model_copy(update={"complete": False, "headers": {}})
    with pytest.raises(CannotReplay, match="does not hold the whole message"):
        await office.replay().replay(replace(kept, letter=cut))
