"""Adapters: one module for each library of models that a deriver uses."""
