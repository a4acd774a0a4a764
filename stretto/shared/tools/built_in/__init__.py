"""The tools that come with Stretto."""
