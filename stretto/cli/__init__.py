"""The `stretto` command."""
