"""A run of the demo: start the stack, stream the case, ask, show the answers, and print the next steps."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mmplatform.demo.case import Case, DemoQuestion, contains_secret, load_case
from mmplatform.demo.stream import CaseStream
from mmplatform.demo.watch import SearchWatch
from mmplatform.errors import PlatformError, Unavailable
from mmplatform.events import MODALITY_BY_KIND
from mmplatform.local import run_file
from mmplatform.local.launch import run_detached, stop_stack
from mmplatform.local.models import download_models, required_models
from mmplatform.settings import Settings
from mmplatform.telemetry.freshness import Quantiles
from mmplatform.terminal.answers import format_seconds, print_freshness, print_hit, shorten
from mmplatform.terminal.stack_client import open_client, request, status_url

CATCH_UP_TIMEOUT_S: Final = 240.0
START_TIMEOUT_S: Final = 60.0
HITS_PER_MODALITY: Final = 2
MODALITIES: Final = tuple(dict.fromkeys(MODALITY_BY_KIND.values()))
Search = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Options of the demo. ``speed`` 1 sends the call in real time."""

    case: Path
    speed: float = 1.0
    dagster: bool = True


class DemoRun:
    """One run of the demo. A running stack is used and left running; a stack that the demo started is stopped."""

    def __init__(self, settings: Settings, options: DemoOptions, console: Console) -> None:
        self._settings = settings
        self._options = options
        self._console = console
        self._started = False
        self._started_at = time.monotonic()

    def run(self) -> bool:
        """Start the stack if none runs, stream, ask, show.

        Returns:
            True when each question was answered by all three modalities and from an expected source, without personal
            data.
        """
        console = self._console
        case = load_case(self._options.case, secrets.token_hex(3))
        _pull_models(self._settings, console)
        run = self._stack()
        console.rule(f"[bold]{case.title}[/bold]: {case.customer}, as {case.subject_id}")

        with open_client(run.gateway) as client:

            def search(body: dict[str, Any]) -> dict[str, Any]:
                answer: dict[str, Any] = request("POST", f"{run.gateway}/v1/search", json=body, client=client)
                return answer

            def live(second: float) -> None:
                self._live(second, case, search)

            with SearchWatch(search, case.subject_id) as watch:
                _stream_case(CaseStream(run.gateway, case, self._options.speed, live=live), watch, console)
                settled = _wait_until_caught_up(console)
                gaps = watch.gaps()
            _print_gaps(gaps, console)
            answers_passed = [_print_answer(question, case, search, console) for question in case.questions]
        _print_summary(run, case, console)
        return settled and all(answers_passed)

    def _live(self, second: float, case: Case, search: Search) -> None:
        """Ask the first question during the call. Passages that are not retrievable yet are missing."""
        try:
            hits = _find_hits(case.questions[0], case, search)
            answered_s = time.monotonic() - self._started_at
        except PlatformError as error:  # the call goes on, and its questions are asked again at the end
            self._console.print(f"asked {second:.0f} s into the call: {error}", style="yellow", markup=False)
            return
        self._console.rule(f"asked {second:.0f} s into the call, which goes on: [bold]{case.questions[0].text}[/bold]")
        for hit in hits:
            print_hit(hit, self._console)
        self._console.print(f"first answer {answered_s:.0f} s after the demo began", style="dim", highlight=False)

    def wait(self) -> None:
        """Wait for Ctrl-C, if the demo started the stack."""
        if self._started:
            self._console.print("the stack stays up: Ctrl-C stops it", style="bold")
            while run_file.is_locked(self._settings.data_dir.absolute()):
                time.sleep(1)

    def stop(self) -> None:
        """Stop the stack if the demo started it, even during its start."""
        data_dir = self._settings.data_dir.absolute()
        if not self._started:
            return
        self._console.print("stopping the stack …", style="dim")
        deadline = time.monotonic() + START_TIMEOUT_S
        while run_file.is_locked(data_dir) and run_file.read_running(data_dir) is None and time.monotonic() < deadline:
            time.sleep(0.2)  # just started: it can be stopped only once its run file exists
        stop_stack(data_dir, force=False, timeout_s=90)

    def _stack(self) -> run_file.StackRun:
        data_dir = self._settings.data_dir.absolute()
        run = run_file.read_running(data_dir)
        if run is not None:
            self._console.print(f"the stack is running already (pid {run.pid})", highlight=False)
        else:
            self._started = not run_file.is_locked(data_dir)
            run = _start_stack(self._settings, self._options, self._console)
        _check_services(run, self._console)
        return run


def _pull_models(settings: Settings, console: Console) -> None:
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as display:
        task = display.add_task("models")

        def show(what: str, done: int, total: int) -> None:
            share = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
            display.update(task, description=f"models: {what} {share}")

        download_models(required_models(settings), settings.models_path, show)
    console.print(f"models are in {settings.models_path}", highlight=False)


def _start_stack(settings: Settings, options: DemoOptions, console: Console) -> run_file.StackRun:
    with _spinner(console) as display:
        task = display.add_task("starting the stack")

        def show(now: run_file.StackRun) -> None:
            waiting = [name for name, service in now.services.items() if service.state != "ready"]
            display.update(task, description=f"starting the stack: waiting for {', '.join(waiting) or 'nothing'}")

        return run_detached(settings, [] if options.dagster else ["--no-dagster"], show)


