"""The sample data that the demo streams, and the programs that make it."""
