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

import numpy as np
import psutil
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from mmplatform.cli.app import app
from mmplatform.derive.models import fingerprint, locate
from mmplatform.errors import Misconfigured, Permanent, Unavailable
from mmplatform.local.models import MODELS, ModelSpec, Wheel, minilm, needed_by, present, pull
from mmplatform.local.models.parts import join_parts
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


def test_a_pulled_model_is_whole_with_its_licences_beside_it(toy, tmp_path):
    (made,) = pull(["toy"], tmp_path / "models")
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
    assert present(toy, tmp_path / "models")
    assert locate("toy", tmp_path / "models") == made
    assert not list((tmp_path / "models" / ".downloads").iterdir()), "wheels are kept only until the model is complete"


@pytest.mark.usefixtures("toy")
def test_a_model_that_is_there_is_left_alone(index, tmp_path):
    (made,) = pull(["toy", "toy"], tmp_path / "models")[:1]
    for wheel in index.iterdir():
        wheel.unlink()
    assert pull(["toy"], tmp_path / "models") == [made]


def test_progress_reaches_the_whole_of_every_wheel(toy, tmp_path):
    seen = {}
    pull(["toy"], tmp_path / "models", lambda what, done, total: seen.update({what: (done, total)}))
    assert seen == {f"toy {number}/2": (wheel.size, wheel.size) for number, wheel in enumerate(toy.wheels, start=1)}


def test_a_broken_pull_goes_on_from_the_wheels_that_came(toy, index, tmp_path):
    second = next(index.glob("toy_two*"))
    aside = second.rename(tmp_path / second.name)
    with pytest.raises(Unavailable, match="toy-two"):
        pull(["toy"], tmp_path / "models")
    assert not present(toy, tmp_path / "models")
    next(index.glob("toy_one*")).unlink()
    aside.rename(second)
    pull(["toy"], tmp_path / "models")
    assert present(toy, tmp_path / "models")


@pytest.mark.usefixtures("toy")
def test_a_wheel_that_is_not_the_pinned_one_is_refused(index, tmp_path):
    make_wheel(index, "toy-two", {"toy_two/m.bin.part2": "xx"})
    with pytest.raises(Permanent, match="not the pinned wheel"):
        pull(["toy"], tmp_path / "models")
    assert not (tmp_path / "models" / "toy").exists()


def test_a_damaged_download_is_fetched_again(toy, tmp_path):
    downloads = tmp_path / "models" / ".downloads"
    downloads.mkdir(parents=True)
    (downloads / "toy--toy-one-1.0.whl").write_bytes(b"half a wheel")
    pull(["toy"], tmp_path / "models")
    assert present(toy, tmp_path / "models")


