"""What can be chosen of an embedded server, and the configuration file that says it to nats-server."""

import json
from dataclasses import dataclass
from pathlib import Path

from stretto.bus.errors import Misconfigured

__all__ = ["ServerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The choices of one embedded server.

    Attributes:
        data_dir: everything it writes lies below: configuration, locks, logs, and the store in `nats`.
        host: the address it listens on. It asks for no credentials, so leave it on loopback.
        port: -1 takes a free one, which a restart keeps.
        sync_always: each stored message is on the disk before it is acknowledged; False is faster and may lose the
            last two minutes when the machine (not the process) fails.
        max_payload_bytes: the largest message it accepts.
        binary: the nats-server to run; None searches for one.
        start_limit_s: how long it may take until it is ready, recovery of a large store included.
        stop_limit_s: how long it may take to stop by itself before it is killed.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = -1
    sync_always: bool = True
    max_payload_bytes: int = 1024 * 1024
    binary: Path | None = None
    start_limit_s: float = 60.0
    stop_limit_s: float = 5.0

    def config(self, *, name: str, port: int, ports_dir: Path) -> str:
        """The text of nats-server's configuration file.

        `ports_dir` is where the server writes down on which port it listens.

        Raises:
            Misconfigured: a value cannot stand in such a file.
        """
        store_dir = self.data_dir.resolve() / "nats"
        for value in (self.host, str(store_dir)):
            # nats-server reads JSON, but not its \uXXXX: what would need one is refused.
            if not value.isprintable():
                raise Misconfigured(f"{value!r} has characters that nats-server cannot read: choose another name")
        jetstream: dict[str, object] = {"store_dir": str(store_dir)}
        if self.sync_always:
            jetstream["sync_interval"] = "always"
        settings = {
            "server_name": name,
            "host": self.host,
            "port": port,
            "ports_file_dir": str(ports_dir.resolve()),
            "max_payload": self.max_payload_bytes,
            "jetstream": jetstream,
        }
        return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
