"""Reprocessing: one hour derived again from its raw rows and put in the place of what is stored."""
