"""A run lives in a folder named after its content: experiment, data, weights and code.

`run(Experiment(...))` returns the finished run if there is one and trains it otherwise. Two
processes that ask at once train it once; a killed one resumes. A checkpoint of the authors becomes such a
folder too (`release.convert`), which holds the Stable Diffusion that it was trained with.
"""

import hashlib
import json
import os
import platform
import subprocess
import warnings
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock

from .checkpoints import trained_state
from .code_key import EVALUATION, RESULTS, TRAINING, arm_key, class_key, code_key
from .conditioning import SCHEMES
from .data.domains import TrainingSet, training_set
from .data.load import load_domain
from .data.registry import domain_name
from .dcac import DCAC
from .device import AUTOCAST, compute_device
from .encoder import ReIDModel
from .evaluation import evaluate
from .experiment import Experiment
from .paths import CLONE, IN_CLONE, own_folder, remove_parts, runs_root, runs_roots
from .pretrained.clip import build_visual
from .pretrained.files import check_fit, file_sha256, load_exactly, read_json, read_tensors, write_json
from .pretrained.hub import REVISIONS
from .teaching.names import ARMS
from .trainer import Machine
from .training import assemble, diffusion_of, train

#: In a run's folder, written last: the checksums of the files that do not change any more.
COMPLETE = "complete"
#: In the folder of a run that was trained elsewhere: its own Stable Diffusion, a diffusers folder.
STABLE_DIFFUSION = "stable-diffusion"
RECORDS = ("config.json", "visual.json", "history.csv", "provenance.json")


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

    @property
    def place(self) -> str:
        """Its folder as seen from the runs folder; the whole path where it lies elsewhere, as somebody else's does."""
        inside = self.folder.is_relative_to(runs_root())
        return (self.folder.relative_to(runs_root()) if inside else self.folder.absolute()).as_posix()

    def _checked(self, name: str) -> Path:
        """A file of the run, after a look at the checksum that a finished run has of it."""
        file, finished = self.folder / name, self.folder / COMPLETE
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist; the run is not finished, or not whole.")
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
        """Versions, commit, hardware, data fingerprint and seconds of training; of a converted checkpoint also
        what became of its tensors."""
        return read_json(self._checked("provenance.json"))

    def _trained(self) -> tuple[Path, dict, int]:
        """File and tensors of what was trained, and the number of identities."""
        file = self.folder / "model.safetensors"
        state = read_tensors(file)
        if "reid.classifier.weight" not in state:
            raise ValueError(f"{file} holds no reid.classifier.weight; expected the weights of a finished run.")
        return file, state, len(state["reid.classifier.weight"])

    def model(self) -> DCAC:
        """The trained `DCAC`, in evaluation mode; needs the tier's Stable Diffusion unless the run holds its own, but
        no CLIP and no data. Raises ValueError naming them when tensors of model.safetensors do not fit."""
        file, state, identities = self._trained()
        visual, sd = build_visual(read_json(self._checked("visual.json"))), None
        if self.experiment.has_diffusion:
            own = self.folder / STABLE_DIFFUSION
            sd = diffusion_of(self.experiment, own if own.is_dir() else None)
        dcac = assemble(self.experiment, identities, visual, sd, state)
        check_fit(trained_state(dcac), state, file)
        dcac.load_state_dict(state, strict=False)
        return dcac.eval()

    def reid(self) -> ReIDModel:
        """The trained `ReIDModel` alone, in evaluation mode: all that a test needs. Asks for no pre-trained weights."""
        file, state, identities = self._trained()
        reid = ReIDModel(build_visual(read_json(self._checked("visual.json"))), identities)
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
                    write_json(metrics, stored)
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
    complete = folder / COMPLETE
    if not complete.exists():
        own_folder(folder)
    # one of several processes under `accelerate launch` or `torchrun`, else alone
    # without end, since one process may wait for another job's run, or decode images while the others wait for it
    state = PartialState(cpu=not torch.accelerator.is_available(), timeout=timedelta(days=30))
    # a complete run stays complete and needs no lock, which could not be taken in somebody else's folder
    with FileLock(folder / "lock") if state.is_main_process and not complete.exists() else nullcontext():
        if state.is_main_process and not complete.exists():
            remove_parts(folder)
        state.wait_for_everyone()  # another job may have finished the run while this one waited
        if not complete.exists():
            describe(folder, experiment, data.fingerprint)
            seconds = train(experiment, data, folder, progress, resume, checkpoint_every, machine)
            finish(folder, {"data": data.fingerprint, "seconds": seconds})
            state.wait_for_everyone()
    return Run(folder)


def describe(folder: Path, experiment: Experiment, data: str | None) -> None:
    """The first file of a run's folder. data: the fingerprint of what it is trained on, None where nobody knows."""
    write_json({"experiment": asdict(experiment), "data": data}, folder / "config.json")


def finish(folder: Path, facts: dict) -> None:
    """The last files of a run's folder: `provenance` and `facts`, and the checksums by which the run is complete."""
    write_json(provenance() | facts, folder / "provenance.json")
    write_json({name: file_sha256(folder / name) for name in RECORDS}, folder / COMPLETE)


def find(experiment: Experiment) -> Run | None:
    """The finished run of `experiment`, None if there is none of this data, these weights and this code."""
    _, folder = _place(experiment.resolved())
    return Run(folder) if (folder / COMPLETE).exists() else None


def _place(experiment: Experiment) -> tuple[TrainingSet, Path]:
    data = training_set([load_domain(name, experiment.tier) for name in experiment.sources])
    places = [root / experiment.tier / _key(experiment, data.fingerprint) for root in runs_roots()]
    return data, next((place for place in places if (place / COMPLETE).exists()), places[0])


def _checksum(target: str, values: dict) -> str:
    values = {name: value for name, value in values.items() if name != "sha256"}
    return hashlib.sha256(json.dumps([target, values], sort_keys=True).encode()).hexdigest()


def _key(experiment: Experiment, data: str) -> str:
    tier = experiment.of_tier
    # the rest of the tier's values are in the resolved experiment; of the weights their content counts, not their place
    choices, sizes = asdict(experiment.of_recipe), [tier.image_size, tier.diffusion_size, tier.ema]
    weights = _weights_key(str(tier.clip), str(tier.stable_diffusion))
    own = ""
    if (arm := experiment.of_arm) is not None:
        own = arm_key(ARMS[experiment.conditioning]) + (arm.material(experiment) if arm.material else "")
    elif experiment.conditioning != "none":
        own = class_key(SCHEMES[experiment.conditioning])
    text = json.dumps([asdict(experiment), choices, sizes, data, weights, code_key(TRAINING), own], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _weights_key(*sources: str) -> str:
    """Hash of a tier's weights when they are folders, else of their names and the hub's revisions."""
    digest = hashlib.sha256()
    for source in sources:
        files = sorted(Path(source).rglob("*.safetensors")) if Path(source).is_dir() else []
        digest.update(b"".join(f.read_bytes() for f in files) or json.dumps([source, REVISIONS]).encode())
    return digest.hexdigest()[:16]


def provenance() -> dict:
    """Versions, commit, code and hardware of this process, and its number of threads. None of these is in a run's key:
    they change sums in their last digits, so that a run made again elsewhere has the same weights but for rounding."""
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
