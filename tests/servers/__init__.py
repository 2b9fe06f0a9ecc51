"""Real servers for tests, on free loopback ports and in own folders: S3 and REST catalog, Chroma, Postgres."""
