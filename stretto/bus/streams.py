"""Streams: all streams and consumers of a deployment in one table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stretto.bus.subjects import Subjects

__all__ = [
    "SUPERVISORS",
    "ConsumerSpec",
    "Deployment",
    "StreamSpec",
    "agents_consumer",
    "deployment_streams",
    "suspects_consumer",
    "task_stream",
]

SUPERVISORS = "supervisors"
"""The durable consumer of each shard, and its priority group."""
_READ_BY_SUPERVISORS = ("request", "result", "question", "command", "timer")

_NANOS = 1_000_000_000
_DAY_S = 86_400
_SUSPECT_DELIVERIES = 2
_RATES_S = 300
_SPANS_S = 72 * 3_600


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the table depends on. All processes of a deployment agree on it.

    Attributes:
        shards: how many streams share the runs.
        replicas: copies of each stream in a cluster.
        task_lease_s: an agent that stops renewing loses its task after this.
        run_lease_s: a supervisor that stops renewing loses its open runs after this.
        pinned: each shard goes to one supervisor at a time. Off, any of them gets any message: as right, but slower.
        pin_s: a supervisor that stops pulling loses its shards after this.
        max_deliver: deliveries of one task before it is given up, the last two of them as a suspect; at least three.
        queue_limit: tasks waiting per role, and run_limit: open runs per shard, before requesters are told to come back.
    """

    subjects: Subjects = field(default_factory=Subjects)
    shards: int = 4
    replicas: int = 1
    retention_days: int = 90
    task_lease_s: float = 30.0
    run_lease_s: float = 15.0
    pinned: bool = True
    pin_s: float = 3.0
    max_deliver: int = 5
    queue_limit: int = 100_000
    run_limit: int = 5_000


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """A durable consumer as the server's API takes it."""

    name: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A stream as the server's API takes it, and its consumers."""

    name: str
    config: Mapping[str, Any]
    consumers: tuple[ConsumerSpec, ...] = ()


def deployment_streams(deployment: Deployment) -> tuple[StreamSpec, ...]:
    """The streams that are there from the start; those of task queues come with their roles (`task_stream`)."""
    return (
        *(_runs(deployment, shard) for shard in range(deployment.shards)),
        _advisories(deployment),
        _dead(deployment),
        _turns(deployment),
        _ledgers(deployment),
        _rates(deployment),
        _spans(deployment),
    )


def _runs(deployment: Deployment, shard: int) -> StreamSpec:
    s = deployment.subjects
    runs, log = f"{s.prefix}.run.{shard}", f"{s.prefix}.log.{shard}"
    return StreamSpec(
        name=s.runs_stream(shard),
        config={
            # The steps of a run's attempts lie beside its log, so that one read tells an agent both.
            "subjects": [f"{runs}.>", f"{s.prefix}.step.{shard}.>"],
            # No `discard: new` here: with schedules the server does not take it.
            **_kept_by_age(deployment),
            "allow_msg_schedules": True,  # the server then turns deny_purge off
            "deny_delete": True,
            # Watchers see what is stored, when it is stored, without a consumer of their own.
            "republish": {"src": f"{runs}.>", "dest": f"{log}.>"},
        },
        consumers=(
            ConsumerSpec(
                SUPERVISORS,
                {
                    "filter_subjects": [f"{runs}.*.*.{kind}.>" for kind in _READ_BY_SUPERVISORS],
                    "ack_policy": "explicit",
                    "ack_wait": int(deployment.run_lease_s * _NANOS),
                    "max_deliver": -1,
                    # Open runs hold a message unacknowledged: a consumer that is full of them would keep back the
                    # results that end them. So it is the supervisor that limits them: it rejects requests.
                    "max_ack_pending": -1,
                    **(_pin(deployment) if deployment.pinned else {}),
                },
            ),
        ),
    )


def _kept_by_age(deployment: Deployment) -> dict[str, Any]:
    """What all streams have in common that keep their messages: no limit but age."""
    return {
        "retention": "limits",
        "storage": "file",
        "max_age": deployment.retention_days * _DAY_S * _NANOS,
        "num_replicas": deployment.replicas,
        "allow_direct": True,
    }


def _unsynced(deployment: Deployment) -> dict[str, Any]:
    """For what may be lost when the server crashes; replicated streams refuse this mode."""
    return {"persist_mode": "async"} if deployment.replicas == 1 else {}


def _pin(deployment: Deployment) -> dict[str, Any]:
    return {
        "priority_policy": "pinned_client",
        "priority_groups": [SUPERVISORS],
        "priority_timeout": int(deployment.pin_s * _NANOS),
    }


