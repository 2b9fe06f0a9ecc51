"""Adapters: one module for each library or model that a deriver uses."""
