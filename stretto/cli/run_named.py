"""run_named: which run a person means: by its id, the beginning of its id, or `last`."""

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.errors import StreamMissing
from stretto.bus.subjects import RunKey
from stretto.bus.tenant_logs import TenantLogs
from stretto.bus.wire import Wire
from stretto.cli.check import check_usage
from stretto.cli.errors import UsageFailed
from stretto.shared.settings import Settings

__all__ = ["run_named"]

_LAST = "last"
_SHOWN = 5


async def run_named(connection: Connection, settings: Settings, name: str) -> str:
    """The id of the tenant's run that `name` names.

    Raises:
        UsageFailed: there is none, or there are several; the text says which.
    """
    check_usage(name, "run id")
    deployment = settings.deployment
    wire = Wire(artifacts=Artifacts(connection=connection, subjects=deployment.subjects))
    logs = TenantLogs(connection=connection, deployment=deployment, wire=wire, tenant=settings.tenant)
    if name == _LAST:
        return await _last(connection, settings)
    key = RunKey.of(settings.tenant, name, settings.shards)
    if await connection.jetstream.last(
        deployment.subjects.runs_stream(key.shard), deployment.subjects.any_request(key)
    ):
        return name
    found = sorted(
        {
            place.subject.key.run
            for shard in logs.shards
            for place in await logs.places(shard, "request.*")
            if place.subject.key.run.startswith(name)
        }
    )
    if not found:
        raise UsageFailed(f"nothing is known of run {name} of tenant {settings.tenant}: see `stretto runs list`")
    if len(found) > 1:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UsageFailed(f"{len(found)} runs begin with {name}: {', '.join(found[:_SHOWN])}{more}")
    return found[0]


async def _last(connection: Connection, settings: Settings) -> str:
    """The tenant's run that was asked for last."""
    subjects = settings.deployment.subjects
    newest = None
    for shard in range(settings.shards):
        try:
            found = await connection.jetstream.last(
                subjects.runs_stream(shard), subjects.requests_of(shard, settings.tenant)
            )
        except StreamMissing:
            continue
        if found is not None and (newest is None or found.at > newest.at):
            newest = found
    if newest is None:
        raise UsageFailed(f"tenant {settings.tenant} has no runs yet: ask something with `stretto ask`")
    return subjects.parse_run(newest.subject).key.run
