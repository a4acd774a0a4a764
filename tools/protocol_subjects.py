"""Every subject of the bus: its pattern from the code that builds it, its stream from the code that declares that."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stretto.bus.streams import ConsumerSpec, Deployment, StreamSpec, deployment_streams, task_stream
from stretto.bus.subjects import RunKey, Subjects, TaskKey

__all__ = ["SUBJECTS", "SubjectRow", "pattern", "streams", "subject_rows"]

_NAMES = ("shard", "attempt", "position", "resumption", "number")
_NUMBERS = dict(enumerate(_NAMES, 990001))
"""By the number that stands for it: what a decimal number in a subject is."""
_BY_NAME = {name: number for number, name in _NUMBERS.items()}
_RUN = RunKey(_BY_NAME["shard"], "-tenant-", "-run-")
_TASK = TaskKey(_RUN, "-role-", "-task-", _BY_NAME["attempt"])
_NANOS_PER_DAY = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Use:
    message: str
    writer: str
    how: str
    reader: str
    below: str = ""


SUBJECTS = {
    "request": _Use("`request`", "a requester", "once a run", "supervisors"),
    "decision": _Use("`decision`", "a supervisor", "compare-and-swap on its last one", "supervisors"),
    "result": _Use("`result`", "an agent of the role", "once", "supervisors"),
    "question": _Use("`question`", "an agent of the role", "once", "supervisors, whoever decides"),
    "command": _Use("`command`", "requesters, operators", "once", "supervisors"),
    "schedule": _Use("`timer`", "a supervisor", "once", "the server's scheduler"),
    "timer": _Use("`timer`", "the server's scheduler, when it is due", "once", "supervisors"),
    "answer": _Use("`answer`", "a supervisor", "once: the run is over", "requesters"),
    "log": _Use(
        "as stored", "the server", "repeats all that is stored below the run's subject", "whoever watches", ".>"
    ),
    "task": _Use("`task`", "a supervisor", "once until acknowledged", "agents of the role"),
    "suspect": _Use(
        "`task`", "a supervisor, when those who had it died", "once until acknowledged", "agents of the role"
    ),
    "filler": _Use("empty", "a supervisor, after a server crash", "takes up a sequence", "nobody"),
    "step": _Use("`step`", "agents of the role", "once", "agents of the role"),
    "intent": _Use("`intent`", "agents of the role, before an effect with consequences", "once", "agents of the role"),
    "withdraw": _Use("`withdrawn`", "a supervisor", "", "agents of the role"),
    "progress": _Use("`progress`", "agents, supervisors", "", "requesters"),
    "memory": _Use("`memory.*`", "agents, requesters", "request and reply", "the memory service"),
    "beat": _Use("`agent_card`", "every process that serves a role", "every two seconds", "supervisors, operators"),
    "roll_call": _Use("empty", "anybody", "asks everybody for a beat at once", "every process that serves a role"),
    "dead": _Use("`dead_letter`", "whoever gives up on a message", "once", "operators"),
    "dead_settled": _Use("`dead_letter_settlement`", "operators", "compare-and-swap", "operators"),
    "turn": _Use("`turn`", "a supervisor, when a run of a conversation is answered", "once", "supervisors"),
    "ledger": _Use("`ledger`", "agents", "compare-and-swap on its last one", "agents, operators"),
    "rate": _Use("a counter", "agents", "the server adds", "agents"),
    "span": _Use("OTLP protobuf", "every process", "a batch of spans a message", "operators"),
}
"""By the name of the method of `Subjects` that builds it; this is what only people know of it."""


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """One line of the table of subjects."""

    subject: str
    message: str
    writer: str
    how: str
    reader: str
    stream: str
    kept: str


def subject_rows(deployment: Deployment) -> Iterator[SubjectRow]:
    """The table of subjects."""
    specs = streams(deployment)
    for builder, use in SUBJECTS.items():
        subject = pattern(builder, deployment.subjects) + use.below
        spec = next((one for one in specs if any(_covers(own, subject) for own in one.config["subjects"])), None)
        yield SubjectRow(
            subject=subject,
            message=use.message,
            writer=use.writer,
            how=use.how,
            reader=use.reader,
            stream=spec.name if spec else "",
            kept=_kept(spec),
        )


def streams(deployment: Deployment) -> list[StreamSpec]:
    """The streams of the deployment, those of one shard and of one role standing for all of their kind."""
    runs, *others = [
        spec
        for spec in deployment_streams(deployment)
        if spec.name not in {deployment.subjects.runs_stream(shard) for shard in range(1, deployment.shards)}
    ]
    every_shard = StreamSpec(
        deployment.subjects.stream("RUNS_{shard}"),
        _named_shard(runs.config),
        tuple(ConsumerSpec(one.name, _named_shard(one.config)) for one in runs.consumers),
    )
    tasks = task_stream(deployment, "-role-")
    own = [_readable(one) for one in tasks.config["subjects"]]
    every_role = StreamSpec(_readable(tasks.name), {**tasks.config, "subjects": own}, tasks.consumers)
    return [every_shard, every_role, *others]


def pattern(builder: str, subjects: Subjects) -> str:
    """What a method of `Subjects` builds, with `{names}` where its arguments go."""
    method = getattr(subjects, builder)
    return _readable(method(*(_argument(one) for one in inspect.signature(method).parameters.values())))


def _argument(parameter: inspect.Parameter) -> Any:
    values = {RunKey: _RUN, TaskKey: _TASK, int: _BY_NAME.get(parameter.name)}
    return values.get(parameter.annotation, f"-{parameter.name}-")


def _readable(subject: str) -> str:
    for number, name in _NUMBERS.items():
        subject = subject.replace(str(number), f"{{{name}}}")
    return re.sub(r"-([a-z_]+)-", r"{\1}", subject)


def _named_shard(config: Mapping[str, Any]) -> dict[str, Any]:
    """The declaration for shard 0 with `{shard}` in its subjects."""
    named: dict[str, Any] = json.loads(re.sub(r"\.(run|log)\.0\.", r".\1.{shard}.", json.dumps(config)))
    return named


def _covers(wildcard: str, subject: str) -> bool:
    return subject.startswith(wildcard.removesuffix(">"))


def _kept(spec: StreamSpec | None) -> str:
    if spec is None:
        return "no"
    if spec.config["retention"] == "workqueue":
        return "until acknowledged"
    return f"{spec.config['max_age'] // _NANOS_PER_DAY} days"
