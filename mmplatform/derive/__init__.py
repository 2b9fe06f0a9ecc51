"""Raw → artifact: one deriver for each modality, one adapter for each model.

A deriver is pure: events, bytes and models in, artifacts out. The stream and a reprocessing run use the same one.
"""
