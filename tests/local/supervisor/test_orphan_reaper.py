import subprocess
import sys
from io import BytesIO

import psutil
import pytest

from mmplatform.local.supervisor.orphan_reaper import OrphanReaper, read_groups
from mmplatform.local.supervisor.processes import COOKIE_VARIABLE, find_by_cookie, kill_leftovers, spawn

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


def test_groups_that_were_not_dropped_are_left_at_the_end():
    assert read_groups(BytesIO(b"+10\n+11\n-10\n+12\nnonsense\n+\n-99\n")) == {11, 12}


def test_a_process_with_the_cookie_ends_when_the_reaper_is_closed_even_in_another_session(cookie, tmp_path):
    reaper = OrphanReaper(cookie)
    reaper.ensure_running()
    child = started(ESCAPE, cookie, tmp_path)
    assert len(carriers(cookie)) == 2
    reaper.close()
    assert carriers(cookie) == []
    child.wait()


def test_a_group_ends_even_when_its_members_carry_no_cookie(cookie, tmp_path):
    reaper = OrphanReaper(cookie)
    reaper.ensure_running()
    child = started(SLEEP, "", tmp_path)
    reaper.add_group(child.pid)
    reaper.close()
    assert child.wait(timeout=1) != 0


def test_a_killed_reaper_is_replaced_and_gets_all_groups(cookie, tmp_path):
    reaper = OrphanReaper(cookie)
    reaper.ensure_running()
    child = started(SLEEP, "", tmp_path)
    reaper.add_group(child.pid)
    first = psutil.Process(reaper.pid)
    first.kill()
    first.wait()
    reaper.ensure_running()
    assert reaper.pid != first.pid
    reaper.close()
    assert child.wait(timeout=1) != 0


def test_leftovers_of_earlier_runs_are_killed_and_other_stacks_are_not(cookie, tmp_path):
    old = started(SLEEP, cookie, tmp_path)
    (tmp_path / "other").mkdir()
    other_cookie = f"{tmp_path}/other#token"
    unrelated = started(SLEEP, other_cookie, tmp_path / "other")
    assert kill_leftovers(tmp_path) == [old.pid]
    assert old.wait() != 0
    assert unrelated.poll() is None
    unrelated.kill()
    unrelated.wait()
