"""Blobs: the bytes behind the claim check, in files or in an S3 bucket."""