def test_what_a_killed_pull_left_is_cleared_by_the_next_one(toy, tmp_path, monkeypatch):
    downloads = tmp_path / "models" / ".downloads"
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an index that never answers
        silent.settimeout(60)
        own = {
            "PIP_INDEX_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/simple",
            "PIP_CONFIG_FILE": "/dev/null",
            "NO_PROXY": "127.0.0.1",
        }
        code = (
            "from pathlib import Path; from mmplatform.local.models import pull;"
            f"pull(['whisper-tiny'], Path({str(tmp_path / 'models')!r}))"
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | own
        with subprocess.Popen([sys.executable, "-c", code], env=environment) as puller, silent.accept()[0]:
            client = psutil.Process(puller.pid).children()
            assert client
            for process in (psutil.Process(puller.pid), *client):
                process.kill()
    assert list(downloads.rglob("client-*"))
    monkeypatch.setitem(MODELS, "whisper-tiny", dataclasses.replace(toy, name="whisper-tiny"))
    pull(["whisper-tiny"], tmp_path / "models")
    assert not list(downloads.iterdir())


def test_a_full_disk_is_told_with_the_mend(toy, tmp_path, monkeypatch):
    def build(_directory):
        Path("/dev/full").write_text("weights")

    monkeypatch.setitem(MODELS, "toy", dataclasses.replace(toy, build=build))
    with pytest.raises(Permanent, match=r"No space left on device.*MMPLATFORM_MODELS_DIR"):
        pull(["toy"], tmp_path / "models")
    assert not present(toy, tmp_path / "models")


@pytest.mark.usefixtures("toy")
def test_a_directory_that_cannot_be_written_is_told_with_the_mend(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Permanent, match="MMPLATFORM_MODELS_DIR"):
        pull(["toy"], tmp_path / "file" / "models")


def test_what_other_wheels_made_is_replaced(toy, tmp_path):
    old = tmp_path / "models" / "toy"
    old.mkdir(parents=True)
    (old / "COMPLETE").write_text('{"fingerprint": "of another version"}')
    (old / "stale.bin").write_text("old")
    pull(["toy"], tmp_path / "models")
    assert present(toy, tmp_path / "models")
    assert not (old / "stale.bin").exists()


@pytest.mark.usefixtures("toy")
def test_several_pulls_at_once_do_no_harm(tmp_path):
    failures = []

    def run():
        try:
            pull(["toy"], tmp_path / "models")
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (tmp_path / "models" / "toy" / "m.bin").read_text() == "abcde"


def test_an_unknown_name_is_told_with_those_that_there_are(tmp_path):
    with pytest.raises(Misconfigured, match="whisper-base"):
        pull(["whisper-huge"], tmp_path)


def test_a_joined_file_of_another_size_is_refused(tmp_path):
    for number in range(1, 12):
        (tmp_path / f"m.part{number}").write_text(str(number))
    join_parts("m", size=13)(tmp_path)
    assert (tmp_path / "m").read_text() == "1234567891011"
    assert not list(tmp_path.glob("*.part*"))
    (tmp_path / "m.part1").write_text("too short")
    with pytest.raises(Permanent, match="9 bytes, not 13"):
        join_parts("m", size=13)(tmp_path)


def test_locate_tells_how_to_get_a_missing_model(tmp_path):
    with pytest.raises(Misconfigured, match="mmplatform models pull minilm"):
        locate("minilm", tmp_path)
    with pytest.raises(Misconfigured):
        locate("", tmp_path)
    (tmp_path / "minilm").mkdir()
    with pytest.raises(Misconfigured):  # without COMPLETE it may be half a model
        locate("minilm", tmp_path)
    assert locate(str(tmp_path / "minilm"), tmp_path) == tmp_path / "minilm"


def test_a_models_content_names_its_version(tmp_path):
    (tmp_path / "a").write_bytes(b"weights")
    (tmp_path / "b").write_bytes(b"Weights")
    assert len(fingerprint(tmp_path / "a")) == 12
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")
    with pytest.raises(Misconfigured, match="no c"):
        fingerprint(tmp_path / "c")


def test_the_platform_needs_the_models_that_its_settings_name_and_no_other():
    assert needed_by(Settings()) == ("whisper-base", "minilm", "en-sm")
    own = Settings(asr_model="whisper-tiny", embedder="/opt/embedder", ner_model="en-md")
    assert needed_by(own) == ("whisper-tiny", "en-md")


def test_the_table_is_whole():
    for name, spec in MODELS.items():
        assert spec.name == name
        assert spec.licence
        assert spec.source
        for wheel in spec.wheels:
            assert len(bytes.fromhex(wheel.sha256)) == 32
            assert wheel.keep
    assert len({spec.fingerprint for spec in MODELS.values()}) == len(MODELS)


@pytest.mark.usefixtures("toy")
def test_the_list_shows_what_is_here(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()
    assert runner.invoke(app, ["models", "pull", "toy"]).exit_code == 0
    lines = runner.invoke(app, ["models", "list"]).stdout.splitlines()
    assert "yes" in next(line for line in lines if " toy " in line)
    assert "no" in next(line for line in lines if " rampart " in line)
    assert "CC-BY-4.0" in next(line for line in lines if " rampart " in line)


def random_bert(folder):
    """A BERT of two layers with seeded weights, in the files that the builder reads."""
    rng = np.random.default_rng(7)
    size, inner, words = 16, 32, 20
    config = {"layer_norm_eps": 1e-12, "num_hidden_layers": 2, "hidden_size": size, "num_attention_heads": 4}
    shapes = {
        "embeddings.word_embeddings.weight": (words, size),
        "embeddings.position_embeddings.weight": (32, size),
        "embeddings.token_type_embeddings.weight": (2, size),
        "embeddings.LayerNorm.weight": (size,),
        "embeddings.LayerNorm.bias": (size,),
    }
    for layer in range(2):
        own = f"encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{own}.{part}.weight": (size, size), f"{own}.{part}.bias": (size,)}
        shapes |= {f"{own}.intermediate.dense.weight": (inner, size), f"{own}.intermediate.dense.bias": (inner,)}
        shapes |= {f"{own}.output.dense.weight": (size, inner), f"{own}.output.dense.bias": (size,)}
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{own}.{part}.weight": (size,), f"{own}.{part}.bias": (size,)}
    tensors = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    return config, tensors


def bert_in_numpy(ids, config, weights):
    """The textbook encoder for one text without padding, mean-pooled and of length 1."""
    from math import erf

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + config["layer_norm_eps"])
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    heads, each = config["num_attention_heads"], config["hidden_size"] // config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        own = f"encoder.layer.{layer}"
        q, k, v = (
            dense(x, f"{own}.attention.self.{part}").reshape(len(ids), heads, each).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(each)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True)) @ v
        attended = dense(mixed.transpose(1, 0, 2).reshape(len(ids), -1), f"{own}.attention.output.dense")
        x = norm(x + attended, f"{own}.attention.output.LayerNorm")
        wide = dense(x, f"{own}.intermediate.dense")
        wide = wide * (1 + np.vectorize(erf)(wide / np.sqrt(2))) / 2
        x = norm(x + dense(wide, f"{own}.output.dense"), f"{own}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def test_the_built_graph_is_the_textbook_encoder_also_under_padding(tmp_path):
    import onnxruntime

    config, weights = random_bert(tmp_path)
    minilm._write_encoder(tmp_path / "model.safetensors", config, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    texts = [[3, 1, 4, 1, 5, 9, 2], [6, 5], [13]]
    padded = np.zeros((3, 7), np.int64)
    mask = np.zeros((3, 7), np.int64)
    for row, ids in enumerate(texts):
        padded[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    (vectors,) = session.run(None, {"input_ids": padded, "attention_mask": mask})
    expected = np.stack([bert_in_numpy(ids, config, weights) for ids in texts])
    np.testing.assert_allclose(vectors, expected, atol=2e-5)
