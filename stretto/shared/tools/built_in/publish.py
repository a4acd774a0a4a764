"""Publish: gives a text to the world, as a file in a folder or through a webhook."""

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from stretto.shared.tools.built_in.page import Format, make_page
from stretto.shared.tools.built_in.webhook import Webhook
from stretto.shared.tools.errors import ToolForbidden, ToolUnavailable
from stretto.shared.tools.protocol import Consequences

__all__ = ["Publish"]

_ENDINGS: Final[Mapping[Format, str]] = {"markdown": "md", "html": "html"}
_MAX_SLUG_CHARS: Final = 60
_CLAIMS: Final = ".published"


class Publish:
    """Publishes a title and a text in Markdown. Under one key there is one publication, whoever asks and how often.

    In a folder, its file is called by title and key. It is written whole or not at all, and never changed again by this tool; what each key
    stands for is kept in `.published` beside it.

    Args:
        to: the folder, or the webhook: it is sent `title`, `text` and `format` (the whole page where that is `html`).
        form: what is published.
    """

    description = "Publish a text under a title. It is seen by others at once, and cannot be taken back."
    schema: Mapping[str, JsonValue] = {
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": 200},
            "text": {
                "type": "string",
                "minLength": 1,
                "maxLength": 200_000,
                "description": "In Markdown, without HTML.",
            },
        },
        "required": ["title", "text"],
        "additionalProperties": False,
    }
    output_schema: Mapping[str, JsonValue] | None = {"type": "object"}

    def __init__(self, *, name: str, to: Path | Webhook, form: Format) -> None:
        self.name = name
        self._to = to
        self._form: Format = form

    @property
    def effects(self) -> Consequences:
        return self._to.effects if isinstance(self._to, Webhook) else "keyed"

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        """As `Tool.call`; the result names the file, or is what the webhook answered.

        Raises:
            ToolArgumentsWrong: the text has HTML in it, which a page in Markdown would hand on.
            ToolForbidden: something else was published under this key, or the webhook refuses it.
            ToolUnavailable: the folder cannot be written, or the webhook is not reached.
        """
        title, text = str(arguments["title"]), str(arguments["text"])
        page = make_page(title, text, self._form)
        if isinstance(self._to, Webhook):
            return await self._to.post({"title": title, "text": page, "format": self._form}, key=key)
        return {"file": await asyncio.to_thread(self._write, self._to, title, page, key)}

    def _write(self, folder: Path, title: str, page: str, key: str) -> str:
        mark = hashlib.sha256(key.encode()).hexdigest()[:16]
        digest = hashlib.sha256(page.encode()).hexdigest()
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower())[:_MAX_SLUG_CHARS].strip("-")
        name = f"{slug}-{mark}.{_ENDINGS[self._form]}".lstrip("-")
        claims = folder / _CLAIMS
        try:
            claims.mkdir(parents=True, exist_ok=True)
            # First of all, for good: what this key stands for. Whoever dies before the page is there finds that again.
            if not _put(claims / mark, digest) and (claims / mark).read_text(encoding="utf-8") != digest:
                raise ToolForbidden(f"{self.name} has published something else under this key: nothing was written")
            _put(folder / name, page)
        except OSError as error:
            raise ToolUnavailable(f"{self.name} cannot write into its folder: {error.strerror or error}") from error
        return name


def _put(file: Path, text: str) -> bool:
    """Write the whole file, or find that it is there: False."""
    draft = file.parent / f".{secrets.token_hex(8)}"
    try:
        with draft.open("x", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        os.link(draft, file)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True
