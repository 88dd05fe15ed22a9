"""`make tables` as Snakemake sees it: which jobs there are, what a failure or a kill leaves, what a cluster is told.

The workflow runs with a stand-in for Python that writes what a job would write, or fails where it is told to."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from dcac_lite import Experiment, code_key
from dcac_lite.__main__ import parse
from dcac_lite.paths import CLONE
from dcac_lite.studies import jobs
from dcac_lite.studies.batch import Batch, numbers_in
from dcac_lite.studies.jobs import measure
from dcac_lite.studies.standing import begin, progress, report
from dcac_lite.studies.tables import cells

SNAKEMAKE = shutil.which("snakemake", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
workflow = pytest.mark.skipif(SNAKEMAKE is None, reason="snakemake is not installed")
STAND_IN = """#!/bin/bash
# -m dcac_lite tables job FILE DONE, or notebook TEMPLATE OUT ...
case "$5" in *${WAIT_AT:-none}*) exec sleep 600;; esac
echo "$5" >> "$LEDGER"
case "$5" in *${FAIL_AT:-none}*) echo "no luck with $5" >&2; exit 1;; esac
mkdir -p "$(dirname "$6")" && echo '{"runs": []}' > "$6"
"""


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


# ---------------------------------------------------------------- what there is to do


def test_lines_that_stand_in_several_tables_are_one_job(runs):
    """MA's baseline is a line of Tables 2, 5, 6, 7, 8 and 10."""
    jobs = Batch("smoke", 2).jobs
    (baseline,) = [job for job in jobs if job.name.startswith("MA-baseline")]
    assert set(baseline.targets) == {"D", "MS", "C3", "MA"} and [e.seed for e in baseline.experiments] == [10, 11]
    assert len({job.name for job in jobs}) == len(jobs)
    (alone,) = [job for job in Batch("smoke", 2, [7]).jobs if job.name.startswith("MA-baseline")]
    assert alone.targets == ("MS",) and alone.name != baseline.name


def test_hours_have_a_process_each_and_minutes_share_one(runs):
    assert {len(job.experiments) for job in Batch("lite", 5, [7]).jobs} == {5}
    assert {len(job.experiments) for job in Batch("full", 5, [7]).jobs} == {1}


def test_a_table_brings_the_tables_of_its_notebook_and_all_bring_the_scorecard(runs):
    assert Batch("smoke", 1, [3]).tables == (2, 3, 4, 8) and Batch("smoke", 1, [3]).numbers == ["08"]
    assert Batch("smoke", 1).numbers == ["08", "09", "10", "11", "12", "13", "14"]


