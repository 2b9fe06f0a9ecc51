"""Status of the stack as tables and lines in a terminal."""