def agents_consumer(deployment: Deployment) -> str:
    """The durable consumer of each task stream. Advisories name it: so it is another one in each deployment on a server."""
    return f"{deployment.subjects.prefix}-agents"


def suspects_consumer(deployment: Deployment) -> str:
    """The durable consumer of the tasks whose agents died. One task kills its process, and takes all that are in work there along: so
    those that were lost several times are given out one at a time, and the innocent get through."""
    return f"{deployment.subjects.prefix}-suspects"


def task_stream(deployment: Deployment, role: str) -> StreamSpec:
    """The task queue of one role: a cache of what the runs' logs say is due."""
    s = deployment.subjects
    return StreamSpec(
        name=s.tasks_stream(role),
        config={
            "subjects": [s.tasks_of(role), s.suspects_of(role), s.fillers_of(role)],
            "retention": "workqueue",
            "storage": "file",
            "discard": "new",
            "discard_new_per_subject": True,
            "max_msgs_per_subject": 1,
            "max_msgs": deployment.queue_limit,
            "num_replicas": deployment.replicas,
            "allow_direct": True,
            # What is due is published again after a server crash.
            **_unsynced(deployment),
        },
        consumers=(
            ConsumerSpec(
                agents_consumer(deployment),
                {
                    "filter_subject": s.tasks_of(role),
                    "ack_policy": "explicit",
                    "ack_wait": int(deployment.task_lease_s * _NANOS),
                    "max_deliver": max(1, deployment.max_deliver - _SUSPECT_DELIVERIES),
                    "max_ack_pending": 10_000,
                },
            ),
            ConsumerSpec(
                suspects_consumer(deployment),
                {
                    "filter_subject": s.suspects_of(role),
                    "ack_policy": "explicit",
                    "ack_wait": int(deployment.task_lease_s * _NANOS),
                    "max_deliver": _SUSPECT_DELIVERIES,
                    "max_ack_pending": 1,
                },
            ),
        ),
    )


def _advisories(deployment: Deployment) -> StreamSpec:
    """What the server says about tasks that it delivers no more: nothing else tells."""
    s = deployment.subjects
    return StreamSpec(
        name=s.stream("ADVISORIES"),
        config={
            "subjects": [
                f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.*.{consumer(deployment)}"
                for consumer in (agents_consumer, suspects_consumer)
            ],
            **_kept_by_age(deployment),
        },
        consumers=(
            ConsumerSpec(
                SUPERVISORS,
                {"ack_policy": "explicit", "ack_wait": int(deployment.run_lease_s * _NANOS), "max_deliver": -1},
            ),
        ),
    )


def _dead(deployment: Deployment) -> StreamSpec:
    s = deployment.subjects
    return StreamSpec(
        name=s.stream("DEAD"),
        config={
            "subjects": [f"{s.prefix}.dead.>", f"{s.prefix}.dead-settled.>"],
            **_kept_by_age(deployment),
        },
    )


def _turns(deployment: Deployment) -> StreamSpec:
    s = deployment.subjects
    return StreamSpec(name=s.stream("TURNS"), config={"subjects": [f"{s.prefix}.turn.>"], **_kept_by_age(deployment)})


def _ledgers(deployment: Deployment) -> StreamSpec:
    """The state of each budget, changed by conditional writes: only the newest counts."""
    s = deployment.subjects
    return StreamSpec(
        name=s.stream("LEDGERS"),
        config={"subjects": [f"{s.prefix}.ledger.>"], **_kept_by_age(deployment), "max_msgs_per_subject": 1},
    )


def _rates(deployment: Deployment) -> StreamSpec:
    """Counters that are worth nothing once their window is over."""
    s = deployment.subjects
    return StreamSpec(
        name=s.stream("RATES"),
        config={
            "subjects": [f"{s.prefix}.rate.>"],
            **_kept_by_age(deployment),
            "max_age": _RATES_S * _NANOS,
            "max_msgs_per_subject": 1,
            "allow_msg_counter": True,
            **_unsynced(deployment),
        },
    )


def _spans(deployment: Deployment) -> StreamSpec:
    """What the processes tell of their work, in batches. A run's spans take about as much as its log, and are kept for days, not for
    months. A limit of size would be taken off what the server may store from the start."""
    s = deployment.subjects
    return StreamSpec(
        name=s.stream("SPANS"),
        config={
            "subjects": [f"{s.prefix}.span.*"],
            **_kept_by_age(deployment),
            "max_age": _SPANS_S * _NANOS,
            **_unsynced(deployment),
        },
    )
