"""An experiment is a frozen value; its run lives in a folder named after its content.

`run(Experiment(...))` returns the finished run if there is one and trains it otherwise. Two
processes that ask at once train it once; a killed one resumes.
"""

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

from .adaptation import MODES
from .conditioning import SCHEMES
from .data import Domain, lite_domain, read_dataset, training_set
from .datasets import DATASETS, is_path, paper_name
from .device import AUTOCAST, compute_device
from .evaluation import evaluate
from .paths import CLONE, data_root, remove_parts, replacing, runs_root
from .recipes import RECIPES
from .tensor_files import file_sha256, read_json
from .tiers import TIERS, Tier, paper_rank, paper_tau_c

#: In a run's folder, written last: the checksums of the files that do not change any more.
COMPLETE = "complete"
RECORDS = ("config.json", "history.csv", "provenance.json")
DOMAIN_NAMES = ("MA", "D", "MS", "C3", "V")


@dataclass(frozen=True)
class Experiment:
    """One training run. Fields left at None take the tier's value for this scheme and source.

    sources: domains to train on. conditioning: "none" for the baseline or one of
    `conditioning.SCHEMES`. adaptation: one of `adaptation.MODES`. rank: LoRA rank r. lambda_ and
    tau_c: Eq. 13 and 12. epochs, lr, tau: schedule and Eq. 6. precision: no, bf16 or fp16. recipe: one of
    `recipes.RECIPES`, for where text and official code differ. accumulation: parts that a batch is
    worked through in, for small cards; each part then has batch statistics of its own.
    """

    tier: str = "lite"
    sources: tuple[str, ...] = ("MA",)
    conditioning: str = "correlation-aware"
    adaptation: str = "lora"
    rank: int | None = None
    lambda_: float | None = None
    tau_c: float | None = None
    seed: int = 0
    epochs: int | None = None
    lr: float | None = None
    tau: float | None = None
    precision: str | None = None
    recipe: str = "default"
    accumulation: int = 1

    def __post_init__(self) -> None:
        sources = (self.sources,) if isinstance(self.sources, (str, os.PathLike)) else self.sources
        object.__setattr__(self, "sources", tuple(_domain_name("source", name) for name in sources))
        _one_of("tier", self.tier, TIERS)
        if not self.sources:
            raise ValueError("sources is empty; name at least one domain to train on.")
        if len(set(map(paper_name, self.sources))) < len(self.sources):
            raise ValueError(f"sources {self.sources} names a domain twice.")
        _one_of("conditioning", self.conditioning, ("none", *SCHEMES))
        _one_of("adaptation", self.adaptation, MODES)
        _one_of("recipe", self.recipe, RECIPES)
        for name, least in (("rank", 1), ("lambda_", 0), ("tau_c", 1e-6), ("seed", 0), ("epochs", 1), ("lr", 0), ("tau", 1e-6),
                            ("accumulation", 1)):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"{name} is {value!r}; expected a number of at least {least:g}.")
        if self.precision is not None:
            _one_of("precision", self.precision, ("no", "bf16", "fp16"))

    def resolved(self) -> "Experiment":
        """The same experiment with every None replaced, and what cannot matter set to one value:
        a baseline has no adaptation, rank, lambda or tau_c."""
        tier = TIERS[self.tier]
        values = {name: getattr(tier, name) for name in ("epochs", "lr", "tau")}
        values["precision"] = tier.precision or RECIPES[self.recipe].precision
        values = {name: value if getattr(self, name) is None else getattr(self, name) for name, value in values.items()}
        if self.conditioning == "none":
            return replace(self, **values, adaptation="frozen", rank=1, lambda_=0.0, tau_c=1.0)
        lambda_, tau_c = tier.schemes.get(self.conditioning, (1.0, paper_tau_c(self.sources)))
        values["lambda_"] = lambda_ if self.lambda_ is None else float(self.lambda_)
        values["tau_c"] = tau_c if self.tau_c is None else float(self.tau_c)
        rank = self.rank or (paper_rank(self.sources) if tier.share is None else 8)
        return replace(self, **values, rank=rank if self.adaptation == "lora" else 1)

    @property
    def label(self) -> str:
        """A short name for plots and progress bars."""
        scheme = "baseline" if self.conditioning == "none" else f"{self.conditioning}, {self.adaptation}"
        return f"{'+'.join(self.sources)} {scheme} seed {self.seed}"


def _one_of(what: str, value, choices) -> None:
    if value not in choices:
        raise ValueError(f"{what} is {value!r}; expected one of {', '.join(map(str, choices))}.")


# ---------------------------------------------------------------- data of a tier


