"""The table of bad inputs: what it is called, how it is sent, how it ends. docs/reference/bad-input.md shows it."""

from tests.integration.bad_inputs import media, poison, texts

ROWS = (*texts.GATEWAY, *texts.LOG, *media.CALLS, *media.IMAGES, *poison.LOG)
