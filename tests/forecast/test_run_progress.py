"""Progress of a run: lines at the right times, and a time left that is corrected."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from latentbench.artifacts.files import read_json, write_json
from latentbench.cli import main
from latentbench.config.load import read_params
from latentbench.forecast.run_progress import (
    SECONDS_BETWEEN_LINES,
    RunProgress,
    error_lines,
    rough_duration,
)
from latentbench.forecast.saved_forecast import forecast_key, read_forecast
from latentbench.forecast.schedule import Work, makespan

FORECAST = {
    ("prepare", "digits"): 10.0,
    ("reference", "digits"): 40.0,
    ("train", "vae"): 100.0,
    ("train", "gan"): 200.0,
    ("evaluate", "vae"): 30.0,
    ("evaluate", "gan"): 30.0,
    ("report", "demo"): 20.0,
}
RULES = {"prepare": 1, "reference": 1, "train": 2, "evaluate": 2, "report": 1, "configure_stage": 9}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def started(rules: dict[str, int] = RULES, slots: int = 1) -> tuple[RunProgress, Clock, list[str]]:
    clock, lines = Clock(), []
    progress = RunProgress(FORECAST, lines.append, clock)
    progress.begin(rules, slots)
    return progress, clock, lines


def test_makespan_follows_dependencies_and_slots() -> None:
    work = [Work(stage, subject, seconds) for (stage, subject), seconds in FORECAST.items()]
    assert makespan(work, 1) == sum(FORECAST.values())
    # Both trainings at once; the reference and the evaluation of the VAE fill its slot.
    assert makespan(work, 2) == 10 + 200 + 30 + 20
    assert makespan(work, 9) == 10 + 200 + 30 + 20
    # Trials, the selection between them, the training with what it selects.
    trials = [Work("train", f"vae/search/{trial}", 50.0) for trial in (1, 2)]
    work = [*trials, Work("select", "vae", 5.0), Work("train", "vae", 60.0)]
    assert makespan(work, 2) == 50 + 5 + 60
    running = Work("train", "vae", 7.0, is_running=True)
    assert makespan([running, Work("evaluate", "vae", 3.0)], 4) == 10
    assert makespan([], 1) == 0


def test_opens_with_the_jobs_and_their_time() -> None:
    _, _, lines = started(slots=2)
    assert "7 jobs" in lines[0]
    assert "4 min" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == list(RULES)[:-1]
    assert "vae, gan" in lines[3]


def test_a_part_of_the_jobs_is_estimated_by_the_longest() -> None:
    progress, _, lines = started({"train": 1, "evaluate": 1, "report": 1})
    assert progress.seconds_left() == 200 + 30 + 20
    assert "1 of 2" in lines[1]


def test_settings_and_targets_are_not_shown() -> None:
    progress, _, lines = started()
    before = len(lines)
    progress.start_job(1, "configure_stage", {"experiment": "vae", "stage": "train"}, None)
    progress.finish_job(1)
    progress.fail_job(2)
    assert len(lines) == before


def test_epoch_and_time_left_come_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("Epoch 30 of 30: loss 1.\n", encoding="utf-8")  # of an earlier run
    progress, clock, lines = started({"train": 1})
    progress.start_job(1, "train", {"experiment": "vae", "study": "demo"}, log)
    log.write_text("", encoding="utf-8")
    clock.now = 5.0
    progress.poll()
    assert "starts" in lines[-1]
    with log.open("a", encoding="utf-8") as file:
        file.write("Epoch 1 of 20: loss 3.\nvae: 150 of 1000 steps, 30 s\nvae: 160 of")
    clock.now = 30.0
    progress.poll()
    assert "epoch 2 of 20" in lines[-1]
    assert rough_duration(100 * 0.85) in lines[-1]  # as forecast
    clock.now += SECONDS_BETWEEN_LINES - 1
    number = len(lines)
    progress.poll()
    assert len(lines) == number
    clock.now += 1
    progress.poll()
    assert len(lines) == number + 1
    assert progress.seconds_left() == pytest.approx(75)
    with log.open("a", encoding="utf-8") as file:
        file.write(" 1000 steps, 32 s\nvae: 350 of 1000 steps, 50 s\n")
    clock.now = 50.0
    progress.poll()
    # A fifth took 20 s: how long the start took does not count.
    assert "65 s" in lines[-1]
    assert progress.seconds_left() == pytest.approx(65)
    progress.finish_job(1)
    assert progress.seconds_left() == 0


def test_the_time_left_is_corrected_by_finished_jobs() -> None:
    progress, clock, _ = started({"train": 2})
    assert progress.seconds_left() == 300
    progress.start_job(1, "train", {"experiment": "vae"}, None)
    clock.now = 150.0
    progress.finish_job(1)
    assert progress.seconds_left() == pytest.approx(300)  # 200 s, half as much again
    progress.start_job(2, "train", {"experiment": "gan"}, None)
    clock.now += 100.0
    assert progress.seconds_left() == pytest.approx(200)


def test_a_short_job_says_little_of_other_stages() -> None:
    progress, clock, _ = started({"prepare": 1, "train": 2})
    progress.start_job(1, "prepare", {"dataset": "digits"}, None)
    clock.now = 30.0
    progress.finish_job(1)
    left = progress.seconds_left()
    assert left is not None
    assert 300 < left < 1.5 * 300


def test_long_jobs_have_fewer_lines() -> None:
    progress, clock, lines = started({"train": 1})
    progress.start_job(1, "train", {"experiment": "vae"}, None)
    number = len(lines)
    for _ in range(36_000):
        clock.now += 1.0
        progress.poll()
    assert len(lines) - number < 300


def test_errors_are_the_sentence_of_the_stage(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    assert error_lines(log) == []
    log.write_text("Epoch 1 of 2: x\nError: a.yaml has no b.\n", encoding="utf-8")
    assert error_lines(log) == ["Error: a.yaml has no b."]
    log.write_text("vae: dataset.\n\nAborted!\n", encoding="utf-8")
    assert "interrupted" in error_lines(log)[0]
    log.write_text("Traceback:\n  boom\n", encoding="utf-8")
    assert error_lines(log) == ["Traceback:", "  boom"]


def test_a_saved_forecast_is_used_until_its_settings_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = Path(__file__).parents[1] / "params" / "tiny.yaml"
    parsed = read_params(params)
    path = tmp_path / "scratch" / "forecast.json"
    key = forecast_key(parsed, "tiny")
    write_json(path, {"key": key, "jobs": [{"stage": "train", "subject": "vae", "seconds": 3.5}]})
    before = read_json(path)
    # It is not measured again.
    monkeypatch.setattr("latentbench.forecast.rates.measure_start_seconds", None)
    command = ["plan", "tiny", "--params", str(params), "--save", str(path)]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert (result.exit_code, result.output) == (0, "")
    assert read_json(path) == before
    assert read_forecast(path) == read_forecast(path, key) == {("train", "vae"): 3.5}
    assert forecast_key(parsed.model_copy(update={"budget": "small"}), "tiny") != key
    assert read_forecast(path, "other") == {}
    path.write_text("{", encoding="utf-8")
    assert read_forecast(path) == read_forecast(tmp_path / "none") == {}


SNAKEFILE = """
rule demo:
    input: "report/demo"

