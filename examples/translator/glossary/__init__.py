"""A user's own agent, as a package of its own."""
