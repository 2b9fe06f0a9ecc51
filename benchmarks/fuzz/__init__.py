"""A seeded fuzzer of every door: all that was sent is accepted, refused, quarantined or dead-lettered, exactly."""
