"""Timeline: the story of one run, from its log, with timing from spans where there are some."""
