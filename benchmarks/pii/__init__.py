"""Measures which personal data the redactor removes, and which harmless text too, on synthetic labelled texts.

Labels are exact spans, because every text is built from pieces whose kind is known. Templates stand in this package,
values come from faker, ``phonenumbers`` and checksums; nothing is shared with the word lists of the product.
"""
