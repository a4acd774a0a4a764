"""Consequences: I3, what must hold of the calls of tools that do something to the world."""

from collections import defaultdict
from typing import Final

from stretto.bus.step import Intent
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.question import Question
from tests.chaos.evidence import Evidence, epoch_s, opened, told
from tests.chaos.ledger import Call, Effect
from tests.chaos.reader import Seen

__all__ = ["every_call_intended", "nothing_repeated_unasked", "one_key_an_effect"]

_CLOCKS_S: Final = 0.05
"""So far may the server's clock, which stamps what is stored, be from the one that stamps calls."""
_Attempt = tuple[str, str, int]
"""Run, task and attempt."""
_Deed = tuple[str, str, int]
"""Run, task and position: the same in every attempt."""


def one_key_an_effect(evidence: Evidence) -> list[str]:
    """I3, for the world outside: a keyed effect has one key, whatever attempt or process carries it out, and that is no other effect's.

    With two keys it happens twice, and of two effects with one key only the first happens.
    """
    keys: defaultdict[_Deed, set[str]] = defaultdict(set)
    deeds: defaultdict[str, set[_Deed]] = defaultdict(set)
    for call in evidence.calls:
        if call.effect.kind == "keyed":
            deed = (call.effect.run, call.effect.task, call.effect.position)
            keys[deed].add(call.key)
            deeds[call.key].add(deed)
    wrong = [
        f"run {run} {task}: the effect at {position} went out with {len(found)} keys"
        for (run, task, position), found in keys.items()
        if len(found) > 1
    ]
    return wrong + [
        f"{len(found)} effects went out with one key: {found}" for found in deeds.values() if len(found) > 1
    ]


def every_call_intended(evidence: Evidence) -> list[str]:
    """I3: whatever has consequences was written down, with the key that it then had, before it was called."""
    epoch = epoch_s()
    intended: dict[tuple[*_Attempt, str], float] = {}
    for one in evidence.seen:
        intent = opened(one, Intent) if _is_intent(one) else None
        if intent is not None:
            _, task, attempt, _, _ = one.tail
            intended.setdefault((one.run, task, int(attempt), intent.key), one.at.timestamp() - epoch)
    wrong: list[str] = []
    for call in evidence.calls:
        effect = call.effect
        if effect.kind == "model":
            continue
        at = intended.get((effect.run, effect.task, effect.attempt, call.key))
        if at is None:
            wrong.append(f"run {told(effect)} was called, and no intent has its key")
        elif at > call.began_at + _CLOCKS_S:
            wrong.append(f"run {told(effect)} was called {at - call.began_at:.2f} s before its intent was recorded")
    return wrong


def nothing_repeated_unasked(evidence: Evidence) -> list[str]:
    """I3: an unkeyed effect is carried out again in its attempt only after a person said that it had not happened, once for each word."""
    words = _words(evidence)
    calls: defaultdict[Effect, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        if call.effect.kind == "unkeyed":
            calls[call.effect].append(call)
    wrong: list[str] = []
    for effect, found in calls.items():
        said = words[effect.run, effect.task, effect.attempt]
        for times, call in enumerate(found):
            heard = sum(at <= call.began_at + _CLOCKS_S for at in said)
            if times > heard:
                wrong.append(f"run {told(effect)} was carried out {times + 1} times, and {heard} words allowed it")
    return wrong


def _words(evidence: Evidence) -> defaultdict[_Attempt, list[float]]:
    """When a person said of an effect that had begun in an attempt that it had not happened."""
    begun = {(one.run, one.tail[:-1]) for one in evidence.seen if _is_intent(one)}
    doubted: dict[tuple[str, str], _Attempt] = {}
    words: defaultdict[_Attempt, list[float]] = defaultdict(list)
    epoch = epoch_s()
    for one in evidence.seen:
        question = opened(one, Question) if one.kind == "question" and (one.run, one.tail) in begun else None
        if question is not None:
            doubted[one.run, question.id] = (one.run, question.task, question.attempt)
    for one in evidence.seen:
        command = opened(one, Command) if one.kind == "command" else None
        if command is not None and command.verb == "reject" and (one.run, command.question) in doubted:
            words[doubted[one.run, str(command.question)]].append(one.at.timestamp() - epoch)
    return words


def _is_intent(one: Seen) -> bool:
    return one.kind == "step" and one.tail[-1:] == ("intent",)
