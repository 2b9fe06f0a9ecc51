"""Canaries: synthetic events through the public gateway, looked for through the public search."""
