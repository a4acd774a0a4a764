"""Options: what several groups of commands take."""

from typing import Annotated

import typer

__all__ = ["Json", "Owned", "Quiet", "Tenant"]

Json = Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout.")]
Owned = Annotated[bool, typer.Option("--owned", hidden=True, help="Stop when standard input ends.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress at stderr.")]
Tenant = Annotated[str | None, typer.Option(help="For whom; without it the setting `tenant`.")]
