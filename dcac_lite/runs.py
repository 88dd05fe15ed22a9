"""A run lives in a folder named after its content: experiment, data, weights and code.

`run(Experiment(...))` returns the finished run if there is one and trains it otherwise. Two
processes that ask at once train it once; a killed one resumes.
"""

import hashlib
import json
import os
import platform
import subprocess
import warnings
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock

from .checkpoints import trained_state
from .code_key import EVALUATION, RESULTS, TRAINING, code_key
from .data.domains import TrainingSet, training_set
from .data.load import load_domain
from .data.registry import domain_name
from .dcac import DCAC
from .device import AUTOCAST, compute_device
from .encoder import ReIDModel
from .evaluation import evaluate
from .experiment import Experiment
from .paths import CLONE, IN_CLONE, remove_parts, replacing, runs_root
from .pretrained.files import check_fit, file_sha256, load_exactly, read_json, read_tensors
from .pretrained.stable_diffusion import REVISIONS
from .release.convert import load_converted
from .tiers import TIERS
from .trainer import Machine
from .training import build, train

#: In a run's folder, written last: the checksums of the files that do not change any more.
COMPLETE = "complete"
RECORDS = ("config.json", "history.csv", "provenance.json")


class Run:
    """A finished run in its folder: `experiment`, `history`, weights and evaluations."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        if not (self.folder / "config.json").is_file():
            raise FileNotFoundError(
                f"{folder} is no run: it holds no config.json; expected a folder such as runs/lite/KEY."
            )
        described = self._checked("config.json")
        try:
            # resolved, since an earlier version's states less
            self.experiment = Experiment(**read_json(described)["experiment"]).resolved()
        except (KeyError, TypeError) as error:
            sentence = f"{described} describes no experiment ({error}); delete the folder to train it again."
            raise ValueError(sentence) from error

    def _checked(self, name: str) -> Path:
        """A file of the run, after a look at the checksum that a finished run has of it."""
        file, finished = self.folder / name, self.folder / COMPLETE
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist; the run is not finished, or not whole.")
        # a converted run has not been trained here and has none
        if finished.exists() and read_json(finished).get(name) != file_sha256(file):
            raise ValueError(f"{file} is not as it was when the run was finished; delete the folder to train it again.")
        return file

    @property
    def history(self):
        """Losses and learning rate of every step, a pandas DataFrame."""
        import pandas as pd

        return pd.read_csv(self._checked("history.csv"))

    @property
    def provenance(self) -> dict:
        """Versions, commit, hardware, data fingerprint and seconds of training."""
        return read_json(self._checked("provenance.json"))

    def _trained(self) -> tuple[Path, dict, int]:
        """File and tensors of what was trained, and the number of identities."""
        file = self.folder / "model.safetensors"
        state = read_tensors(file)
        if "reid.classifier.weight" not in state:
            raise ValueError(f"{file} holds no reid.classifier.weight; expected the weights of a finished run.")
        return file, state, len(state["reid.classifier.weight"])

    def model(self) -> DCAC:
        """The trained `DCAC`, in evaluation mode; needs the tier's pre-trained weights, but no data. Raises
        ValueError naming them when tensors of model.safetensors do not fit."""
        if (self.folder / "stable-diffusion").is_dir():  # made by `convert` from an official checkpoint
            return load_converted(self.folder)
        file, state, identities = self._trained()
        dcac, _ = build(self.experiment, identities)
        check_fit(trained_state(dcac), state, file)
        dcac.load_state_dict(state, strict=False)
        return dcac.eval()

    def reid(self) -> ReIDModel:
        """The trained `ReIDModel` alone, in evaluation mode: all that a test needs. Asks for no Stable Diffusion."""
        if (self.folder / "stable-diffusion").is_dir():
            return self.model().reid
        file, state, identities = self._trained()
        reid = build(replace(self.experiment, conditioning="none"), identities)[0].reid
        load_exactly(reid, {k.removeprefix("reid."): v for k, v in state.items() if k.startswith("reid.")}, file)
        return reid.eval()

    def evaluate(self, *targets: str | os.PathLike):
        """mAP and CMC on `targets`, a DataFrame with one row per target. Each is measured once and kept,
        and measured again when its files or the code of the evaluation have changed; only the targets asked
        for are looked at. Warns where the run's folder cannot be written to and nothing is kept."""
        import pandas as pd

        metrics = self._measured()
        names = [domain_name("target", target) for target in targets]
        domains = {t: load_domain(t, self.experiment.tier, self.experiment.test_resize) for t in names}
        origins = {t: {"data": d.fingerprint, "code": code_key(EVALUATION)} for t, d in domains.items()}
        changed = {t: d for t, d in domains.items() if not origins[t].items() <= metrics.get(t, {}).items()}
        if changed:
            reid = self.reid().to(compute_device())
            low = AUTOCAST[self.experiment.precision]
            for target, domain in changed.items():
                values = origins[target] | evaluate(reid, domain, autocast=low)
                metrics[target] = values | {"sha256": _checksum(target, values)}
                stored = self.folder / "metrics.json"
                try:
                    _write_json(stored, metrics)
                except OSError as error:  # somebody else's run, or a full disk: the numbers are right all the same
                    why = f"{stored} ({error.strerror}); the next call measures again."
                    warnings.warn(f"The metrics on {target} were not stored in {why}", stacklevel=2)
        table = pd.DataFrame([{"target": t} | metrics[t] for t in domains])
        return table.drop(columns=["data", "code", "sha256"], errors="ignore")

    def _measured(self) -> dict[str, dict]:
        """What was measured before, by target; what is damaged is left out, and so measured again."""
        try:
            stored = read_json(self.folder / "metrics.json")
        except (FileNotFoundError, ValueError):
            return {}
        return {t: m for t, m in stored.items() if isinstance(m, dict) and m.get("sha256") == _checksum(t, m)}


