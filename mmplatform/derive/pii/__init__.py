"""What personal data looks like in support texts: pure finders over text, and the analyzer that runs them.

A finder takes a text in its plain form (``views.plain``) and yields spans. It never raises, whatever the text.
"""
