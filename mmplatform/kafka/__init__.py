"""The replay log: how clients connect, the one writer, the read side, topics and their partitions, dead letters."""
