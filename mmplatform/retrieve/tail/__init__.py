"""The tail of the log in memory: what is derived and not indexed yet, searched together with the index."""
