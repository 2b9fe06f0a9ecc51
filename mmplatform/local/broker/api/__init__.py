"""The handlers, one module for each family of APIs; each is a function of (node, call, request)."""
