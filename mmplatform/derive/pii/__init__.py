"""Personal data in support texts: pure finders, and the Presidio analyzer that runs them.

A finder takes a text in its plain form (``normalise.to_plain``) and yields spans. It never raises, whatever the text.
"""
