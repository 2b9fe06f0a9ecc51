"""Runs of raw hours and of index buckets."""
