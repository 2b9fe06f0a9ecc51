"""``python -m mmplatform`` is ``mmplatform``."""

from mmplatform.cli.main import main

main()
