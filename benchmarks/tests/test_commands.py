"""Every benchmark is a command that names its baseline, knows --quick, and fails where it cannot measure."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from benchmarks import __main__ as main_command
from benchmarks import _command, _serving, growth
from benchmarks.__main__ import PACKAGES, SELECTION, benchmark_names, runnable, with_new_rows
from benchmarks._command import CouldNotMeasure, Ratio
from benchmarks.accuracy import RESULTS
from evaluation.benchmark_page import read_table, write_table


def module_of(name: str):
    package = importlib.import_module(f"benchmarks.{name}")
    return importlib.import_module(f"benchmarks.{name}.__main__") if hasattr(package, "__path__") else package


@pytest.mark.parametrize("name", benchmark_names())
def test_a_benchmark_says_how_it_is_run_and_what_its_baseline_is(name, monkeypatch, capsys):
    module = module_of(name)
    assert f"    python -m benchmarks.{name}" in module.__doc__
    assert "baseline" in module.__doc__.lower()
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    assert "--quick" in capsys.readouterr().out


def test_the_benchmarks_of_the_selection_exist():
    assert set(SELECTION) <= set(benchmark_names())


def test_the_selection_leaves_out_what_lacks_a_package_and_says_so(monkeypatch, capsys):
    monkeypatch.setitem(PACKAGES, "serving", ("there_is_no_such_package", "json"))
    assert runnable(["similar", "serving", "stars"]) == ["similar", "stars"]
    assert (
        "serving is left out: there_is_no_such_package of requirements-bench.txt" in capsys.readouterr().out
    )
    monkeypatch.setitem(PACKAGES, "serving", ("json",))
    assert runnable(["serving"]) == ["serving"]


def test_new_rows_take_the_place_of_those_of_the_same_benchmark():
    def row(what: str, name: str) -> list[str]:
        return [what, "1", "baseline", "", "", "`a8c2d13`", f"`python -m benchmarks.{name} --quick`"]

    kept = [row("a page", "home_page"), row("an answer", "serving"), row("stars", "stars")]
    new = [row("sixteen answers", "serving"), row("one answer", "serving")]
    assert with_new_rows(kept, new) == [kept[0], kept[2], *new]


@pytest.mark.parametrize("names", [["growth"], []])
@pytest.mark.parametrize(
    ("ended", "is_written"), [((1, 2.5), True), ((1, 1.0), False), ((143, 2.5), False), ((0, 1.0), True)]
)
def test_a_missed_goal_is_written_and_a_failure_is_not(monkeypatch, tmp_path, names, ended, is_written):
    """Rows of other benchmarks stay as they are, with the revision at which they were measured."""
    monkeypatch.setattr(main_command, "RESULTS", tmp_path)
    kept = ["an answer", "1", "baseline", "", "", "`a8c2d13`", "`python -m benchmarks.serving --quick`"]
    write_table(tmp_path, "goals", {"columns": [], "rows": [kept]})
    status, value = ended
    ratio = Ratio("home, 300k films", value, "home, 10k films", "at most 1.3")
    monkeypatch.setattr(main_command, "measure", lambda command: ([ratio], status))
    monkeypatch.setattr(main_command, "SELECTION", ("growth", "serving"))
    monkeypatch.setattr(main_command, "commit", lambda: "0123456789")
    monkeypatch.setitem(PACKAGES, "serving", ("there_is_no_such_package",))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--write", *names])
    assert main_command.main() == (status != 0 or value > 1.3)
    found = read_table(tmp_path, "goals")
    assert [row[-2:] for row in found["rows"]] == [
        *([["`0123456`", "`python -m benchmarks.growth --quick`"]] if is_written else []),
        kept[-2:],
    ]
    assert "revision" not in found


def test_the_table_of_goals_has_what_each_benchmark_of_the_selection_says():
    """The document shows these rows (`test_accuracy`): each has its command and its goal."""
    measured = set()
    for what, value, baseline, goal, verdict, _revision, command in read_table(RESULTS, "goals")["rows"]:
        found = re.fullmatch(r"`python -m benchmarks\.(\w+)(?: --quick)?`", command)
        assert found and found[1] in benchmark_names(), command
        measured.add(found[1])
        ratio = Ratio(what, float(value), baseline, goal)
        assert verdict == (("met" if ratio.is_met else "missed") if goal else ""), what
        assert Ratio.parse(str(ratio)) == ratio
    assert set(SELECTION) <= measured


@pytest.fixture
def handler_of_sigterm():
    """Put back what SIGTERM does, which `run` changes for its process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("handler_of_sigterm")
@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (CouldNotMeasure("no data"), "could not measure: no data"),  # Python prints it and ends with 1
        (ModuleNotFoundError("No module named 'torch'"), "could not measure: No module named 'torch'"),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_cannot_be_measured_ends_with_the_reason_and_without_a_traceback(error, ended):
    def measure() -> None:
        raise error

    with pytest.raises(SystemExit) as status:
        _command.run(measure)
    assert status.value.code == ended


