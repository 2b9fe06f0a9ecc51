from mmplatform.local.supervisor.restart_policy import ExitHistory, RestartPolicy


def waits(deaths: ExitHistory, *, every_s: float, count: int, ready_for_s: float = 0.0) -> list[float | None]:
    return [deaths.record_exit(number * every_s, ready_for_s=ready_for_s) for number in range(count)]


def test_the_wait_doubles_up_to_the_maximum():
    found = waits(ExitHistory(RestartPolicy(max_consecutive_exits=100)), every_s=100, count=9)
    assert found == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_the_fifth_exit_within_a_minute_is_a_crash_loop():
    assert waits(ExitHistory(RestartPolicy()), every_s=14, count=5) == [0.5, 1, 2, 4, None]


def test_exits_farther_apart_than_the_window_are_no_crash_loop_until_the_eighth_in_a_row():
    """One that dies after 20 s each time, having loaded its model, is as hopeless as one that dies at once."""
    assert waits(ExitHistory(RestartPolicy()), every_s=15.1, count=8) == [0.5, 1, 2, 4, 8, 16, 30, None]


def test_a_child_that_is_ready_for_a_whole_window_between_its_exits_is_never_given_up():
    assert None not in waits(ExitHistory(RestartPolicy()), every_s=70, count=50, ready_for_s=60)


def test_being_ready_for_a_whole_window_resets_the_wait():
    deaths = ExitHistory(RestartPolicy())
    waits(deaths, every_s=1, count=4)
    assert deaths.record_exit(100, ready_for_s=60.0) == 0.5


def test_a_retried_child_gets_all_its_restarts_again():
    deaths = ExitHistory(RestartPolicy())
    waits(deaths, every_s=1, count=5)
    deaths.reset()
    assert waits(deaths, every_s=1, count=5) == [0.5, 1, 2, 4, None]


def test_a_year_of_exits_does_not_overflow():
    deaths = ExitHistory(RestartPolicy(window_s=0.001, max_consecutive_exits=10_000))
    assert waits(deaths, every_s=30, count=3000)[-1] == 30
