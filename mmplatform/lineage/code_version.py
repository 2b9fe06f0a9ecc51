"""Where this code comes from, as far as it can be known: by the package's own record, or by the checkout it lies in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_SCP: Final = re.compile(r"^(?:[\w.-]+@)?([\w.-]+):(?!//)(.+)$")
_PUBLIC: Final = frozenset({"http", "https", "ssh", "git"})


@dataclass(frozen=True, slots=True)
class Source:
    """A repository and the commit that is running."""

    url: str
    version: str


def source_of(package: str, root: Path) -> Source | None:
    """Where a package's code comes from; ``None`` where nobody can tell: a wheel says nothing of its repository.

    Args:
        package: its name, as it was installed.
        root: the folder that it would be a checkout of. A repository further up is somebody else's.
    """
    return _installed_from(package) or _checked_out(root)


def _installed_from(package: str) -> Source | None:
    """What the installer noted (PEP 610): it does so for an install from a repository."""
    try:
        noted = json.loads(distribution(package).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    return _source(str(noted.get("url", "")), noted.get("vcs_info", {}).get("commit_id"))


def _checked_out(root: Path) -> Source | None:
    from openlineage.client.git import get_git_repo_url, get_git_version

    folder = root / ".git"
    if not folder.is_dir():
        return None
    try:
        return _source(get_git_repo_url(git_dir=folder) or "", get_git_version(folder))
    except (OSError, ValueError):
        return None


def _source(url: str, version: str | None) -> Source | None:
    """Only what others can reach, and without the password in its address."""
    scp = _SCP.match(url)
    found = urlsplit(f"ssh://{scp[1]}/{scp[2]}" if scp else url)
    if not version or found.scheme not in _PUBLIC or not found.hostname:
        return None
    return Source(found._replace(netloc=found.netloc.rpartition("@")[2], query="", fragment="").geturl(), version)
