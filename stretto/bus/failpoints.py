"""Fail-points: named places where a test has a process die or freeze, to prove that nothing is lost there.

They do nothing unless a process's main arms them from `STRETTO_FAILPOINTS`, as in `agent.step.before_record=kill@3`: the third time
that this place is reached, the process kills itself. `stop` freezes it instead, until somebody continues it. Commas separate several.
"""

import os
import re
import signal
from collections.abc import Mapping

__all__ = ["FAILPOINTS", "VARIABLE", "arm", "reach"]

VARIABLE = "STRETTO_FAILPOINTS"
FAILPOINTS = frozenset(
    {
        "agent.before_look",
        "agent.before_start",
        "agent.step.before_intent",
        "agent.step.before_call",
        "agent.step.before_record",
        "agent.step.recorded",
        "agent.reserved",
        "agent.before_settle",
        "agent.before_question",
        "agent.question_asked",
        "agent.before_result",
        "agent.before_ack",
        "supervisor.before_fold",
        "supervisor.before_commit",
        "supervisor.committed",
        "supervisor.before_publish",
        "supervisor.published",
        "supervisor.before_timer",
        "supervisor.before_answer",
        "supervisor.answered",
        "supervisor.before_ack",
        "supervisor.before_park",
        "dead.buried",
        "dead.replay_begun",
        "dead.put_back",
    }
)
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_WRITTEN = re.compile(r"([a-z_.]+)=(kill|stop)(?:@([1-9][0-9]*))?")

_armed: dict[str, tuple[signal.Signals, int]] = {}
"""By name: what happens, and after how many more visits. One per process, as the signal is."""


def arm(environment: Mapping[str, str]) -> None:
    """Arm what the variable asks for; with none, nothing is ever done.

    Raises:
        ValueError: it names no fail-point, or cannot be read.
    """
    _armed.clear()
    for written in filter(None, environment.get(VARIABLE, "").split(",")):
        match = _WRITTEN.fullmatch(written.strip())
        if match is None or match[1] not in FAILPOINTS:
            raise ValueError(
                f"{VARIABLE}: {written!r} is none: write NAME=kill@N or NAME=stop@N with one of {sorted(FAILPOINTS)}"
            )
        _armed[match[1]] = (_SIGNALS[match[2]], int(match[3] or 1))


def reach(name: str) -> None:
    """Say that the process has come to this place."""
    if not _armed or name not in _armed:
        return
    what, left = _armed[name]
    if left > 1:
        _armed[name] = (what, left - 1)
        return
    del _armed[name]
    os.kill(os.getpid(), what)
