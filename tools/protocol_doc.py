"""Writes docs/protocol.md and docs/protocol.schema.json from the code; `--check` only says whether they are what the code makes."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stretto.bus.artifacts import INLINE_LIMIT_BYTES, MAX_ARTIFACT_BYTES
from stretto.bus.codec import MAX_DEPTH, MAX_MESSAGE_BYTES
from stretto.bus.message import Value
from stretto.bus.streams import Deployment
from stretto.bus.subjects import TOKEN_PATTERN
from stretto.shared.contracts.request import MAX_REQUEST_CHARS
from tools.protocol_schema import bundle, messages, parts
from tools.protocol_subjects import streams, subject_rows

__all__ = ["documents", "main"]

ROOT = Path(__file__).parents[1]


def documents() -> dict[Path, str]:
    """The documents as the code makes them now, by path."""
    schema = bundle()
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (the output is Markdown)
    )
    deployment = Deployment()
    text = environment.get_template("protocol.md.jinja").render(
        subjects=list(subject_rows(deployment)),
        streams=[(spec.name, _config(spec.config), spec.consumers) for spec in streams(deployment)],
        config=_config,
        envelope=schema["$defs"]["Envelope"],
        messages=[(one.TYPE, one.VERSION, one.__name__, schema["$defs"][one.__name__]) for one in messages()],
        parts=[(one.__name__, schema["$defs"][one.__name__]) for one in _documented(parts())],
        block=_block,
        token=TOKEN_PATTERN,
        request_chars=MAX_REQUEST_CHARS,
        inline_kib=INLINE_LIMIT_BYTES // 1024,
        artifact_mib=MAX_ARTIFACT_BYTES // 1024**2,
        message_mib=MAX_MESSAGE_BYTES // 1024**2,
        depth=MAX_DEPTH,
    )
    return {
        ROOT / "docs" / "protocol.md": text,
        ROOT / "docs" / "protocol.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
    }


def main() -> None:
    """Write the documents, or compare them."""
    parser = argparse.ArgumentParser(prog="python -m tools.protocol_doc", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a document is not up to date")
    check: bool = parser.parse_args().check
    made = documents()
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if check and stale:
        sys.exit(f"not up to date: {', '.join(path.name for path in stale)}; write them anew with: make docs")
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(made[path], encoding="utf-8")


def _documented(found: list[type[Value]]) -> list[type[Value]]:
    """Without those that have no properties of their own to show."""
    return [one for one in found if one.model_fields]


def _block(definition: dict[str, Any]) -> str:
    """A definition as JSON, one property a line, so that a person can read it."""
    shown = {name: value for name, value in definition.items() if name != "description"}
    properties = shown.pop("properties", {})
    lines = [f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in shown.items()]
    inner = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(one, ensure_ascii=False)}" for name, one in properties.items()
    )
    if inner:
        lines.append(f'  "properties": {{\n{inner}\n  }}')
    return "{\n" + ",\n".join(lines) + "\n}"


def _config(config: Any) -> str:
    return json.dumps(config, indent=2)


if __name__ == "__main__":
    main()
