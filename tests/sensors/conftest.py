"""The stores that sensors read."""

from tests.assets.conftest import broker, chroma, settings, stores

__all__ = ["broker", "chroma", "settings", "stores"]
