"""Sources: convert other systems' formats into events."""
