"""The name of every setting, as the variable that sets it has it: without the prefix, in small letters."""

from mmplatform.settings import Settings

SETTING_NAMES = tuple(setting.name for setting in Settings.model_construct().flattened())
