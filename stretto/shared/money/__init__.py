"""Money: what calls cost, what may be spent, and what was."""
