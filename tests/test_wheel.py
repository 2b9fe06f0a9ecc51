"""What `pip install` gets: the wheel has all packages and nothing of the tests, and works without the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [built] = out.glob("*.whl")
    return built


def test_every_module_of_the_product_is_in_it_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as packed:
        found = {name for name in packed.namelist() if ".dist-info/" not in name}
    packages = ("mmplatform", "assets", "sensors", "resources", "quality")
    wanted = {str(path.relative_to(ROOT)) for package in packages for path in (ROOT / package).rglob("*.py")}
    pii = ("name_lists.txt.xz", "words.txt.xz", "redaction_policy.yaml")
    data = {f"mmplatform/derive/pii/{name}" for name in pii} | {"mmplatform/pipeline/canary/speech.ogg"}
    assert found == wanted | data | {"definitions.py", "mmplatform/py.typed"}


def test_it_works_where_the_checkout_is_not(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    script = (
        "import sys; sys.path = [sys.argv[1], *(p for p in sys.path if p not in {'', sys.argv[2]})]; "
        "import definitions, mmplatform.cli.main; print(definitions.__file__); print(mmplatform.cli.main.__file__)"
    )
    command = [sys.executable, "-I", "-c", script, str(tmp_path / "site"), str(ROOT)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(str(tmp_path)) for line in done.stdout.splitlines())
