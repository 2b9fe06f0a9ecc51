"""Quality: the contracts that every table keeps, the gate that applies them, and the freshness promised for each.

``cards``, ``contracts``, ``gate`` and ``slas`` lie below the platform and know nothing of it: rows go in, verdicts come
out.
"""
