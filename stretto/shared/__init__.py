"""What every process agrees on and draws on: contracts, models, memory, settings."""
