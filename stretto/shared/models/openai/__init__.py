"""OpenAI: its responses API, and chat completions, which compatible servers speak."""
