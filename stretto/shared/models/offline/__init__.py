"""offline: deterministic extraction behind the model protocol, without key, network or language model."""
