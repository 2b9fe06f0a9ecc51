"""Embedder swap: dual writes, the copy of the index, and the switch of the serving embedder."""
