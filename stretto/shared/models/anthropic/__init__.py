"""Anthropic: its messages API."""
