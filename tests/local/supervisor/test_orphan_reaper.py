import subprocess
import sys
from io import BytesIO

import psutil
import pytest

from mmplatform.local.services.environment import COOKIE_VARIABLE
from mmplatform.local.supervisor.orphan_reaper import OrphanReaper, read_groups
from mmplatform.local.supervisor.processes import find_by_cookie, kill_leftovers, spawn

SLEEP = (sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(60)")
# A process that leaves its parent's group and session, as daemons do.
ESCAPE = (
    *(sys.executable, "-S", "-c"),
    (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "print('up', flush=True); time.sleep(60)"
    ),
)


@pytest.fixture
def cookie(tmp_path):
    yield f"{tmp_path}#token"
    for process in find_by_cookie(lambda found: found.startswith(str(tmp_path))):
        process.kill()


def started(command, cookie: str, tmp_path) -> subprocess.Popen:
    log = tmp_path / "child.log"
    process = spawn(command, environment={COOKIE_VARIABLE: cookie}, log=log)
    while "up" not in log.read_text():
        assert process.poll() is None
    return process


def carriers(cookie: str) -> list[psutil.Process]:
    return find_by_cookie(lambda found: found == cookie)


def test_the_groups_that_were_not_dropped_are_left_at_the_end():
    assert read_groups(BytesIO(b"+10\n+11\n-10\n+12\nnonsense\n+\n-99\n")) == {11, 12}


def test_what_carries_the_cookie_ends_when_the_leash_is_let_go_even_in_another_session(cookie, tmp_path):
    leash = OrphanReaper(cookie)
    leash.ensure_running()
    child = started(ESCAPE, cookie, tmp_path)
    assert len(carriers(cookie)) == 2
    leash.close()
    assert carriers(cookie) == []
    child.wait()


def test_a_group_ends_even_when_its_members_carry_no_cookie(cookie, tmp_path):
    leash = OrphanReaper(cookie)
    leash.ensure_running()
    child = started(SLEEP, "", tmp_path)
    leash.add_group(child.pid)
    leash.close()
    assert child.wait(timeout=1) != 0


def test_a_leash_that_was_killed_is_replaced_and_told_of_all_groups(cookie, tmp_path):
    leash = OrphanReaper(cookie)
    leash.ensure_running()
    child = started(SLEEP, "", tmp_path)
    leash.add_group(child.pid)
    first = psutil.Process(leash.pid)
    first.kill()
    first.wait()
    leash.ensure_running()
    assert leash.pid != first.pid
    leash.close()
    assert child.wait(timeout=1) != 0


def test_leftovers_of_earlier_runs_are_ended_and_other_stacks_are_left_alone(cookie, tmp_path):
    old = started(SLEEP, cookie, tmp_path)
    (tmp_path / "other").mkdir()
    other_cookie = f"{tmp_path}/other#token"
    other = started(SLEEP, other_cookie, tmp_path / "other")
    assert kill_leftovers(tmp_path) == [old.pid]
    assert old.wait() != 0
    assert other.poll() is None
    other.kill()
    other.wait()
