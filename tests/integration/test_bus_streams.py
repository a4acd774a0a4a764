"""Streams: made once, compared ever after, and never changed behind anybody's back."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.errors import Misconfigured, StreamDiffers
from stretto.bus.provisioning import missing_streams, provision
from stretto.bus.streams import SUPERVISORS, Deployment, StreamSpec, agents_consumer, deployment_streams, task_stream
from stretto.bus.subjects import Subjects


@pytest.fixture
async def connection(nats_url: str) -> AsyncGenerator[Connection]:
    async with await Connection.open(ConnectionOptions(nats_url)) as connection:
        yield connection


@pytest.fixture
def deployment(prefix: str) -> Deployment:
    return Deployment(subjects=Subjects(prefix), shards=2)


def table(deployment: Deployment) -> tuple[StreamSpec, ...]:
    return (*deployment_streams(deployment), task_stream(deployment, "writer"))


async def test_provisioning_twice_makes_everything_once(connection: Connection, deployment: Deployment) -> None:
    specs = table(deployment)
    assert await missing_streams(connection, specs) == [spec.name for spec in specs]
    assert [await provision(connection, spec) for spec in specs] == [True] * len(specs)
    assert [await provision(connection, spec) for spec in specs] == [False] * len(specs)
    assert await missing_streams(connection, specs) == []


async def test_any_number_of_supervisors_may_provision_at_once(connection: Connection, deployment: Deployment) -> None:
    async with asyncio.TaskGroup() as group:
        made = [group.create_task(provision(connection, spec)) for _ in range(8) for spec in table(deployment)]
    assert len(made) == 8 * len(table(deployment))
    assert [await provision(connection, spec) for spec in table(deployment)] == [False] * len(table(deployment))


async def test_a_stream_that_differs_is_named_field_by_field_and_left_as_it_is(
    connection: Connection, deployment: Deployment
) -> None:
    spec = task_stream(deployment, "writer")
    await provision(connection, spec)
    before = (await connection.jetstream.api(f"STREAM.INFO.{spec.name}"))["config"]
    with pytest.raises(StreamDiffers) as differs:
        await provision(connection, task_stream(replace(deployment, queue_limit=7), "writer"))
    text = str(differs.value)
    assert spec.name in text
    assert "max_msgs is 100000, declared is 7" in text
    assert "num_replicas" not in text
    assert (await connection.jetstream.api(f"STREAM.INFO.{spec.name}"))["config"] == before


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"pin_s": 9.0}, "priority_timeout is 3000000000"), ({"run_lease_s": 9.0}, "ack_wait is 15000000000")],
)
async def test_a_consumer_that_differs_is_named_field_by_field_and_left_as_it_is(
    connection: Connection, deployment: Deployment, changed: dict[str, float], told: str
) -> None:
    spec, *_ = deployment_streams(deployment)
    await provision(connection, spec)
    before = (await connection.jetstream.api(f"CONSUMER.INFO.{spec.name}.{SUPERVISORS}"))["config"]
    other, *_ = deployment_streams(replace(deployment, **changed))  # type: ignore[arg-type]  # floats are all it takes
    with pytest.raises(StreamDiffers, match=f"consumer {SUPERVISORS} of {spec.name}.*{told}"):
        await provision(connection, other)
    assert (await connection.jetstream.api(f"CONSUMER.INFO.{spec.name}.{SUPERVISORS}"))["config"] == before


async def test_a_consumer_that_was_deleted_is_made_again(connection: Connection, deployment: Deployment) -> None:
    spec = task_stream(deployment, "writer")
    await provision(connection, spec)
    await connection.jetstream.api(f"CONSUMER.DELETE.{spec.name}.{agents_consumer(deployment)}")
    assert not await provision(connection, spec)
    assert "error" not in await connection.jetstream.api(f"CONSUMER.INFO.{spec.name}.{agents_consumer(deployment)}")


async def test_a_stream_that_the_server_cannot_keep_is_misconfigured(
    connection: Connection, deployment: Deployment
) -> None:
    with pytest.raises(Misconfigured, match="the server refuses stream"):
        await provision(connection, task_stream(replace(deployment, replicas=3), "writer"))


async def test_a_runs_log_cannot_be_deleted_message_by_message(connection: Connection, deployment: Deployment) -> None:
    spec, *_ = deployment_streams(deployment)
    await provision(connection, spec)
    subjects = deployment.subjects
    await connection.jetstream.store(f"{subjects.prefix}.run.0.a.b.answer", b"kept")
    refused = await connection.jetstream.api(f"STREAM.MSG.DELETE.{spec.name}", {"seq": 1})
    assert refused["error"]["code"] in {400, 500}
    assert await connection.jetstream.last(spec.name, f"{subjects.prefix}.run.0.a.b.answer") is not None
