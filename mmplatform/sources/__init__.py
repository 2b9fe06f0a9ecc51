"""Sources: other systems' formats made into events."""
