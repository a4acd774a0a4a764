"""The plan that both systems carry out: two tasks in parallel, then three in a row, on payloads of 4 KiB."""

__all__ = ["AFTER", "PAYLOAD", "PLAYBOOK", "ROLES", "ROLE_OF", "SLOTS", "TASKS", "TIMEOUT_S"]

PAYLOAD = "x" * 4096
"""What a request asks, and what each task gives."""
PLAYBOOK = "five"
SLOTS = 64
"""Tasks of one role that a worker process runs at once, in both systems."""
TIMEOUT_S = 60.0

ROLE_OF = {"a": "collect", "b": "collect", "draft": "compose", "check": "check", "merge": "publish"}
TASKS = tuple(ROLE_OF)
ROLES = tuple(dict.fromkeys(ROLE_OF.values()))
AFTER = {"a": (), "b": (), "draft": ("a", "b"), "check": ("draft",), "merge": ("draft", "check")}
"""Whose outputs each task takes."""
