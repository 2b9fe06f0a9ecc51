"""mmplatform: live calls, chats and screenshots, retrievable within seconds, each passage with its origin and age.

The way of the data is drawn in ``docs/explanation/architecture.md``; the words used here are defined in
``docs/reference/glossary.md``.
"""

from importlib.metadata import version

__version__ = version("mmplatform")
