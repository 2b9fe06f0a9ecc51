from itertools import count

import pytest

from mmplatform.errors import Misconfigured
from mmplatform.local.services.services import Stack, StackOptions, parse_derivers, plan_stack
from mmplatform.local.supervisor.supervisor import stop_order
from mmplatform.modalities import MODALITIES
from mmplatform.settings import Settings


def planned(options: StackOptions | None = None, **settings) -> Stack:
    above = count(0)
    taken: set[int] = set()

    def claim(preferred: int, _host: str) -> int:
        port = preferred or 40_000 + next(above)
        while port in taken:
            port += 1
        taken.add(port)
        return port

    return plan_stack(
        Settings(**{"kafka_bootstrap_servers": "", "chroma_url": "", **settings}), options or StackOptions(), claim
    )


def by_name(stack: Stack) -> dict:
    return {service.name: service for service in stack.services}


def test_the_whole_stack_is_a_server_each_and_a_worker_for_each_job():
    assert list(by_name(planned())) == [
        "broker", "chroma", "gateway", *(f"derive-{modality}" for modality in MODALITIES), "index", "archive", "canary"
    ]  # fmt: skip
    assert "canary" not in by_name(planned(canary_interval_s=0))


def test_a_configured_server_is_not_started_and_its_address_is_passed_on():
    stack = planned(kafka_bootstrap_servers="kafka.example:9092", chroma_url="http://chroma.example:8000")
    names = by_name(stack)
    assert not {"broker", "chroma"} & names.keys()
    assert (stack.kafka, stack.chroma) == ("kafka.example:9092", "http://chroma.example:8000")
    for service in stack.services:
        assert service.environment["MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS"] == "kafka.example:9092"
        assert service.environment["MMPLATFORM_CHROMA_URL"] == "http://chroma.example:8000"
        assert service.needs == ()


def test_every_worker_has_its_own_metrics_port_and_is_probed_there():
    services = [service for service in planned().services if service.metrics_url]
    assert len({service.metrics_url for service in services}) == len(services) == 7
    for service in services:
        assert service.probe.url == f"{service.metrics_url}/healthz"
        assert service.metrics_url.endswith(service.environment["MMPLATFORM_METRICS_PORT"])


def test_every_process_of_the_hot_path_keeps_few_arenas():
    assert {service.environment["MALLOC_ARENA_MAX"] for service in planned().services} == {"2"}


def test_every_worker_and_chroma_have_a_liveness_check():
    stack = planned()
    names = by_name(stack)
    looked_after = {name: service.liveness_url for name, service in names.items() if service.liveness_url}
    assert looked_after.pop("chroma") == f"{stack.chroma}/api/v2/heartbeat"
    assert looked_after == {name: f"{each.metrics_url}/livez" for name, each in names.items() if each.metrics_url}
    assert set(names) - set(looked_after) == {"broker", "chroma"}


def test_several_derivers_of_one_modality_differ_by_instance():
    stack = planned(StackOptions(parse_derivers("chat=0,call=3")))
    calls = {name: service for name, service in by_name(stack).items() if name.startswith("derive-call")}
    assert list(calls) == ["derive-call", "derive-call-1", "derive-call-2"]
    assert [service.environment["MMPLATFORM_WORKER_INSTANCE_ID"] for service in calls.values()] == ["0", "1", "2"]
    assert len({service.command for service in calls.values()}) == 1
    assert "derive-chat" not in by_name(stack)


def test_the_users_own_instance_stands_before_the_numbers_so_that_two_hosts_can_share_a_kafka():
    stack = planned(StackOptions(parse_derivers("call=2")), worker_instance_id="host-b")
    assert {
        name: service.environment["MMPLATFORM_WORKER_INSTANCE_ID"]
        for name, service in by_name(stack).items()
        if name in {"derive-call", "derive-call-1", "archive"}
    } == {"derive-call": "host-b-0", "derive-call-1": "host-b-1", "archive": "host-b-0"}


def test_workers_wait_for_the_log_and_only_the_indexer_for_the_index():
    names = by_name(planned())
    assert names["index"].needs == ("broker", "chroma")
    assert {names[name].needs for name in ("gateway", "derive-chat", "archive")} == {("broker",)}


def test_dagster_comes_last_with_its_own_home(tmp_path):
    stack = planned(StackOptions(dagster=("-w", "workspace.yaml"), dagster_cwd=tmp_path), data_dir=tmp_path)
    dagster = stack.services[-1]
    assert dagster.name == "dagster"
    assert set(dagster.after) == {service.name for service in stack.services[:-1]} - {"canary"}
    assert by_name(stack)["canary"].after == dagster.after
    assert dagster.environment["DAGSTER_HOME"] == str(tmp_path / "dagster")
    assert dagster.environment["MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS"] == stack.kafka
    assert dagster.command[-2:] == ("-w", "workspace.yaml")
    assert stack.dagster == "http://127.0.0.1:3000"


def test_a_gateway_on_every_interface_is_reached_over_loopback():
    assert planned(gateway_host="0.0.0.0").gateway == "http://127.0.0.1:8080"
    assert planned(gateway_host="::1").gateway == "http://[::1]:8080"


def test_the_stack_stops_in_the_reverse_order():
    levels = stop_order(planned(StackOptions(dagster=("-m", "definitions"))).services)
    assert set(levels[0]) == {"canary", "dagster"}
    assert levels[-1] == ["broker", "chroma"]
    assert set(levels[1]) == {"gateway", "derive-chat", "derive-call", "derive-screenshot", "index", "archive"}


@pytest.mark.parametrize("wrong", ["chat", "chat=", "chat=-1", "chat=x", "video=1", "chat=65", "chat=²", "chat=٣"])
def test_a_wrong_count_of_derivers_is_refused_with_an_example(wrong):
    with pytest.raises(Misconfigured, match="chat=1,call=2"):
        parse_derivers(wrong)


def test_a_modality_that_is_not_named_gets_one_deriver():
    assert parse_derivers(" call = 2 ,") == {"chat": 1, "call": 2, "screenshot": 1}


def test_the_keys_of_the_object_store_reach_only_dagster_under_awss_names(tmp_path):
    options = StackOptions(dagster=("-m", "definitions"))
    services = planned(options, dagster_compute_logs_url="s3://logs", s3_access_key="key", data_dir=tmp_path).services
    assert [service.name for service in services if "AWS_ACCESS_KEY_ID" in service.environment] == ["dagster"]


def test_workers_are_probed_where_they_listen():
    for host, asked in (("0.0.0.0", "127.0.0.1"), ("192.0.2.1", "192.0.2.1")):
        for service in planned(metrics_host=host).services:
            if service.metrics_url:
                assert service.environment["MMPLATFORM_METRICS_HOST"] == host
                assert service.metrics_url.startswith(f"http://{asked}:")
