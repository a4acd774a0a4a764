"""Invariants: what must hold after every fault, each a small function from the evidence to what is wrong with it."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from stretto.bus.step import Step
from stretto.shared.contracts.account import UNITS
from stretto.shared.contracts.task import TaskResult
from tests.chaos.agents import COST_NANOS
from tests.chaos.consequences import every_call_intended, nothing_repeated_unasked, one_key_an_effect
from tests.chaos.evidence import Evidence, epoch_s, opened, told
from tests.chaos.ledger import Answered, Effect
from tests.chaos.reader import Reader, Seen
from tests.chaos.system import Gauge, System

__all__ = ["INVARIANTS", "check", "drift", "violations"]

_CONSUMED: Final = frozenset({"request", "result", "question", "command", "timer"})
_LOOK_S: Final = 0.5
"""A handler begins at the latest so long after its process looked at the journal."""
_MORE_MEMORY_BYTES: Final = 24 * 2**20
_MORE_FILES: Final = 3
_MORE_TASKS: Final = 8


def one_terminal_state(evidence: Evidence) -> list[str]:
    """I1: every accepted request has exactly one terminal state, and the right one."""
    accepted = {one.run for one in evidence.seen if one.kind == "request"}
    answers: defaultdict[str, list[Answered]] = defaultdict(list)
    for one in evidence.answered:
        answers[one.run].append(one)
    wrong = [
        f"run {one.run} was acknowledged, and its request is gone"
        for one in evidence.submitted
        if one.acknowledged and one.run not in accepted
    ]
    for asked in evidence.submitted:
        found = answers[asked.run]
        if asked.run not in accepted:
            continue
        if len(found) != 1:
            wrong.append(f"run {asked.run} has {len(found)} terminal states: {[one.state for one in found]}")
        elif asked.ends not in (None, found[0].state):
            wrong.append(f"run {asked.run} is {found[0].state}, not {asked.ends}: {found[0].text[:200]}")
        elif asked.text not in (None, found[0].text):
            wrong.append(f"run {asked.run} says {found[0].text[:80]!r}, not {asked.text!r}")
    return wrong


def one_result_an_attempt(evidence: Evidence) -> list[str]:
    """I2, first half: no attempt has more than one result."""
    results = Counter((one.run, *one.tail) for one in evidence.seen if one.kind == "result" and one.envelope)
    return [f"run {'.'.join(key)} has {count} results" for key, count in results.items() if count > 1]


def no_recorded_step_again(evidence: Evidence) -> list[str]:
    """I2, second half: a step whose outcome was recorded before an agent looked at the journal is not carried out by it again, and each
    step has one record.

    What was in flight when a process died may be carried out again, and what a process does that looked before: that cannot be otherwise.
    """
    epoch = epoch_s()
    records: defaultdict[Effect, list[float]] = defaultdict(list)
    for one in evidence.seen:
        if one.kind == "step" and one.envelope is not None and one.tail[-1] != "intent":
            _, task, attempt, position = one.tail
            if one.envelope.body.get("end") == "not_done":  # the record says that nothing was carried out
                continue
            records[_place(one.run, task, int(attempt), int(position))].append(one.at.timestamp() - epoch)
    wrong = [f"run {told(effect)} is recorded {len(at)} times" for effect, at in records.items() if len(at) > 1]
    for call in evidence.calls:
        recorded = records.get(_place_of(call.effect))
        if recorded and call.looked_at > recorded[0] + _LOOK_S:
            late_s = call.began_at - recorded[0]
            wrong.append(f"run {told(call.effect)} was carried out again {late_s:.2f} s after it was recorded")
    return wrong


def every_effect_recorded(evidence: Evidence) -> list[str]:
    """I2, so that the journal means something: what a successful attempt did is all in it, and nothing was left out."""
    recorded = {
        _place(one.run, one.tail[1], int(one.tail[2]), int(one.tail[3]))
        for one in evidence.seen
        if one.kind == "step" and one.envelope is not None and one.tail[-1] != "intent"
    }
    done = {_place_of(call.effect): call.effect for call in evidence.calls if call.ended}
    wrong: list[str] = []
    for one in evidence.seen:
        result = _result(one)
        if result is None or result.failure is not None:
            continue
        attempt = (one.run, result.task, result.attempt)
        mine = {place for place in done if (place.run, place.task, place.attempt) == attempt}
        wrong += [f"run {told(done[place])} is not in the journal" for place in mine - recorded]
        if not mine:
            wrong.append(f"run {one.run} {result.task}.{result.attempt} has a result, and nothing was done for it")
    return wrong


def never_over_budget(evidence: Evidence) -> list[str]:
    """I4: no budget is overspent, and each account agrees with the world outside, to the billionth of a dollar.

    What is recorded was settled before, and nothing is settled that was not called.
    """
    called = Counter(call.effect.run for call in evidence.calls if call.effect.kind == "model")
    recorded = Counter(
        one.run
        for one in evidence.seen
        if one.kind == "step" and one.envelope is not None and one.tail[-1] != "intent" and _is_reply(one)
    )
    accounts = {one.name: one for one in evidence.accounts if one.account == "run"}
    wrong = [f"run {run} called its model, and has no account" for run in recorded if run not in accounts]
    for run, account in accounts.items():
        spent = account.spent
        for unit in UNITS:
            limit = account.limit(unit)
            if limit is not None and spent.of(unit) > limit:
                wrong.append(f"run {run} spent {spent.of(unit)} of {limit} {unit}")
        if spent.nanos != spent.model_calls * COST_NANOS:
            wrong.append(f"run {run} spent {spent.nanos} nanos for {spent.model_calls} calls of {COST_NANOS}")
        if not recorded[run] <= spent.model_calls <= called[run]:
            wrong.append(
                f"run {run} settled {spent.model_calls} calls: {called[run]} were made and {recorded[run]} are recorded"
            )
    return wrong


def nothing_undeliverable(evidence: Evidence) -> list[str]:
    """I6: what is stored is done, pending or dead; and after healing nothing is pending, and nothing is dead that could be read."""
    wrong = [
        f"{one.stream}/{one.name} has {one.pending} pending and {one.unacknowledged} unacknowledged"
        for one in evidence.consumers
        if one.pending or one.unacknowledged
    ]
    wrong += [f"{subject} still lies in its queue" for subject in evidence.queued]
    dead = Counter((letter.origin, letter.seq) for letter in evidence.letters)
    wrong += [f"{origin} ({seq}) is dead {count} times" for (origin, seq), count in dead.items() if count > 1]
    wrong += [
        f"{one.subject} ({one.seq}) cannot be read and is no dead letter"
        for one in evidence.seen
        if one.kind in _CONSUMED and one.envelope is None and (one.subject, one.seq) not in dead
    ]
    origins = {letter.origin for letter in evidence.letters}
    wrong += [f"{subject} was poisoned and is no dead letter" for subject in evidence.poisoned - origins]
    wrong += [
        f"{letter.origin} is dead for no reason: {letter.reason}"
        for letter in evidence.letters
        if letter.origin not in evidence.poisoned
    ]
    return wrong


INVARIANTS: Final[Mapping[str, Callable[[Evidence], list[str]]]] = {
    "I1 one terminal state": one_terminal_state,
    "I2 one result an attempt": one_result_an_attempt,
    "I2 no recorded step again": no_recorded_step_again,
    "I2 every effect recorded": every_effect_recorded,
    "I3 one key an effect": one_key_an_effect,
    "I3 every call intended": every_call_intended,
    "I3 nothing repeated unasked": nothing_repeated_unasked,
    "I4 never over budget": never_over_budget,
    "I6 nothing undeliverable": nothing_undeliverable,
}


def drift(before: Mapping[str, Gauge], after: Mapping[str, Gauge]) -> list[str]:
    """I7: memory, files and asyncio tasks of processes that lived through the fault are back where they were."""
    wrong: list[str] = []
    for name, was in before.items():
        now = after[name]
        if now.memory_bytes > was.memory_bytes + _MORE_MEMORY_BYTES:
            wrong.append(f"{name} took {was.memory_bytes >> 20} MiB and takes {now.memory_bytes >> 20} MiB")
        if now.files > was.files + _MORE_FILES:
            wrong.append(f"{name} had {was.files} files open and has {now.files}")
        if now.tasks > was.tasks + _MORE_TASKS:
            wrong.append(f"{name} had {was.tasks} asyncio tasks and has {now.tasks}")
    return wrong


async def violations(system: System, reader: Reader) -> dict[str, list[str]]:
    """What is wrong, by invariant, once everything had the time that it may take to heal; nothing as soon as nothing is."""
    wrong: dict[str, list[str]] = {}
    try:
        async with asyncio.timeout(system.heal_s):
            while True:
                evidence = await Evidence.gather(system.ledger, reader)
                wrong = {name: found for name, holds in INVARIANTS.items() if (found := holds(evidence))}
                if not wrong:
                    return {}
                await asyncio.sleep(0.2)
    except TimeoutError:
        return wrong


async def check(system: System, reader: Reader) -> None:
    """Raise AssertionError, with the runs, unless every invariant holds within the time to heal."""
    wrong = await violations(system, reader)
    lines = [f"{name}: {one}" for name, found in wrong.items() for one in found[:5]]
    assert not wrong, "\n".join(["not healed:", *lines, f"logs in {system.folder}", system.last_words()])


def _result(one: Seen) -> TaskResult | None:
    """The result that it is; None where it is another message, or none."""
    return opened(one, TaskResult) if one.kind == "result" else None


def _is_reply(one: Seen) -> bool:
    """Whether it is the record of a call of a model that was answered."""
    step = opened(one, Step)
    return step is not None and (step.kind, step.end) == ("model", "done")


def _place(run: str, task: str, attempt: int, position: int) -> Effect:
    return Effect("", run, task, attempt, position)


def _place_of(effect: Effect) -> Effect:
    return _place(effect.run, effect.task, effect.attempt, effect.position)
