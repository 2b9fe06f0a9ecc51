"""The demo: the story of a payment that failed three times, streamed into the running platform and asked about.

It uses the public doors only: the gateway and the search. So it is also the smallest example of a client.
"""