def test_without_the_withdrawn_data_set_nothing_is_trained_or_measured_on_it(runs, monkeypatch):
    monkeypatch.setenv("DCAC_PROTOCOL", "duke-free")
    jobs = Batch("full", 1).jobs
    assert jobs and not [job for job in jobs if "D" in (*job.targets, *job.experiments[0].sources)]
    left_out = {(cell.sources, cell.target) for cell in cells([4], "full", 1)}
    assert left_out == {(("MS", "C3"), "MA"), (("MA", "C3"), "MS"), (("MA", "MS"), "C3")}
    assert {(cell.sources, cell.target) for cell in cells([2], "full", 1)} == {(("MA",), "MS"), (("MA",), "C3")}
    with pytest.raises(ValueError, match="unset DCAC_PROTOCOL"):
        parse(["tables", "publish", "--in-place"]).call(parse(["tables", "publish", "--in-place"]))
    monkeypatch.setenv("DCAC_PROTOCOL", "duke")
    with pytest.raises(ValueError, match="DCAC_PROTOCOL is 'duke'; expected one of paper, duke-free"):
        Batch("full", 1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("large", 5), "TIER is 'large'; expected one of smoke"),
        (("lite", 5, [1]), "there is no table 1; expected one of"),
    ],
)
def test_what_cannot_be_is_refused(runs, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Batch(*arguments)


@pytest.mark.parametrize("text", ["x", "7;9", "1.5"])
def test_what_is_no_number_of_a_table_is_refused(text):
    with pytest.raises(ValueError, match=f"there is no table {text}; expected one of 2, 3"):
        numbers_in(text)


def test_a_changed_file_is_other_jobs_and_a_changed_comment_is_none(runs, tmp_path, monkeypatch):
    package = Path(shutil.copytree(code_key.PACKAGE, tmp_path / "dcac_lite", ignore=shutil.ignore_patterns("*.pyc")))

    def names() -> set[str]:
        code_key.code_key.cache_clear()
        return {job.name for job in Batch("smoke", 1, [9]).jobs}

    before = names()
    monkeypatch.setattr(code_key, "PACKAGE", package)
    file = package / "conditioning.py"
    file.write_text("# a remark\n" + file.read_text())
    assert names() == before
    file.write_text(file.read_text() + "\nLOUDER = 2\n")
    assert names().isdisjoint(before)
    monkeypatch.undo()
    code_key.code_key.cache_clear()


def test_a_job_whose_run_has_gone_is_to_be_done_again(runs):
    wanted = Batch("smoke", 1, [9])
    wanted.prepare()
    done = wanted.folder / wanted.done()[0]
    done.parent.mkdir()
    done.write_text(json.dumps({"runs": [{"folder": "smoke/1234"}]}))
    (runs / "smoke" / "1234").mkdir()
    (runs / "smoke" / "1234" / "complete").touch()
    wanted.prepare()
    assert done.exists()
    (runs / "smoke" / "1234" / "complete").unlink()
    wanted.prepare()
    assert not done.exists()


def test_what_is_written_again_keeps_its_time(runs):
    wanted = Batch("smoke", 1, [9])
    wanted.prepare()
    files = [f for f in wanted.folder.rglob("*.json")]
    times = [f.stat().st_mtime_ns for f in files]
    wanted.prepare()
    assert files and times == [f.stat().st_mtime_ns for f in files]


# ---------------------------------------------------------------- a job


@pytest.fixture
def told(runs, monkeypatch):
    """A job of two seeds; its runs are made up, and that of seed 11 fails if it is in the returned set."""
    wanted = Batch("smoke", 2, [9])
    wanted.prepare()
    failing: set[int] = set()

    class MadeUp:
        def __init__(self, experiment: Experiment):
            self.place = f"smoke/run-{experiment.seed}"
            self.folder = runs / self.place
            self.folder.mkdir(parents=True, exist_ok=True)

        def evaluate(self, *targets):
            (self.folder / "complete").touch()

    def train(experiment, progress):
        if experiment.seed in failing:
            raise FloatingPointError("first line\nthe loss is nan")
        return MadeUp(experiment)

    monkeypatch.setattr("dcac_lite.runs.find", lambda e: None)
    monkeypatch.setattr("dcac_lite.runs.run", train)
    begin(wanted.folder, [job.name for job in wanted.jobs])
    job = wanted.jobs[0]
    return wanted.folder / "jobs" / f"{job.name}.json", wanted.folder / "done" / f"{job.name}.json", failing


def test_a_failed_run_is_named_and_the_other_seeds_go_on(told, capfd):
    file, done, failing = told
    failing.add(10)
    with pytest.raises(RuntimeError, match="1 of 2 runs of MA-correlation-aware-lora8.* failed; .*log has the errors"):
        measure(file, done)
    assert not done.exists()
    shown = capfd.readouterr().out
    assert "seed 10: failed: the loss is nan\n" in shown and "seed 11: 0 s\n" in shown
    assert "jobs: 0 done, 1 failed, " in progress(file.parent.parent)
    said = report(file.parent.parent)
    assert "seed 10: the loss is nan\n" in said and f"{file.stem}.log" in said
    assert "FloatingPointError" in (file.parent.parent / "logs" / f"{file.stem}.log").read_text()
    begin(file.parent.parent, [file.stem])  # asked again, it fails again in the same words
    assert "0 failed, 1 left" in progress(file.parent.parent)
    with pytest.raises(RuntimeError):
        measure(file, done)
    assert "1 failed, 0 left" in progress(file.parent.parent)
    failing.clear()
    measure(file, done)
    assert len(json.loads(done.read_text())["runs"]) == 2 and "1 done, 0 failed" in progress(file.parent.parent)
    assert "the loss is nan" not in report(file.parent.parent)


def test_a_job_of_other_code_is_refused(told, monkeypatch):
    file, done, _ = told
    monkeypatch.setattr(jobs, "code_key", lambda modules: "other")
    with pytest.raises(ValueError, match="was made for code .*, and this is other: ask for the tables again"):
        measure(file, done)
    assert not done.exists()


def test_no_batch_is_a_sentence(runs):
    with pytest.raises(ValueError, match="no batch of tables has been started in this tier"):
        report(runs / "lite" / "batch")


STOPPED = """
import os, signal
from dcac_lite import Experiment, run, stopping
stopping.listen()
e = Experiment(tier="smoke", conditioning="none", epochs=2, iterations=2)
os.kill(os.getpid(), signal.SIGUSR1)
try:
    run(e, progress=False)
except stopping.Stopped as stopped:
    print(stopped)
stopping._asked = False
print(len(run(e, progress=False).history))
"""


def test_a_run_that_is_told_to_stop_saves_a_checkpoint_and_goes_on_from_it(runs):
    """What `timeout --signal=USR1` and a preempting scheduler rely on."""
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, env=os.environ, cwd=CLONE)
    assert done.stdout.splitlines()[-2:] == ["stopped at step 1, with a checkpoint; ask again to go on.", "4"], (
        done.stderr
    )


# ---------------------------------------------------------------- the workflow


