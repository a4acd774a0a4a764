"""The embedded server: a real nats-server, owned by one process and ended with it. POSIX only."""

from stretto.bus.server.embedded import EmbeddedServer
from stretto.bus.server.options import ServerOptions
from stretto.bus.server.owner import running

__all__ = ["EmbeddedServer", "ServerOptions", "running"]