rule train:
    output: "results/{study}/{experiment}/checkpoints"
    log: "logs/{study}/{experiment}/train.log"
    shell: "echo 'Epoch 1 of 1: loss 1.' > {log}; touch {output}"

rule evaluate:
    input: "results/{study}/{experiment}/checkpoints"
    output: "results/{study}/{experiment}/metrics.csv"
    log: "logs/{study}/{experiment}/evaluate.log"
    shell:
        "test {wildcards.experiment} = vae || {{ echo 'Error: it is flat.' > {log}; exit 1; }}"
        "; touch {output}"

rule report:
    input: expand("results/demo/{experiment}/metrics.csv", experiment=EXPERIMENTS)
    output: "report/{study}"
    shell: "touch {output}"
"""


@pytest.mark.parametrize(("experiments", "exit_code"), [(["vae"], 0), (["vae", "gan"], 1)])
def test_snakemake_writes_these_lines_and_keeps_its_exit_code(
    experiments: list[str], exit_code: int, tmp_path: Path
) -> None:
    content = f"EXPERIMENTS = {experiments}\n{SNAKEFILE}"
    (tmp_path / "Snakefile").write_text(content, encoding="utf-8")
    rows = [{"stage": stage, "subject": name, "seconds": 1} for stage, name in FORECAST]
    write_json(tmp_path / "forecast.json", {"key": "", "jobs": rows})
    command = [sys.executable, "-m", "snakemake", "demo", "--cores", "1", "--keep-going"]
    command += ["--logger", "latentbench", "--logger-latentbench-forecast", "forecast.json"]
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exit_code, done.stderr
    found = re.findall(r"^ +0:\d\d  (\w+) +(\w+) +(\w+)", done.stderr, re.MULTILINE)
    assert ("train", "vae", "starts") in found
    assert ("evaluate", "vae", "done") in found
    assert (("report", "demo", "done") in found) == (exit_code == 0)
    assert (("evaluate", "gan", "failed") in found) == (exit_code == 1)
    assert ("\nError: it is flat.\n" in done.stderr) == (exit_code == 1)
    assert not re.search("jobid|CalledProcessError|RuleException", done.stderr)
