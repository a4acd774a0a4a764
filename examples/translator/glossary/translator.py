"""Translator: an agent that puts the words of a glossary in place of others, the same way every time."""

import re
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from stretto.agents import Agent, TaskContext
from stretto.agents.errors import TaskPermanent

__all__ = ["TranslateTask", "Translation", "Translator"]

GERMAN = {
    "refund": "Erstattung",
    "refunds": "Erstattungen",
    "customer": "Kunde",
    "warehouse": "Lager",
    "gift card": "Geschenkkarte",
    "gift cards": "Geschenkkarten",
}


class TranslateTask(BaseModel):
    """What the playbook hands over: a draft, and into which language."""

    draft: dict[str, Any]
    language: str = "de"


class Translation(BaseModel):
    """`text` becomes the answer's text; `replaced` are the words that were in the glossary."""

    text: str
    replaced: list[str] = Field(default_factory=list)


class Translator(Agent[TranslateTask, Translation]):
    """Keeps names and figures as they are: only what the glossary has is touched."""

    role: ClassVar[str] = "translator"
    description: ClassVar[str] = "Puts a company's own German terms into a text, word for word by its glossary."

    async def handle(self, task: TranslateTask, ctx: TaskContext) -> Translation:
        if task.language != "de":
            raise TaskPermanent(f"there is no glossary for {task.language!r}, only for 'de'")
        claims = task.draft.get("claims", [])
        text = " ".join(claim["text"] for claim in claims)
        if not text:
            return Translation(text=task.draft.get("gap", ""))
        await ctx.progress(f"translating {len(claims)} sentences")
        replaced: list[str] = []

        def term(found: re.Match[str]) -> str:
            replaced.append(found[0])
            return GERMAN[found[0].lower()]

        longest_first = sorted(GERMAN, key=len, reverse=True)
        pattern = rf"\b({'|'.join(map(re.escape, longest_first))})\b"
        return Translation(text=re.sub(pattern, term, text, flags=re.IGNORECASE), replaced=replaced)
