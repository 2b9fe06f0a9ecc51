"""Dagster's configuration as `mmplatform up` writes it: it has no secret, and a user's own file is left unchanged."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.instance.ref import InstanceRef
from dagster._core.scheduler.instigation import TickStatus

from mmplatform.errors import Misconfigured
from mmplatform.local.services import dagster_home
from mmplatform.local.services.dagster_home import (
    GENERATED_HEADER,
    aws_environment,
    dagster_yaml,
    missing_settings,
    prepare,
)
from mmplatform.settings import load

ROOT = Path(__file__).parents[3]
# Word for word what earlier releases wrote.
FIRST = "# Written once by `mmplatform up`; yours to change.\ntelemetry:\n  enabled: false\n"
LIMITED = f"""{FIRST}# One step of a pool at a time: two runs that derive the same hour would do each other's work.
concurrency:
  pools:
    default_limit: 1
"""
DATABASE = "postgresql+psycopg2://dagster:very-secret@db.example/dagster"


def settings(**given):
    return load(
        dagster_postgres_url=DATABASE,
        dagster_compute_logs_url="s3://logs/runs",
        s3_access_key="key",
        s3_secret_key="hidden",
        **given,
    )


def test_no_secret_is_written_down(tmp_path):
    text = dagster_yaml(tmp_path, settings())
    assert "env: MMPLATFORM_DAGSTER_POSTGRES_URL" in text
    assert not any(secret in text for secret in ("very-secret", "db.example", "hidden"))


def test_a_dagster_dev_without_a_home_reads_the_same_configuration_in_the_checkout(tmp_path):
    ref = InstanceRef.from_dir(str(tmp_path), config_dir=str(ROOT))  # as `dagster dev` does in this folder
    with dg.DagsterInstance.from_ref(ref) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
    own, written = (ROOT / "dagster.yaml").read_text(), dagster_yaml(tmp_path, load())
    assert own.partition("\n")[2] == written.partition("\n")[2], "but for the first line"


def test_unset_settings_keep_dagsters_defaults(tmp_path):
    text = dagster_yaml(tmp_path, load())
    assert "default_limit: 1" in text
    assert "storage:" not in text
    assert "compute_logs:" not in text


def test_the_file_follows_the_settings_until_its_first_line_is_removed(tmp_path):
    prepare(tmp_path, load())
    prepare(tmp_path, settings())
    file = tmp_path / "dagster.yaml"
    assert file.read_text() == dagster_yaml(tmp_path, settings())
    own = file.read_text().removeprefix(GENERATED_HEADER) + "nux: {enabled: false}\n"
    file.write_text(own)
    prepare(tmp_path, load())
    assert file.read_text() == own


@pytest.mark.parametrize("earlier", [FIRST, LIMITED])
def test_an_unchanged_file_of_an_earlier_release_is_written_again(tmp_path, earlier):
    file = tmp_path / "dagster.yaml"
    file.write_text(earlier)
    assert missing_settings(tmp_path, load()) != []
    prepare(tmp_path, load())
    assert file.read_text() == dagster_yaml(tmp_path, load())
    assert missing_settings(tmp_path, load()) == []


def test_a_file_of_an_earlier_release_that_the_user_changed_stays_and_its_missing_settings_are_named(tmp_path):
    file = tmp_path / "dagster.yaml"
    own = f"{LIMITED}retention:\n  sensor:\n    purge_after_days: 7\n"
    file.write_text(own)
    prepare(tmp_path, load())
    assert file.read_text() == own
    assert missing_settings(tmp_path, load()) == [
        "concurrency.pools.granularity: a run that waits for its pool would be a waiting process",
        "retention: every tick of a schedule would be stored for ever",
    ]


def test_the_missing_settings_of_a_users_own_file_are_named(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert [line.partition(":")[0] for line in missing_settings(tmp_path, settings())] == [
        "concurrency.pools.default_limit",
        "concurrency.pools.granularity",
        "retention",
        "storage.postgres",
        "compute_logs",
    ]
    (tmp_path / "dagster.yaml").write_text(dagster_yaml(tmp_path, settings()))
    assert missing_settings(tmp_path, settings()) == []


@pytest.mark.parametrize("text", ["a: [", "- a\n- b\n", ""])
def test_an_empty_or_broken_file_is_a_finding_and_no_crash(tmp_path, text):
    (tmp_path / "dagster.yaml").write_text(text)
    if text == "a: [":
        with pytest.raises(Misconfigured, match=r"dagster\.yaml cannot be read"):
            missing_settings(tmp_path, settings())
    else:
        assert len(missing_settings(tmp_path, settings())) == 5


def test_postgres_without_its_package_fails_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(dagster_home.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(Misconfigured, match="postgres") as error:
        prepare(tmp_path, settings())
    assert "very-secret" not in str(error.value)


def test_the_keys_reach_dagster_under_awss_names_and_only_when_its_logs_go_there():
    assert aws_environment(settings(s3_region="eu-west-1")) == {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hidden", "AWS_DEFAULT_REGION": "eu-west-1"
    }  # fmt: skip
    assert aws_environment(load(s3_access_key="key")) == {}


@pytest.mark.parametrize("wrong", ["postgresql://user:very-secret@host/db", "very-secret"])
def test_another_database_is_refused_without_repeating_it(wrong):
    with pytest.raises(Misconfigured, match=r"MMPLATFORM_DAGSTER_POSTGRES_URL: .*postgresql\+psycopg2://") as error:
        load(dagster_postgres_url=wrong)
    assert "very-secret" not in str(error.value)


@pytest.mark.parametrize("wrong", ["logs", "s3://", "s3:///prefix", "http://logs"])
def test_logs_go_to_s3_and_nowhere_else(wrong):
    with pytest.raises(Misconfigured, match="MMPLATFORM_DAGSTER_COMPUTE_LOGS_URL"):
        load(dagster_compute_logs_url=wrong)


def test_dagster_takes_the_configuration_that_is_written_and_keeps_ticks_for_days_only(tmp_path):
    prepare(tmp_path, load())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled, "no dialog that asks to join a community"
        for kind, longest in ((InstigatorType.SENSOR, 30), (InstigatorType.SCHEDULE, 90)):
            days = instance.get_tick_retention_settings(kind)
            assert set(days) == set(TickStatus)
            assert all(0 < each <= longest for each in days.values())


def test_the_file_is_written_for_deployments_that_start_dagster_themselves(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MMPLATFORM_DAGSTER_POSTGRES_URL", DATABASE)
    assert dagster_home.main() == 0
    home = tmp_path / "dagster"
    assert (home / "dagster.yaml").read_text() == dagster_yaml(home, load())
    monkeypatch.setenv("MMPLATFORM_DAGSTER_POSTGRES_URL", "mysql://elsewhere")
    assert dagster_home.main() == 1
    assert "MMPLATFORM_DAGSTER_POSTGRES_URL" in capsys.readouterr().err
