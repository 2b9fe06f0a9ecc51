"""Settings: every ``MMPLATFORM_*`` variable, one module for each topic. ``environment`` alone reads the environment."""

from mmplatform.settings.environment import Settings, env_var_name, load
from mmplatform.settings.models import DETECT_LANGUAGE

__all__ = ["DETECT_LANGUAGE", "Settings", "env_var_name", "load"]
