"""What a model is given: assembled in one place, within a budget of tokens."""
