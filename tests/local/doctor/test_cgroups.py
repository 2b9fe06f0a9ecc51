"""The files of control groups, laid out as kernels and container engines do."""

import pytest

from mmplatform.local.doctor.cgroups import memory_left


@pytest.fixture
def tree(tmp_path):
    """Writes files: a dictionary of their paths under the mount point, and the lines of /proc/self/cgroup."""

    def tree(own: str, files: dict[str, str]) -> int | None:
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "own").write_text(own)
        return memory_left(tmp_path / "cgroup", tmp_path / "own")

    return tree


def v2(group: str, limit: str, used: int, cached: int = 0) -> dict[str, str]:
    stat = f"anon 5\nactive_file {cached}\ninactive_file {cached}\n"
    return {f"{group}/memory.max": f"{limit}\n", f"{group}/memory.current": f"{used}\n", f"{group}/memory.stat": stat}


def v1(group: str, limit: int, used: int, cached: int = 0) -> dict[str, str]:
    stat = f"total_active_file {cached}\ntotal_inactive_file {cached}\n"
    names = ("limit_in_bytes", "usage_in_bytes", "stat")
    texts = (str(limit), str(used), stat)
    return {f"memory/{group}/memory.{name}": text for name, text in zip(names, texts, strict=True)}


def test_memory_left_is_the_limit_less_the_use_without_caches(tree):
    assert tree("0::/service\n", v2("service", "1000", 700, cached=100)) == 500


def test_the_narrowest_group_on_the_way_up_counts(tree):
    files = v2("user", "1000", 900) | v2("user/app", "5000", 100) | v2("user/app/leaf", "max", 100)
    assert tree("0::/user/app/leaf\n", files) == 100


def test_the_first_version_is_read_too(tree):
    own = "5:cpu,cpuacct:/\n4:memory:/docker/abc\n0::/\n"
    assert tree(own, v1("docker/abc", 4096, 1096, cached=500)) == 4000


def test_a_container_that_sees_its_hosts_path_finds_its_group_at_the_mount_point(tree):
    assert tree("4:memory:/docker/abc\n", v1(".", 4096, 96)) == 4000
    assert tree("0::/../outside\n", v2(".", "2000", 500)) == 1500


def test_no_limit_is_none(tree):
    assert tree("0::/\n", {}) is None
    assert tree("0::/app\n", v2("app", "max", 100)) is None
    assert tree("4:memory:/app\n", v1("app", 9223372036854771712, 100)) is None


def test_where_there_are_no_control_groups_there_is_no_limit(tmp_path):
    assert memory_left(tmp_path, tmp_path / "none") is None
