"""The Chroma index: one collection for each bucket and embedder, and the registry of embedders."""
