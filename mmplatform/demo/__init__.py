"""Demo: streams the case of a payment that failed three times into the platform, and asks questions about it.

It uses the public HTTP API only, so that it is also the smallest example of a client.
"""