def run(
    experiment: Experiment,
    progress: bool = True,
    resume: str = "auto",
    checkpoint_every: int | None = None,
    machine: Machine = Machine(),
) -> Run:
    """The finished run of `experiment`: found, resumed or trained. `progress` shows a bar; `resume` and
    `checkpoint_every` are those of `training.train`; `machine` is a `trainer.Machine`."""
    from accelerate import PartialState

    experiment = experiment.resolved()
    data, folder = _place(experiment)
    folder.mkdir(parents=True, exist_ok=True)
    complete = folder / COMPLETE
    # one of several processes under `accelerate launch` or `torchrun`, else alone
    # without end, since one process may wait for another job's run, or decode images while the others wait for it
    state = PartialState(cpu=not torch.accelerator.is_available(), timeout=timedelta(days=30))
    # a complete run stays complete and needs no lock, which could not be taken in somebody else's folder
    with FileLock(folder / "lock") if state.is_main_process and not complete.exists() else nullcontext():
        if state.is_main_process and not complete.exists():
            remove_parts(folder)
        state.wait_for_everyone()  # another job may have finished the run while this one waited
        if not complete.exists():
            _write_json(folder / "config.json", {"experiment": asdict(experiment), "data": data.fingerprint})
            seconds = train(experiment, data, folder, progress, resume, checkpoint_every, machine)
            _write_json(folder / "provenance.json", provenance() | {"data": data.fingerprint, "seconds": seconds})
            state.wait_for_everyone()
            _write_json(complete, {name: file_sha256(folder / name) for name in RECORDS})
    return Run(folder)


def find(experiment: Experiment) -> Run | None:
    """The finished run of `experiment`, None if there is none of this data, these weights and this code."""
    _, folder = _place(experiment.resolved())
    return Run(folder) if (folder / COMPLETE).exists() else None


def _place(experiment: Experiment) -> tuple[TrainingSet, Path]:
    data = training_set([load_domain(name, experiment.tier) for name in experiment.sources])
    return data, runs_root() / experiment.tier / _key(experiment, data.fingerprint)


def _write_json(path: Path, value) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1))


def _checksum(target: str, values: dict) -> str:
    values = {name: value for name, value in values.items() if name != "sha256"}
    return hashlib.sha256(json.dumps([target, values], sort_keys=True).encode()).hexdigest()


def _key(experiment: Experiment, data: str) -> str:
    tier = TIERS[experiment.tier]
    # the rest of the tier's values are in the resolved experiment; of the weights their content counts, not their place
    sizes = [tier.image_size, tier.diffusion_size, tier.ema]
    weights = _weights_key(str(tier.clip), str(tier.stable_diffusion))
    text = json.dumps([asdict(experiment), sizes, data, weights, code_key(TRAINING)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _weights_key(*sources: str) -> str:
    """Hash of a tier's weights when they are folders, else their names and the hub's revision."""
    digest = hashlib.sha256("".join(REVISIONS.get(source, "") for source in sources).encode())
    for source in sources:
        files = sorted(Path(source).rglob("*.safetensors")) if Path(source).is_dir() else []
        digest.update(b"".join(f.read_bytes() for f in files) or source.encode())
    return digest.hexdigest()[:16]


def provenance() -> dict:
    """Versions, commit, code and hardware of this process."""
    commit = ""
    if IN_CLONE:  # an installed package may lie inside somebody else's clone
        git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=CLONE, capture_output=True, text=True)
        commit = git.stdout.strip()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    packages = ("torch", "torchvision", "diffusers", "peft", "accelerate", "open_clip_torch", "numpy", "dcac-lite")
    return {
        "commit": commit or None,
        "code_key": code_key(RESULTS),
        "python": platform.python_version(),
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in packages},
    }
