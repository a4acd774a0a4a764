"""LedgerLog: where an account is written: the one message that its subject keeps."""

from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import DecodeError
from stretto.bus.subjects import Subjects
from stretto.bus.wire import Wire
from stretto.shared.contracts.account import Account, AccountKind
from stretto.shared.money.errors import LedgerUnreadable
from stretto.shared.money.server_time import ServerTime

__all__ = ["LEDGERS", "LedgerLog"]

LEDGERS = "LEDGERS"


class LedgerLog:
    """One account of a tenant on the bus.

    Args:
        sender: who writes.
        time: learns the server's time before the account is read, where there is one.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        subjects: Subjects,
        wire: Wire,
        tenant: str,
        account: AccountKind,
        name: str,
        sender: str,
        time: ServerTime | None = None,
    ) -> None:
        self._connection = connection
        self._wire = wire
        self._stream = subjects.stream(LEDGERS)
        self._subject = subjects.ledger(tenant, account, name)
        self._tenant = tenant
        self._blank = Account(account=account, name=name)
        self._sender = sender
        self._time = time

    async def load(self) -> tuple[Account, int]:
        """As `AccountStore.load`.

        Raises:
            RetryLater, StreamMissing: see `stretto.bus.errors`.
        """
        if self._time is not None:
            await self._time.learn()
        stored = await self._connection.jetstream.last(self._stream, self._subject)
        if stored is None:
            return self._blank, 0
        try:
            envelope = await self._wire.unpack(stored.data, stored.headers)
            account = open_envelope(envelope, Account)
        except DecodeError as error:
            raise LedgerUnreadable(f"{self._subject} holds no account ({error}): nothing is spent from it") from error
        if envelope.tenant != self._tenant or not account.fits(stored.subject):
            raise LedgerUnreadable(f"{self._subject} holds another account: nothing is spent from it")
        return account, stored.seq

    async def store(self, account: Account, *, after: int) -> int:
        """As `AccountStore.store`. Raises as `JetStream.store` does."""
        envelope = Envelope.of(account, tenant=self._tenant, run=account.name, sender=self._sender)
        return await self._connection.jetstream.store(self._subject, await self._wire.pack(envelope), expect=after)