def _check_services(run: run_file.StackRun, console: Console) -> None:
    """Check that all services of the demo are up. Raises Unavailable."""
    wanted = ["gateway", "index", *(f"derive-{modality}" for modality in MODALITIES)]
    for name, service in run.down_services.items():
        console.print(f"{name}: {service.note or service.state}; see {service.log}", style="red", markup=False)
    missing = [name for name in wanted if name not in run.services or name in run.down_services]
    if missing:
        reasons = f" ({run.down_summary})" if run.down_services else ""
        raise Unavailable(f"the stack runs without {', '.join(missing)}{reasons}: `mmplatform doctor` finds the cause")
    console.print(f"{len(run.services) - len(run.down_services)} processes are up", highlight=False)


def _stream_case(stream: CaseStream, watch: SearchWatch, console: Console) -> None:
    with _spinner(console) as display:
        task = display.add_task("streaming")

        def show(what: str) -> None:
            newest = watch.newest(1)
            newest_text = f" · newest retrievable: [dim]{shorten(newest[0]['text'], 60)}[/dim]" if newest else ""
            display.update(task, description=f"{what}{newest_text}")

        sent = stream.run(show)
    counts = ", ".join(f"{count} {what}" for what, count in sent.items())
    console.print(f"sent: {counts}", highlight=False)


def _wait_until_caught_up(console: Console) -> bool:
    """Wait until no worker lags, so that everything sent is retrievable. False after the timeout, with a message."""
    services = [*(f"derive-{modality}" for modality in MODALITIES), "index"]
    deadline = time.monotonic() + CATCH_UP_TIMEOUT_S
    quiet = 0
    with _spinner(console) as display:
        task = display.add_task("waiting for the last passages")
        while quiet < 2:  # noqa: PLR2004 - twice in a row: between two reads an artifact may be in flight
            lags = {name: _lag(name) for name in services}
            quiet = quiet + 1 if all(lag == 0 for lag in lags.values()) else 0
            lagging = ", ".join(f"{name} {_format_lag(lag)}" for name, lag in lags.items() if lag != 0)
            display.update(task, description=f"waiting for the last passages {lagging}")
            if time.monotonic() > deadline:
                advice = "see `mmplatform status`, `mmplatform logs`"
                message = f"still behind after {CATCH_UP_TIMEOUT_S:.0f} s ({lagging}): {advice}"
                console.print(message, style="red", markup=False)
                return False
            time.sleep(2.1)  # the workers read their lag every 2 s
    return True


def _format_lag(lag: int | None) -> str:
    return "does not answer" if lag is None else str(lag)


def _lag(service: str) -> int | None:
    try:
        lag: int | None = request("GET", status_url(service))["lag"]
    except PlatformError:
        return None
    return lag


def _print_gaps(gaps: Mapping[str, list[float]], console: Console) -> None:
    console.rule("from event time until a separate reader got the passage from the search")
    for modality in MODALITIES:
        found = Quantiles.from_seconds(gaps.get(modality, []))
        if found is None:
            console.print(f"{modality:<10} nothing became retrievable", style="red")
            continue
        console.print(
            f"{modality:<10} {found.count:>3} passages   p50 {format_seconds(found.p50):>7}"
            f"   p95 {format_seconds(found.p95):>7}   max {format_seconds(found.max):>7}",
            highlight=False,
        )


def _find_hits(question: DemoQuestion, case: Case, search: Search) -> list[dict[str, Any]]:
    """The best passages of each modality."""
    query = {"query": question.text, "subject_id": case.subject_id, "k": HITS_PER_MODALITY}
    return [hit for modality in MODALITIES for hit in search(query | {"modalities": [modality]})["hits"]]


def _print_answer(question: DemoQuestion, case: Case, search: Search, console: Console) -> bool:
    """Print the best passages of each modality; see :meth:`DemoRun.run` for what passes."""
    console.rule(f"[bold]{question.text}[/bold]")
    hits = _find_hits(question, case, search)
    for hit in hits:
        print_hit(hit, console)
    expected = [hit for hit in hits if question.expects(hit)]
    leaked = [secret for secret in case.secrets for hit in hits if contains_secret(hit["text"], secret)]
    passed = {hit["modality"] for hit in hits} == set(MODALITIES) and bool(expected) and not leaked
    style = "green" if passed else "red"
    summary = f"{len(expected)} of {len(hits)} are sources that the case names for this question"
    console.print(summary + (f"; {len(leaked)} hold personal data" if leaked else ""), style=style)
    return passed


def _print_summary(run: run_file.StackRun, case: Case, console: Console) -> None:
    console.rule("what the platform measured itself, by stage")
    page = request("GET", status_url("index"))
    print_freshness(page["freshness"], console, measured_since=page.get("measured_since"))
    console.rule("go on")
    mm = Path(sys.executable).with_name("mmplatform")
    shown = mm.relative_to(Path.cwd()) if mm.is_relative_to(Path.cwd()) else mm
    console.print(
        f'{shown} search "what is the order number" --subject {case.subject_id}', markup=False, highlight=False
    )
    console.print(f"{shown} status · {shown} freshness · {shown} logs", markup=False, highlight=False)
    console.print(f"gateway  {run.gateway}/docs", highlight=False)
    if run.dagster:
        console.print(f"dagster  {run.dagster}", highlight=False)


def _spinner(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
    )
