"""A stack that can be broken, a ledger of what it acknowledged, and the comparison of that with what it kept.

Its processes can be killed, held down, slowed and set to a wrong time. Used by ``benchmarks/chaos.py`` and
``tests/faults``.

Nothing of it is in the product: the stack's table is the usual one, each command of it started by
:mod:`benchmarks.faults.process`.
"""
