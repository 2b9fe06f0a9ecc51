"""``mmplatform canary``: which gateway and which search it asks."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mmplatform.cli.main import app
from mmplatform.errors import Unavailable
from mmplatform.pipeline.canary import service


@pytest.mark.parametrize(
    ("options", "search_url", "addresses"),
    [
        ((), "http://search:8080", ("http://gateway:8080", "http://search:8080")),
        ((), "", ("http://gateway:8080", "http://gateway:8080")),
        (("--url", "http://one:1/"), "http://search:8080", ("http://one:1", "http://one:1")),
    ],
)
def test_the_addresses_are_those_of_the_settings_but_for_an_explicit_one(
    options, search_url, addresses, monkeypatch, tmp_path
):
    opened = []

    def refuse(_, gateway, search):
        opened.append((gateway, search))
        raise Unavailable("enough")

    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("MMPLATFORM_CHROMA_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MMPLATFORM_CANARY_GATEWAY_URL", "http://gateway:8080")
    monkeypatch.setenv("MMPLATFORM_CANARY_SEARCH_URL", search_url)
    monkeypatch.setattr(service, "PublicDoors", refuse)
    assert CliRunner().invoke(app, ["canary", *options]).exit_code != 0
    assert opened == [addresses]
