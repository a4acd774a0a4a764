"""The messages that all processes agree on: one file a noun, versioned, public."""
