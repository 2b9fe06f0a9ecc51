"""Where the code comes from is told only where it is known."""

from __future__ import annotations

import json
import subprocess

import pytest

from mmplatform.lineage import code_version, facets
from mmplatform.lineage.code_version import CodeVersion, find_code_version
from mmplatform.lineage.names import LineageName


@pytest.fixture
def checkout(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    return git


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://user:secret@git.example/team/mmplatform.git", "https://git.example/team/mmplatform.git"),
        ("git@git.example:team/mmplatform.git", "ssh://git.example/team/mmplatform.git"),
        ("ssh://git@git.example:2222/team/mmplatform.git", "ssh://git.example:2222/team/mmplatform.git"),
    ],
)
def test_a_checkout_tells_its_remote_and_its_commit(tmp_path, checkout, remote, url):
    checkout("remote", "add", "origin", remote)
    assert find_code_version("no-such-package", tmp_path) == CodeVersion(url, checkout("rev-parse", "HEAD"))


def test_a_checkout_without_a_place_that_others_reach_tells_nothing(tmp_path, checkout):
    assert find_code_version("no-such-package", tmp_path) is None
    checkout("remote", "add", "origin", "/srv/git/mmplatform.git")
    assert find_code_version("no-such-package", tmp_path) is None


def test_somebody_elses_repository_further_up_is_not_ours(tmp_path, checkout):
    checkout("remote", "add", "origin", "https://git.example/other.git")
    folder = tmp_path / "venv" / "site-packages"
    folder.mkdir(parents=True)
    assert find_code_version("no-such-package", folder) is None


def test_an_install_from_a_repository_is_known_by_what_the_installer_noted(monkeypatch, tmp_path):
    class Installed:
        def __init__(self, noted):
            self._noted = noted

        def read_text(self, name):
            assert name == "direct_url.json"
            return self._noted

    def installed(noted):
        monkeypatch.setattr(code_version, "distribution", lambda _: Installed(noted))
        return find_code_version("mmplatform", tmp_path)

    noted = {"url": "https://git.example/m.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    assert installed(json.dumps(noted)) == CodeVersion("https://git.example/m.git", "abc")
    assert installed(json.dumps({"url": "file:///work/m", "dir_info": {"editable": True}})) is None
    assert installed(None) is None
    assert installed("no json") is None


def test_a_job_says_where_its_code_is_if_that_is_known():
    how = {"kind": "LANDING", "processing": "BATCH", "integration": "MMPLATFORM", "path": "mmplatform/worker.py"}
    job = facets.job(LineageName("n", "j"), code_version=CodeVersion("https://git.example/m.git", "abc"), **how)
    facet = job.facets["sourceCodeLocation"]
    assert (facet.type, facet.url, facet.path, facet.version) == (
        "git", "https://git.example/m.git", "mmplatform/worker.py", "abc",
    )  # fmt: skip
    assert "sourceCodeLocation" not in facets.job(LineageName("n", "j"), code_version=None, **how).facets
