"""docs/protocol.md and docs/protocol.schema.json: complete, up to date, and true of what the code writes and reads."""

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from stretto.bus.codec import decode
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.message import Message
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey, Subjects
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.request import Request
from tools.protocol_doc import documents
from tools.protocol_schema import messages
from tools.protocol_subjects import pattern

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SCHEMA = json.loads((ROOT / "docs" / "protocol.schema.json").read_text(encoding="utf-8"))
NO_SUBJECTS = {
    *("parse_run", "suspected", "stream", "runs_stream", "tasks_stream"),
    *(name for name in vars(Subjects) if name.endswith("_template")),
}
"""Methods of `Subjects` that read a subject, name a stream, or name a kind of subjects to people."""
WILDCARDS = {
    "requests_of",
    "turns",
    "tasks_of",
    "tasks_of_run",
    "suspects_of",
    "fillers_of",
    "steps",
    "steps_of_run",
    *(name for name in vars(Subjects) if name.startswith("any_")),
}
"""Methods of `Subjects` that build what readers subscribe to: the same subjects with `*` and `>` in them."""


def validator(name: str) -> Validator:
    return Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{name}"})


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_it_is_what_the_code_makes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == documents()[path], "write it anew with: make docs"


@pytest.mark.parametrize(
    "builder",
    [
        name
        for name, _ in inspect.getmembers(Subjects, inspect.isfunction)
        if not name.startswith("_") and name not in NO_SUBJECTS | WILDCARDS
    ],
)
def test_every_subject_is_in_it(builder: str) -> None:
    assert f"`{pattern(builder, Subjects())}" in DOC


def test_every_message_of_the_whole_package_is_in_it() -> None:
    declared = {
        node.name
        for file in (ROOT / "stretto").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Message" for base in node.bases)
    }
    assert declared == {one.__name__ for one in messages()}
    assert all(f"### `{one.TYPE}` {one.VERSION}\n\n{one.__name__}: " in DOC for one in messages())


def test_no_two_messages_share_a_type() -> None:
    assert len({one.TYPE for one in messages()}) == len(messages())


def test_every_reference_leads_somewhere() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    references = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(SCHEMA)))
    assert references <= set(SCHEMA["$defs"])


def test_it_describes_every_message_and_the_fields_that_the_code_describes() -> None:
    assert all(SCHEMA["$defs"][one.__name__]["description"] for one in messages())
    described = SCHEMA["$defs"]["DeadLetter"]["properties"]["origin"]["description"]
    assert described == "the subject it came on"
    assert "Attributes:" not in DOC


def test_the_schemas_take_what_the_code_writes() -> None:
    request = Request(text="How are refunds handled?", scope=("handbook",), deadline_s=60)
    envelope = Envelope.of(request, tenant="default", run="refunds-1", sender="local")
    validator("Envelope").validate(envelope.model_dump(mode="json"))
    validator("Request").validate(envelope.body | {"scope": list(request.scope)})


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "why?", "playbook": "NO.TOKEN"}, {"text": 1}])
def test_the_schemas_refuse_what_the_code_refuses(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        validator("Request").validate(body)
    with pytest.raises(ValueError, match="validation error"):
        Request.model_validate(body)


@pytest.mark.parametrize(("kind", "model", "count"), [("request", Request, 1), ("command", Command, 2)])
def test_what_it_publishes_by_hand_is_a_message(kind: str, model: type[Message], count: int) -> None:
    subjects = re.findall(rf"nats pub --jetstream (stretto\.run\.\S+\.{kind}\.\S+)", DOC)
    texts = re.findall(rf"""'(\{{"type": "{kind}".*\}})'""", DOC)
    assert len(subjects) == len(texts) == count
    for subject, text in zip(subjects, texts, strict=True):
        place = Subjects().parse_run(subject)
        assert place.key == RunKey.of("default", "refunds-1", Deployment().shards)
        stand_ins = {"id": "1", "tenant": place.key.tenant, "run": place.key.run, "sender": place.tail[0]}
        envelope = decode(text.encode(), defaults={**stand_ins, "sent_at": "2026-01-01T00:00:00Z"})
        assert open_envelope(envelope, model).fits(subject)


def test_its_command_line_writes_and_checks_the_documents() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tools.protocol_doc", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
