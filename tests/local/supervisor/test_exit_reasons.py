import pytest

from mmplatform.local.supervisor.exit_reasons import describe_exit, suggest_fix


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "exit code 0"), (3, "exit code 3"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-200, "signal 200")],
)
def test_an_exit_status_is_described(code, text):
    assert text in describe_exit(code)


@pytest.mark.parametrize(
    ("last_line", "fix"),
    [
        ("ModuleNotFoundError: No module named 'kio'", "mmplatform[local]"),
        ("OSError: [Errno 98] Address already in use", "another program uses its port"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("Misconfigured: no model; run `mmplatform models pull minilm`", "mmplatform models pull"),
        ("an unknown error", "mmplatform logs derive-chat"),
    ],
)
def test_every_exit_comes_with_a_fix(last_line, fix):
    found = suggest_fix("derive-chat", ["Traceback", last_line])
    assert fix.lower() in found.lower()
    assert found.endswith("Then `mmplatform start-failed`.")
