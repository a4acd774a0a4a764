"""An MCP server that misbehaves as it is told: `python -m tests.integration.rogue_server HOW`; it speaks the protocol by hand."""

import json
import os
import sys
import time
from typing import Any

__all__ = ["TOOLS", "answer"]

TOOLS: list[dict[str, Any]] = [
    {"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    {"name": "act.twice", "description": "Acts.", "inputSchema": {"type": "object"}},
    {
        "name": "promise",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
]


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def answer(number: object, result: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0", "id": number, "result": result}) + "\n")


def call(how: str, number: object, params: dict[str, Any]) -> None:
    name, arguments = params["name"], params.get("arguments", {})
    wanted = arguments.get("do", "")
    if wanted == "die":
        os._exit(7)
    elif wanted == "hang":
        time.sleep(3_600)
    elif wanted == "long line":
        while True:
            write("x" * 65_536)
    elif wanted == "junk":
        while True:
            write("this is no message\n" * 1_000)
    elif wanted == "stderr":
        sys.stderr.write(("secret " + "y" * 1_000 + "\n") * 5_000)
    elif wanted == "not MCP":
        answer(number, {"content": "text"})
        return
    elif name == "promise":
        answer(number, {"content": [], "structuredContent": {"n": wanted}})
        return
    told = {**arguments, "pid": os.getpid(), "meta": params.get("_meta", {}), "variable": os.environ.get("TOKEN", "")}
    image = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
    answer(number, {"content": [{"type": "text", "text": json.dumps(told)}, image]})


def main(how: str) -> None:
    if how == "cannot":
        sys.exit(f"no desk here, whatever {os.environ.get('TOKEN', '')} says")
    if how == "silent":
        time.sleep(3_600)
    if how == "chatty":
        write("Starting up, please wait\n\n{}\n")
    for line in sys.stdin:
        message = json.loads(line)
        match message.get("method"):
            case "initialize":
                version = message["params"]["protocolVersion"]
                info = {"name": "rogue", "version": "1"}
                answer(message["id"], {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
            case "tools/list" if how == "endless":
                answer(message["id"], {"tools": TOOLS, "nextCursor": "on and on"})
            case "tools/list":
                answer(message["id"], {"tools": TOOLS})
            case "tools/call":
                call(how, message["id"], message["params"])
            case _ if "id" in message:
                error = {"code": -32601, "message": "Method not found"}
                write(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}) + "\n")
            case _:
                pass


if __name__ == "__main__":
    main(sys.argv[1])
