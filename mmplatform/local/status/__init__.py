"""Status: what the stack reports of itself, as tables and lines in a terminal."""
