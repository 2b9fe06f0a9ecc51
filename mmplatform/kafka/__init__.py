"""The replay log: client connection, producer, reader, topics and their partitions, dead letters."""
