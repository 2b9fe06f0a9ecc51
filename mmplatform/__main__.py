"""``python -m mmplatform`` is ``mmplatform``."""

from mmplatform.cli import main

main()
