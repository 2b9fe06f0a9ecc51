"""Readers: what checks and sensors read from the lakehouse and from the running stack."""
