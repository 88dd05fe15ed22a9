"""An experiment is a frozen value: what a training run is told. `runs.run` makes a run of it."""

import os
import sys
from dataclasses import dataclass, replace
from numbers import Integral, Real

from .adaptation import MODES
from .conditioning import SCHEMES
<<<<<<< ours
from .data.registry import domain_name, paper_name
from .device import AUTOCAST
=======
from .data.domains import Domain, lite_domain, read_dataset, training_set
from .data.registry import DATASETS, is_path, paper_name
from .device import AUTOCAST, compute_device
from .evaluation import evaluate
from .paths import CLONE, IN_CLONE, data_root, remove_parts, replacing, runs_root
from .pretrained.files import file_sha256, read_json
from .progress import over
>>>>>>> theirs
from .recipes import RECIPES
from .tiers import TIERS, paper_rank, paper_tau_c


@dataclass(frozen=True)
class Experiment:
    """One training run. Fields left at None take the tier's value for this scheme and source.

    sources: domains to train on, a name or path or several. conditioning: "none" for the baseline or one of
    `conditioning.SCHEMES`. adaptation: one of `adaptation.MODES`. rank: LoRA rank r. lambda_ and
    tau_c: Eq. 13 and 12. lr: base learning rate. tau, gamma: Eq. 6 and 7. precision: no, bf16 or fp16. recipe:
    one of `recipes.RECIPES`, for where text and official code differ. accumulation: parts that a batch is
    worked through in, for small cards; each part then has batch statistics of its own.

    warmup: epochs of the learning rate's ramp. milestones: epochs, counted from 1, from which on the rate is a
    tenth of what it was. Left at None, both are the tier's and move with `epochs`. iterations: steps an epoch;
    None in the full tier is one natural pass of the PK sampler. identities, instances: P and K of a batch.
    padding (pixels) and erasing (probability): augmentation.

    Numbers may be NumPy's; they become Python's. Raises ValueError naming a field that is of no use.
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
    warmup: int | None = None
    milestones: tuple[int, ...] | None = None
    iterations: int | None = None
    identities: int | None = None
    instances: int | None = None
    weight_decay: float | None = None
    padding: int | None = None
    erasing: float | None = None
    gamma: float | None = None

    def __post_init__(self) -> None:
        sources = (self.sources,) if isinstance(self.sources, (str, os.PathLike)) else self.sources
        if not isinstance(sources, (tuple, list)):  # a set has no order, on which the labels depend
            raise ValueError(f"sources is {sources!r}; expected a domain, or a tuple or list such as ('MA', 'D').")
        values: dict = {"sources": tuple(domain_name("source", name) for name in sources)}
        if not sources:
            raise ValueError("sources is empty; name at least one domain to train on.")
        if len(set(map(paper_name, values["sources"]))) < len(sources):
            raise ValueError(f"sources {values['sources']} names a domain twice.")
        for name, choices in _CHOICES.items():
            values[name] = _one_of(name, getattr(self, name), choices)
        if self.precision is not None:
            values["precision"] = _one_of("precision", self.precision, AUTOCAST)
        for name, (kind, least, most) in _NUMBERS.items():
            if (value := getattr(self, name)) is not None or name in ("seed", "accumulation"):
                values[name] = _number(name, value, kind, least, most)
        if self.milestones is not None:
            values["milestones"] = _milestones(self.milestones)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def resolved(self) -> "Experiment":
        """The same experiment with every None replaced, and what cannot matter set to one value:
        a baseline has no adaptation, rank, lambda or tau_c."""
        tier = TIERS[self.tier]
        values = {name: getattr(tier, name) for name in _OF_THE_TIER}
        values["precision"] = tier.precision or RECIPES[self.recipe].precision
        epochs = self.epochs or tier.epochs
        values["warmup"] = _in_proportion(tier.warmup, epochs, tier.epochs)
        # two that fall into one epoch count once, and the first epoch never decays
        milestones = [max(2, _in_proportion(m, epochs, tier.epochs)) for m in tier.milestones]
        values["milestones"] = tuple(dict.fromkeys(milestones))
        values = {name: value if getattr(self, name) is None else getattr(self, name) for name, value in values.items()}
        if self.conditioning == "none":
            return replace(self, **values, adaptation="frozen", rank=1, lambda_=0.0, tau_c=1.0)
        lambda_, tau_c = tier.schemes.get(self.conditioning, (1.0, paper_tau_c(self.sources)))
        values["lambda_"] = lambda_ if self.lambda_ is None else self.lambda_
        values["tau_c"] = tau_c if self.tau_c is None else self.tau_c
        rank = self.rank or (paper_rank(self.sources) if tier.share is None else 8)
        return replace(self, **values, rank=rank if self.adaptation == "lora" else 1)

    @property
    def batch(self) -> int:
        """Images of a training step of a resolved experiment: P identities with K images each."""
        return self.identities * self.instances

    @property
    def test_resize(self) -> str:
        """The filter that brings test images to size; the official code takes another one where it was
        trained on one data set."""
        return RECIPES[self.recipe].test_resize if len(self.sources) == 1 else "bicubic"

    @property
    def label(self) -> str:
        """A short name for plots and progress bars."""
        scheme = "baseline" if self.conditioning == "none" else f"{self.conditioning}, {self.adaptation}"
        return f"{'+'.join(self.sources)} {scheme} seed {self.seed}"


_CHOICES = {"tier": TIERS, "conditioning": ("none", *SCHEMES), "adaptation": MODES, "recipe": RECIPES}
_LARGEST = sys.float_info.max
#: kind, least and largest value of every number. seed: what every generator that it goes to can take.
_NUMBERS: dict[str, tuple[type, float, float]] = {
    "rank": (int, 1, _LARGEST), "lambda_": (float, 0, _LARGEST), "tau_c": (float, 1e-6, _LARGEST),
    "seed": (int, 0, 2**32 - 1), "accumulation": (int, 1, _LARGEST), "epochs": (int, 1, _LARGEST),
    "lr": (float, 0, _LARGEST), "weight_decay": (float, 0, _LARGEST), "warmup": (int, 0, _LARGEST),
    "tau": (float, 1e-6, _LARGEST), "gamma": (float, 0, 1), "iterations": (int, 1, _LARGEST),
    "identities": (int, 2, _LARGEST), "instances": (int, 1, _LARGEST),
    "padding": (int, 0, _LARGEST), "erasing": (float, 0, 1),
}  # fmt: skip
_OF_THE_TIER = (
    "epochs", "lr", "tau", "gamma", "iterations", "identities", "instances", "weight_decay", "padding", "erasing",
)  # fmt: skip


def _one_of(what: str, value, choices) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{what} is {value!r}; expected one of {', '.join(map(str, choices))}.")
    return str(value)


def _number(name: str, value, kind: type, least: float, most: float):
    right = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    # Python's own numbers compare without overflow, NumPy's small ones do not
    if not right or not least <= (int(value) if isinstance(value, Integral) else float(value)) <= most:
        limit = f"at least {least:g}" if most == _LARGEST else f"{least:g} to {most:.10g}"
        raise ValueError(f"{name} is {value!r}; expected a {'whole ' * (kind is int)}number of {limit}.")
    return kind(value)


def _milestones(value) -> tuple[int, ...]:
    epochs = value if isinstance(value, (tuple, list)) else [None]
    right = all(isinstance(m, Integral) and not isinstance(m, bool) and m > 0 for m in epochs)
    if not right or any(a >= b for a, b in zip(epochs, epochs[1:])):
        raise ValueError(f"milestones is {value!r}; expected rising epochs such as (30, 50), or () for no decay.")
    return tuple(int(m) for m in value)


def _in_proportion(epoch: int, epochs: int, planned: int) -> int:
    """An epoch of a schedule planned for `planned` epochs in one of `epochs`, rounded half up."""
    return (2 * epoch * epochs + planned) // (2 * planned)
<<<<<<< ours
=======


# ---------------------------------------------------------------- data of a tier


def _domain_name(what: str, name: str | os.PathLike) -> str:
    """A short name as it is, the path of any other data set made absolute."""
    if isinstance(name, os.PathLike) or (isinstance(name, str) and is_path(name)):
        return os.path.abspath(os.path.expanduser(name))
    names = dict.fromkeys((*DOMAIN_NAMES, *DATASETS))
    if not isinstance(name, str) or name not in names:
        raise ValueError(
            f"{what} is {name!r}; expected one of {', '.join(names)}, or the path of a folder, such as ./mine."
        )
    return str(name)


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
        return read_dataset(
            name, TIERS[tier].image_size, progress=over(f"decoding {Path(name).name}"), test_resize=test_resize
        )
    return _load_domain(name, tier, Path(TIERS[tier].data or data_root()), test_resize)


@cache
def _load_domain(name: str, tier: str, root: Path, test_resize: str) -> Domain:
    values = TIERS[tier]
    if values.share is not None:
        if name not in DOMAIN_NAMES:
            raise ValueError(f"{name} exists in the full tier only; choose one of {', '.join(DOMAIN_NAMES)}.")
        return lite_domain(name, values.share, values.image_size, over(f"drawing {name}"))
    if name not in DATASETS:
        raise ValueError(f"{name} exists in the smoke and lite tiers only; choose one of {', '.join(DATASETS)}.")
    dataset = DATASETS[name]
    return read_dataset(dataset.find(root), values.image_size, dataset, name, over(f"decoding {name}"), test_resize)


# ---------------------------------------------------------------- runs


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
            self.experiment = Experiment(
                **read_json(described)["experiment"]
            ).resolved()  # an earlier version's states less
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
        from .pretrained.files import read_tensors

        file = self.folder / "model.safetensors"
        state = read_tensors(file)
        if "reid.classifier.weight" not in state:
            raise ValueError(f"{file} holds no reid.classifier.weight; expected the weights of a finished run.")
        return file, state, len(state["reid.classifier.weight"])

    def model(self):
        """The trained `DCAC`, in evaluation mode; needs the tier's pre-trained weights, but no data. Raises
        ValueError naming them when tensors of model.safetensors do not fit."""
        if (self.folder / "stable-diffusion").is_dir():  # made by `convert` from an official checkpoint
            from .release.convert import load_converted

            return load_converted(self.folder)
        from .checkpoints import trained_state
        from .pretrained.files import check_fit
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
        from .pretrained.files import load_exactly
        from .training import build

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
        names = [_domain_name("target", target) for target in targets]
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
    machine=None,
) -> Run:
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
    folder = runs_root() / experiment.tier / _key(experiment, data.fingerprint)
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
            seconds = train(experiment, data, folder, progress, resume, checkpoint_every, machine or Machine())
            _write_json(folder / "provenance.json", provenance() | {"data": data.fingerprint, "seconds": seconds})
            state.wait_for_everyone()
            _write_json(complete, {name: file_sha256(folder / name) for name in RECORDS})
    return Run(folder)


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
    from .diffusion import REVISIONS

    digest = hashlib.sha256("".join(REVISIONS.get(source, "") for source in sources).encode())
    for source in sources:
        files = sorted(Path(source).rglob("*.safetensors")) if Path(source).is_dir() else []
        digest.update(b"".join(f.read_bytes() for f in files) or source.encode())
    return digest.hexdigest()[:16]


def provenance() -> dict:
    """Versions, commit and hardware of this process."""
    from importlib.metadata import version

    import torch

    commit = ""
    if IN_CLONE:  # an installed package may lie inside somebody else's clone
        git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=CLONE, capture_output=True, text=True)
        commit = git.stdout.strip()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    packages = ("torch", "torchvision", "diffusers", "peft", "accelerate", "open_clip_torch", "numpy", "dcac-lite")
    return {
        "commit": commit or None,
        "python": platform.python_version(),
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in packages},
    }
>>>>>>> theirs
