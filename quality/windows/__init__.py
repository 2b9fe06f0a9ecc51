"""Windows of the stream: the figures of an hour of a table, their limits, and the same hour of earlier weeks or days.

The checks in :mod:`quality.checks` decide by them. Only ``models`` and ``figures`` need Pandera and Polars.
"""
