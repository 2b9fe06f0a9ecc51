"""Retrieval: search with citations."""