@pytest.mark.usefixtures("handler_of_sigterm")
@pytest.mark.parametrize(("value", "ended"), [(3.0, 0), (3.1, 1)])
def test_a_missed_goal_ends_with_status_1_and_is_named(monkeypatch, capsys, value, ended):
    monkeypatch.setattr(_command, "_missed", [])

    def measure() -> None:
        _command.print_ratio("a page", value, "another", "at most 3")
        _command.print_ratio("the same", value, "a third")

    with pytest.raises(SystemExit) as status:
        _command.run(measure)
    assert status.value.code == ended
    assert capsys.readouterr().err == ("missed: a page\n" if ended else "")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_value_that_is_no_ratio_is_no_measurement(value):
    with pytest.raises(CouldNotMeasure, match="the page"):
        Ratio("the page", value, "another")


@pytest.mark.parametrize(
    ("goal", "is_met"), [("", True), ("at most 2", False), ("at most 2.5", True), ("at least 3", False)]
)
def test_a_ratio_is_read_as_it_was_printed(goal, is_met):
    ratio = Ratio("home page: guest (20 films)", 2.5, "the 404 page", goal)
    assert Ratio.parse(f"{ratio}\n") == ratio
    assert ratio.is_met is is_met


def test_a_request_is_compared_with_the_one_before_it():
    busy = [10.0, 30.0, 10.0, 30.0]  # every other one comes while the machine is busy
    assert _command.times_of(busy, [cost * 1.2 for cost in busy]) == pytest.approx(1.2)
    with pytest.raises(ValueError, match="zip"):
        _command.times_of(busy, busy[:2])


def test_other_lines_are_no_ratios():
    assert Ratio.parse("ratio             5.60x") is None


def test_quick_sets_what_the_command_line_leaves_open(monkeypatch):
    parser = _command.argument_parser("A benchmark.")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    for arguments, rows, seed in (([], 100, 1), (["--quick"], 5, 1), (["--quick", "--rows", "7"], 7, 1)):
        monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
        options = _command.parse_options(parser, rows=5)
        assert (options.rows, options.seed) == (rows, seed)
        parser.set_defaults(rows=100)


@pytest.mark.parametrize(("busy_for_each_core", "seconds"), [(0.1, 1), (2.5, 3)])
def test_a_benchmark_gives_up_after_its_time_and_as_much_more_as_the_machine_is_busy(
    monkeypatch, busy_for_each_core, seconds
):
    load = busy_for_each_core * (os.cpu_count() or 1)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    with pytest.raises(CouldNotMeasure, match=f"not done within {seconds} seconds"):
        _command.end_within(1)
        time.sleep(10)


def test_a_signal_ends_the_benchmark_that_runs_with_the_command_that_started_it():
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    program = (
        f"from benchmarks.__main__ import measure, run; run(lambda: measure(['python', '-c', {child!r}]))"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=_serving.ROOT, stdout=subprocess.PIPE, text=True) as process:
        pid = next(int(line) for line in process.stdout or () if line.strip().isdigit())
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert not psutil.pid_exists(pid)


def test_data_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CouldNotMeasure, match="none is not there"):
        _command.data_or_default(tmp_path / "none")


def test_a_server_that_does_not_open_is_killed_with_its_workers(monkeypatch):
    monkeypatch.setattr(_serving, "OPEN_SECONDS", 1.0)
    monkeypatch.setattr(_serving, "STOP_SECONDS", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {deaf!r}]); {deaf}"
    site = _serving.Served({**os.environ})
    site._command = [sys.executable, "-c", parent]
    with pytest.raises(CouldNotMeasure, match="does not answer"), site:
        pass
    started = [each for each in psutil.process_iter() if _group_of(each.pid) == site._server.pid]
    deadline = time.monotonic() + 30  # one that was killed dies when it has its turn
    while any(map(_lives, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_lives, started))


def test_a_site_that_was_not_filled_to_its_end_is_filled_anew(monkeypatch, tmp_path):
    def fill(command, **options):
        filled.append(sorted(path.name for path in (tmp_path / "site").iterdir()))
        return subprocess.CompletedProcess(command, 0, '{"cookies": {"20": ["a"]}}\n', "")

    filled: list[list[str]] = []
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "reelgraph.sqlite3").write_bytes(b"half")
    monkeypatch.setattr(subprocess, "run", fill)
    for _ in range(2):
        assert growth.make_site(tmp_path / "site", 10, 100)[1] == {"20": ["a"]}
    assert filled == [[]]


def test_mf_goes_through_more_epochs_than_it_ships_with():
    pytest.importorskip("torch", reason="torch is not installed")
    from benchmarks.training_processes import solved, step_cost

    cpu_seconds, _wall = step_cost(1, solved, {"n_ratings": 200_000, "n_epochs": 25}, 25)
    assert cpu_seconds > 0


@pytest.mark.parametrize(
    ("said", "threads"),
    [({}, "1"), ({"OMP": "2"}, "2"), ({"OMP": "2", "OPENBLAS": "1"}, "1")],
)
def test_blas_has_one_thread_unless_the_environment_says_otherwise(said, threads):
    own = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    own |= {f"{name}_NUM_THREADS": value for name, value in said.items()}
    code = "import os, benchmarks; print(os.environ['OPENBLAS_NUM_THREADS'])"
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, env=own, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == threads


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _group_of(pid: int) -> int:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0
