"""Room 3, artifact to stores: blobs, the Chroma index, the Iceberg lakehouse."""
