"""`python -m desk FILE` serves the desk on standard input and output; with `--http PORT` over HTTP on this machine; `--list` shows it."""

import argparse
from pathlib import Path

from desk.server import make_server
from desk.store import Store

__all__ = ["main"]


def main() -> None:
    """Serve until the input ends, or a signal comes."""
    parser = argparse.ArgumentParser(prog="desk", description="A small desk of tickets, kept in one SQLite file.")
    parser.add_argument("file", type=Path, help="where the tickets are; made if it is not there")
    parser.add_argument("--http", type=int, metavar="PORT", help="serve http://127.0.0.1:PORT/mcp and /tickets")
    parser.add_argument("--list", action="store_true", help="print the newest tickets and end")
    asked = parser.parse_args()
    store = Store(asked.file)
    if asked.list:
        for ticket in store.newest(20):
            print(f"#{ticket.number} [{ticket.priority}] {ticket.title}")  # noqa: T201 (its output)
    elif asked.http is not None:
        make_server(store).run("streamable-http", port=asked.http)
    else:
        make_server(store).run()


if __name__ == "__main__":
    main()