class Workflow:
    """The workflow with Table 9 in the smoke tier: 16 jobs and notebook 12."""

    def __init__(self, folder: Path):
        self.ledger, self.stand_in, self.folder = folder / "ledger", folder / "python", folder / "runs/smoke/batch"
        self.stand_in.write_text(STAND_IN)
        self.stand_in.chmod(0o755)

    def start(self, *words: str, config: str = "", cores: str = "--cores 2", **variables: str) -> subprocess.Popen:
        environment = os.environ | {"LEDGER": str(self.ledger), "PYTHONPATH": str(CLONE)} | variables
        config = f"tier=smoke seeds=1 tables=9 python={self.stand_in} {config}"
        return subprocess.Popen(
            [SNAKEMAKE, *words, *cores.split(), "--config", *config.split()],
            cwd=CLONE, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def __call__(self, *words: str, **more: str) -> tuple[int, str]:
        process = self.start(*words, **more)
        said, _ = process.communicate(timeout=1500)
        return process.returncode, said

    def calls(self) -> list[str]:
        """What the stand-in has been called for since the last time, jobs without their keys."""
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        self.ledger.unlink(missing_ok=True)
        return sorted(Path(line).stem.rpartition("-")[0] or Path(line).stem for line in lines)


@pytest.fixture
def snakemake(tmp_path, runs):
    return Workflow(tmp_path)


@workflow
def test_a_failing_job_costs_nothing_but_itself(snakemake):
    status, said = snakemake("-n")
    assert status == 0 and "job               16" in said and "notebook_12        1" in said and not snakemake.calls()
    status, said = snakemake(FAIL_AT="MA-correlation-aware-lora16-lambda1-")
    assert status != 0 and len(snakemake.calls()) == 16 and "12_rank" not in said.split("Runs:")[-1]
    assert len(list((snakemake.folder / "done").glob("*.json"))) == 15
    status, _ = snakemake(config="holes=yes")  # the second half of `make table-9`
    assert status == 0 and snakemake.calls() == ["12_rank"]
    assert "jobs: 15 done, 0 failed, 1 left" in progress(
        snakemake.folder
    )  # of the first half (the stand-in names nobody)
    status, _ = snakemake()
    assert status == 0 and snakemake.calls() == ["12_rank", "MA-correlation-aware-lora16-lambda1-tau0.6"]
    status, said = snakemake()
    assert status == 0 and snakemake.calls() == [] and "Nothing to be done" in said


@workflow
def test_after_kill_9_a_batch_goes_on(snakemake):
    process = snakemake.start(WAIT_AT="MS-correlation-aware-lora64-lambda1-")
    finished = snakemake.folder / "done"
    while process.poll() is None and len(list(finished.glob("*.json"))) < 5:
        time.sleep(0.2)
    process.kill()
    process.wait()
    with suppress(ProcessLookupError):  # what it had started, which holds its output open
        os.killpg(process.pid, signal.SIGTERM)
    process.communicate()
    time.sleep(1)
    before = {file: file.stat().st_mtime_ns for file in finished.glob("*.json")}
    assert len(before) >= 5 and snakemake.calls()
    status, said = snakemake()
    assert status == 0, said
    again = snakemake.calls()
    assert "12_rank" in again and len(again) <= 17 - len(before) + 2  # the two that were under way
    assert len(list(finished.glob("*.json"))) == 16


SLURM = {
    "sbatch": 'printf "%s\\n" "$*" >> "$CALLS"; echo 101',
    "sacct": 'for k in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do echo "101_$k|FAILED"; done; echo "101|FAILED"',
    "squeue": "true",
    "sinfo": "echo 'long*'",
    "sacctmgr": "echo theirs",
    "scontrol": "echo 'MaxArraySize = 1001'",
    "scancel": "true",
    "srun": 'exec "$@"',
}


@workflow
def test_a_cluster_is_asked_for_an_array_with_time_memory_and_gpus(snakemake, tmp_path):
    places = tmp_path / "bin"
    places.mkdir()
    for name, script in SLURM.items():
        (places / name).write_text(f"#!/bin/bash\n{script}\n")
        (places / name).chmod(0o755)
    calls = tmp_path / "calls"
    words = ["--workflow-profile", "workflow/profiles/slurm", "--retries", "0"]
    words += ["--slurm-init-seconds-before-status-checks", "1"]
    words += ["--default-resources", "slurm_partition=long", "slurm_account=theirs"]
    status, said = snakemake(
        *words, config="tier=full tables=7", cores="", PATH=f"{places}:{os.environ['PATH']}", CALLS=str(calls)
    )  # no data is there: what is asked of the cluster does not depend on it
    assert calls.exists(), said
    (call, *rest) = [line for line in calls.read_text().splitlines() if "--array" in line]
    assert status != 0 and "--array=1-" in call and "--requeue" in call
    assert "-t 1440" in call and "--mem 64" in call and "--gpus=1" in call.replace("--gpus 1", "--gpus=1")
    assert "--cpus-per-task=16" in call.replace("--cpus-per-task 16", "--cpus-per-task=16")
