"""Tools: what agents may use to act on the world, behind one protocol."""

from stretto.shared.tools.protocol import Consequences, Tool

__all__ = ["Consequences", "Tool"]
