"""The supervisor: turns a request into a plan, tasks and one answer."""
