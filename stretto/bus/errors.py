"""The bus's errors, split by what the caller does next.

BusError
├── RetryLater            try the same again
│   ├── Unreachable       the server does not answer
│   ├── TimedOut          no answer within the limit; the write may have happened
│   └── Busy              a queue is full; `retry_in_s` says when to come back
├── Conflict              someone else wrote first: fold again and decide again
├── JournalMismatch       an attempt asks for something else than is recorded: begin a new attempt
├── Refused               never try the same again
│   ├── DecodeError       bytes that are no message of ours
│   │   └── Unverified    a message that says another origin than its subject
│   ├── TooLarge          over a hard limit
│   ├── RunExists         the run id belongs to another request
│   ├── AlreadySettled    the dead letter was replayed or discarded before
│   ├── CannotReplay      the dead letter's message cannot be put back
│   └── NotPermitted      the server's permissions forbid it
└── Misconfigured         a person must change something: the text says what
    ├── ServerMissing     no nats-server binary found
    ├── ServerTooOld      nats-server is older than 2.12
    ├── StoreLocked       another system owns the data directory
    ├── StreamMissing     the streams of this deployment are not there
    └── StreamDiffers     a stream or consumer exists with another configuration
"""


class BusError(Exception):
    """Root of all errors of the bus."""


class RetryLater(BusError):
    """The same call may succeed later."""


class Unreachable(RetryLater):
    """The server does not answer."""


class TimedOut(RetryLater):
    """No answer within the limit. A write may have happened all the same."""


class Busy(RetryLater):
    """A queue is full.

    Attributes:
        retry_in_s: seconds after which another try is reasonable.
    """

    def __init__(self, message: str, *, retry_in_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_in_s = retry_in_s


class Conflict(BusError):
    """Another writer was first on this subject.

    Attributes:
        subject: where the write was refused.
    """

    def __init__(self, subject: str) -> None:
        super().__init__(f"another writer was first on {subject}")
        self.subject = subject


class JournalMismatch(BusError):
    """An attempt that is done again asks for something else than is recorded of it: its code, or what that depends on, has changed.

    Attributes:
        position: of the recorded effect among the attempt's effects.
        recorded, asked: what is recorded there, and what is asked for now: kind, name and digest of the input.
    """

    def __init__(self, position: int, recorded: str, asked: str) -> None:
        super().__init__(f"step {position} is recorded as {recorded}, but the agent now asks for {asked}")
        self.position = position
        self.recorded = recorded
        self.asked = asked


class Refused(BusError):
    """The same call will always be refused."""


class DecodeError(Refused):
    """Bytes that are not a message of ours; the text says why, never what they held."""


class Unverified(DecodeError):
    """A message that says another origin than its subject: only the subject is guarded by permissions."""


class TooLarge(Refused):
    """A message passes a hard limit."""


class RunExists(Refused):
    """The run id already belongs to another request."""


class AlreadySettled(Refused):
    """The dead letter was replayed or discarded before; the text says when and by whom."""


class CannotReplay(Refused):
    """The message of a dead letter cannot be put back where it came from; the text says why."""


class NotPermitted(Refused):
    """The server's permissions forbid it."""


class Misconfigured(BusError):
    """A person must change something; the text says what."""


class ServerMissing(Misconfigured):
    """No nats-server binary was found."""


class ServerTooOld(Misconfigured):
    """The nats-server found is older than this project needs."""


class StoreLocked(Misconfigured):
    """Another running system owns the data directory."""


class StreamMissing(Misconfigured):
    """The streams of this deployment do not exist."""


class StreamDiffers(Misconfigured):
    """A stream or consumer exists with another configuration than the declared one."""