def _domain_name(what: str, name: str | os.PathLike) -> str:
    """A short name as it is, the path of any other data set made absolute."""
    if isinstance(name, os.PathLike) or (isinstance(name, str) and is_path(name)):
        return os.path.abspath(os.path.expanduser(name))
    names = dict.fromkeys((*DOMAIN_NAMES, *DATASETS))
    if name not in names:
        raise ValueError(f"{what} is {name!r}; expected one of {', '.join(names)}, or the path of a folder, such as ./mine.")
    return name


def load_domain(name: str | os.PathLike, tier: str = "lite", test_resize: str = "bicubic") -> Domain:
    """A Re-ID domain as a tier sees it. Names: MA, D, MS, C3, and V, the validation domain of smoke and
    lite, are drawn on first use (smoke, lite) or read from the data root (full), which also knows the
    other names of `datasets.DATASETS`. The path of a folder in Market-1501 layout, such as
    "/data/mine", is read in every tier; see `listing.Listing` for names without cameras. test_resize: filter that
    brings queries and gallery to size, "bicubic" or "bilinear".

    Raises FileNotFoundError saying what to download when a real data set is missing."""
    _one_of("tier", tier, TIERS)
    name = _domain_name("domain", name)
    if is_path(name):  # looked at anew each time: one's own data may change in a session
        return read_dataset(name, TIERS[tier].image_size, progress=_bar(f"decoding {Path(name).name}"), test_resize=test_resize)
    return _load_domain(name, tier, Path(TIERS[tier].data or data_root()), test_resize)


@cache
def _load_domain(name: str, tier: str, root: Path, test_resize: str) -> Domain:
    values = TIERS[tier]
    if values.share is not None:
        if name not in DOMAIN_NAMES:
            raise ValueError(f"{name} exists in the full tier only; choose one of {', '.join(DOMAIN_NAMES)}.")
        return lite_domain(name, values.share, values.image_size, _bar(f"drawing {name}"))
    if name not in DATASETS:
        raise ValueError(f"{name} exists in the smoke and lite tiers only; choose one of {', '.join(DATASETS)}.")
    dataset = DATASETS[name]
    return read_dataset(dataset.find(root), values.image_size, dataset, name, _bar(f"decoding {name}"), test_resize)


def _bar(text: str):
    from tqdm.auto import tqdm

    return lambda items: tqdm(items, desc=text, leave=False, mininterval=1)


# ---------------------------------------------------------------- runs


