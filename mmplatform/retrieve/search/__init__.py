"""Search: finds the passages that answer a question."""
