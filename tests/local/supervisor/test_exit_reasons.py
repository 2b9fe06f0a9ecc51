import pytest

from mmplatform.local.supervisor.exit_reasons import describe_exit, suggest_fix


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit code 0"), (3, "exit code 3"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-200, "signal 200")],
)
def test_an_end_is_told_in_words(code, words):
    assert words in describe_exit(code)


@pytest.mark.parametrize(
    ("last_line", "mend"),
    [
        ("ModuleNotFoundError: No module named 'kio'", "mmplatform[local]"),
        ("OSError: [Errno 98] Address already in use", "another program took its port"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("Misconfigured: no model; run `mmplatform models pull minilm`", "mmplatform models pull"),
        ("something nobody thought of", "mmplatform logs derive-chat"),
    ],
)
def test_every_death_comes_with_a_mend(last_line, mend):
    found = suggest_fix("derive-chat", ["Traceback", last_line])
    assert mend.lower() in found.lower()
    assert found.endswith("Then `mmplatform start`.")
