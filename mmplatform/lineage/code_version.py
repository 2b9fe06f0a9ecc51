"""Repository and commit of the running code, from the package's metadata or from its checkout."""

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
class CodeVersion:
    """A repository and the commit that is running."""

    url: str
    version: str


def find_code_version(package: str, root: Path) -> CodeVersion | None:
    """Repository and commit of a package; ``None`` when unknown, as for a wheel, which does not name its repository.

    Args:
        package: its distribution name.
        root: the folder of its checkout. A repository in a parent folder is another project.
    """
    return _from_package_record(package) or _from_checkout(root)


def _from_package_record(package: str) -> CodeVersion | None:
    """Repository from PEP 610 metadata, which an installer writes for an install from a repository."""
    try:
        record = json.loads(distribution(package).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    return _public_code_version(str(record.get("url", "")), record.get("vcs_info", {}).get("commit_id"))


def _from_checkout(root: Path) -> CodeVersion | None:
    from openlineage.client.git import get_git_repo_url, get_git_version

    folder = root / ".git"
    if not folder.is_dir():
        return None
    try:
        return _public_code_version(get_git_repo_url(git_dir=folder) or "", get_git_version(folder))
    except (OSError, ValueError):
        return None


def _public_code_version(url: str, version: str | None) -> CodeVersion | None:
    """Only addresses that others can reach, without their password."""
    scp = _SCP.match(url)
    parts = urlsplit(f"ssh://{scp[1]}/{scp[2]}" if scp else url)
    if not version or parts.scheme not in _PUBLIC or not parts.hostname:
        return None
    return CodeVersion(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl(), version)
