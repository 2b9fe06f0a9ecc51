"""OpenLineage run events: what ran, what it read and what it wrote, told to whoever collects lineage.

``names`` says what everything is called there, ``columns`` which column comes from which, ``facets`` what is said of a
job, a run and a dataset, ``landings`` what a landing of the stream is in these words. ``backends`` are where events
go, and ``emitter`` brings them there without ever holding the stream up. The reference for readers is
docs/reference/lineage.md.
"""