class Run:
    """A finished run in its folder: `experiment`, `history`, weights and evaluations."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        if not (self.folder / "config.json").is_file():
            raise FileNotFoundError(f"{folder} is no run: it holds no config.json; expected a folder such as runs/lite/KEY.")
        described = self._checked("config.json")
        try:
            values = read_json(described)["experiment"]
            self.experiment = Experiment(**{**values, "sources": tuple(values["sources"])})
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
        from .tensor_files import read_tensors

        file = self.folder / "model.safetensors"
        state = read_tensors(file)
        if "reid.classifier.weight" not in state:
            raise ValueError(f"{file} holds no reid.classifier.weight; expected the weights of a finished run.")
        return file, state, len(state["reid.classifier.weight"])

    def model(self):
        """The trained `DCAC`, in evaluation mode; needs the tier's pre-trained weights, but no data. Raises
        ValueError naming them when tensors of model.safetensors do not fit."""
        if (self.folder / "stable-diffusion").is_dir():  # made by `convert` from an official checkpoint
            from .convert import load_converted

            return load_converted(self.folder)
        from .checkpoints import trained_state
        from .tensor_files import check_fit
        from .training import build

        file, state, identities = self._trained()
        dcac, _ = build(self.experiment, identities)
        check_fit(trained_state(dcac), state, file)
        dcac.load_state_dict(state, strict=False)
        return dcac.eval()

    def reid(self):
        """The trained `ReIDModel` alone, in evaluation mode: all that a test needs. Asks for no Stable Diffusion."""
        if (self.folder / "stable-diffusion").is_dir():
            return self.model().reid
        from .tensor_files import load_exactly
        from .training import build

        file, state, identities = self._trained()
        reid = build(replace(self.experiment, conditioning="none"), identities)[0].reid
        load_exactly(reid, {k.removeprefix("reid."): v for k, v in state.items() if k.startswith("reid.")}, file)
        return reid.eval()

    @property
    def test_resize(self) -> str:
        """The filter that brings test images to size; the official code takes another one where it was
        trained on one data set."""
        return RECIPES[self.experiment.recipe].test_resize if len(self.experiment.sources) == 1 else "bicubic"

    def evaluate(self, *targets: str | os.PathLike):
        """mAP and CMC on `targets`, a DataFrame with one row per target. Each is measured once and kept,
        and measured again when its files have changed; only the targets asked for are looked at."""
        import pandas as pd

        metrics = self._measured()
        domains = {t: load_domain(t, self.experiment.tier, self.test_resize) for t in (_domain_name("target", t) for t in targets)}
        changed = {t: d for t, d in domains.items() if metrics.get(t, {}).get("data") != d.fingerprint}
        if changed:
            reid = self.reid().to(compute_device())
            low = AUTOCAST[self.experiment.precision]
            for target, domain in changed.items():
                values = {"data": domain.fingerprint} | evaluate(reid, domain, autocast=low)
                metrics[target] = values | {"sha256": _checksum(target, values)}
                _write_json(self.folder / "metrics.json", metrics)
        table = pd.DataFrame([{"target": t} | metrics[t] for t in domains])
        return table.drop(columns=["data", "sha256"], errors="ignore")

    def _measured(self) -> dict[str, dict]:
        """What was measured before, by target; what is damaged is left out, and so measured again."""
        try:
            stored = read_json(self.folder / "metrics.json")
        except (FileNotFoundError, ValueError):
            return {}
        return {t: m for t, m in stored.items() if isinstance(m, dict) and m.get("sha256") == _checksum(t, m)}


def run(experiment: Experiment, progress: bool = True, resume: str = "auto", checkpoint_every: int | None = None, machine=None) -> Run:
    """The finished run of `experiment`: found, resumed or trained. `progress` shows a bar; `resume` and
    `checkpoint_every` are those of `training.train`; `machine` is a `trainer.Machine`."""
    from contextlib import nullcontext

    import torch
    from accelerate import PartialState
    from filelock import FileLock

    from .trainer import Machine
    from .training import train

    experiment = experiment.resolved()
    data = training_set([load_domain(name, experiment.tier) for name in experiment.sources])
    folder = runs_root() / experiment.tier / _key(experiment, TIERS[experiment.tier], data.fingerprint)
    folder.mkdir(parents=True, exist_ok=True)
    # one of several processes under `accelerate launch` or `torchrun`, else alone
    # without end, since one process may wait for another job's run, or decode images while the others wait for it
    state = PartialState(cpu=not torch.accelerator.is_available(), timeout=timedelta(days=30))
    with FileLock(folder / "lock") if state.is_main_process else nullcontext():
        if state.is_main_process and not (folder / COMPLETE).exists():
            remove_parts(folder)
        state.wait_for_everyone()  # another job may have finished the run while this one waited
        if not (folder / COMPLETE).exists():
            _write_json(folder / "config.json", {"experiment": asdict(experiment), "data": data.fingerprint})
            seconds = train(experiment, data, folder, progress, resume, checkpoint_every, machine or Machine())
            _write_json(folder / "provenance.json", provenance() | {"data": data.fingerprint, "seconds": seconds})
            state.wait_for_everyone()
            _write_json(folder / COMPLETE, {name: file_sha256(folder / name) for name in RECORDS})
    return Run(folder)


def _write_json(path: Path, value) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1))


def _checksum(target: str, values: dict) -> str:
    values = {name: value for name, value in values.items() if name != "sha256"}
    return hashlib.sha256(json.dumps([target, values], sort_keys=True).encode()).hexdigest()


def _key(experiment: Experiment, tier: Tier, data: str) -> str:
    # what the experiment states itself is not counted twice; of the weights their content counts, not their place
    elsewhere = ("epochs", "lr", "tau", "precision", "schemes", "clip", "stable_diffusion", "data")
    values = {k: v for k, v in asdict(tier).items() if k not in elsewhere}
    text = json.dumps([asdict(experiment), values, data, _weights_key(tier.name)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _weights_key(tier: str) -> str:
    """Hash of a tier's weights when they are folders, else their names and the hub's revision."""
    from .diffusion import REVISIONS

    digest = hashlib.sha256(REVISIONS.get(TIERS[tier].stable_diffusion, "").encode())
    for source in (TIERS[tier].clip, TIERS[tier].stable_diffusion):
        files = sorted(Path(source).rglob("*.safetensors")) if Path(source).is_dir() else []
        digest.update(b"".join(f.read_bytes() for f in files) or source.encode())
    return digest.hexdigest()[:16]


def provenance() -> dict:
    """Versions, commit and hardware of this process."""
    from importlib.metadata import version

    import torch

    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=CLONE, capture_output=True, text=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    packages = ("torch", "torchvision", "diffusers", "peft", "accelerate", "open_clip_torch", "numpy", "dcac-lite")
    return {
        "commit": commit.stdout.strip() or None,
        "python": platform.python_version(),
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in packages},
    }
