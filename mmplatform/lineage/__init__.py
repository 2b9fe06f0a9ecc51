"""OpenLineage run events: jobs, their runs, and the datasets that they read and write.

``names`` maps tables, topics and jobs to OpenLineage names, ``columns`` columns to their sources, and ``facets`` and
``datasets`` build the parts of an event. ``landings`` describes landings of the stream. ``emitter`` sends events to one
of the ``backends`` and never blocks the stream. The reference is docs/reference/lineage.md.
"""
