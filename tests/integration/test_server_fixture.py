"""The session's shared server is a real one with JetStream."""

import nats


async def test_the_shared_server_stores_messages(nats_url: str, prefix: str) -> None:
    async with await nats.connect(nats_url) as connection:
        stream = connection.jetstream()
        await stream.add_stream(name=prefix, subjects=[f"{prefix}.>"])
        assert (await stream.publish(f"{prefix}.a", b"kept")).seq == 1
