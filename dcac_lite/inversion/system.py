"""The system as a whole: each stage trained once, kept under a key of everything it depends on, and found again."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor, nn

from ..code_key import code_key, imports_of
from ..data.domains import Domain
from ..data.load import load_domain
from ..device import compute_device
from ..paths import own_folder, runs_root
from ..pretrained.files import load_exactly, read_json, read_tensors, write_json, write_tensors
from .auxiliary import Auxiliary, train_auxiliary
from .bank import SOURCES, Bank, draw_bank, invented
from .generator import Generator, train_generator
from .img2id import Img2ID, train_on_bank, train_on_classes, train_on_pairs
from .img2noise import train_img2noise
from .people import People, people_of
from .recipe import RECIPES, Recipe
from .unet import UNet

#: What Img2ID can learn from: generated pictures, their people being from one of `SOURCES`, or real training pictures,
#: with the table's vectors ("pairs") or with their labels only ("classes").
TEACHERS = (*SOURCES, "pairs", "classes")
#: The weights that come with the package, of the lite tier, MA and seed 0.
SHIPPED = Path(__file__).with_name("weights")


@dataclass(frozen=True)
class Setting:
    """What is trained. source: a domain, or the path of a folder in Market-1501's layout; leak: whether the generator
    also sees the people whom Re-ID is tested on, as the published weights suggest."""

    source: str = "MA"
    tier: str = "lite"
    seed: int = 0
    leak: bool = False


class System:
    """The stages of one setting. Each is trained when it is first asked for; `shipped` allows the package's own weights
    where they are of this setting.

    Raises ValueError for a setting that cannot be, FileNotFoundError where a real data set is missing."""

    def __init__(self, setting: Setting = Setting(), shipped: bool = True):
        if setting.tier not in RECIPES:
            raise ValueError(f"tier is {setting.tier!r}; expected one of {', '.join(RECIPES)}.")
        if isinstance(setting.seed, bool) or not isinstance(setting.seed, int) or setting.seed < 0:
            raise ValueError(f"seed is {setting.seed!r}; expected a whole number of at least 0.")
        self.setting = setting
        self.recipe: Recipe = RECIPES[setting.tier]
        self.shipped = shipped and setting == Setting()
        self._records: dict[str, Path] = {}  # of each stage that was asked for, what was noted of its training
        self.domain: Domain = load_domain(setting.source, setting.tier)

    @cached_property
    def people(self) -> People:
        """The training pictures at the size of the system."""
        return people_of(self.domain, self.recipe.size, self.setting.leak)

    @cached_property
    def generator(self) -> Generator:
        """Stage A."""
        recipe, sizes = self.recipe, (self.people.identities, self.recipe.dim)
        empty = Generator(*sizes, recipe.depths, recipe.blocks)
        train = lambda partial: train_generator(self.people, recipe, self.setting.seed, partial)  # noqa: E731
        return self._stage("generator", self._generator_key, empty, train)

    @cached_property
    def auxiliary(self) -> Auxiliary:
        """Stage B."""
        rows = lambda: self.generator.table.vectors  # noqa: E731
        train = lambda partial: train_auxiliary(rows(), self.recipe, self.setting.seed, partial)  # noqa: E731
        return self._stage("auxiliary", self._auxiliary_key, Auxiliary(self.recipe.dim), train)

    def bank(self, source: str) -> Bank:
        """The generated pictures of people from one of `SOURCES`."""
        vectors = invented(source, self.generator, self.auxiliary, self.recipe, self.recipe.bank, self.setting.seed)
        folder = self.folder / f"bank-{source}-{self._bank_key(source)}"
        with FileLock(self.folder / f"bank-{source}.lock"):
            return draw_bank(folder, self.generator, vectors, self.recipe, self.setting.seed)

    def img2id(self, teacher: str = "auxiliary") -> Img2ID:
        """Stage C, taught by one of `TEACHERS`."""
        if teacher not in TEACHERS:
            raise ValueError(f"teacher is {teacher!r}; expected one of {', '.join(TEACHERS)}.")
        recipe, seed = self.recipe, self.setting.seed

        def train(partial: Path) -> tuple[nn.Module, list[dict]]:
            if teacher == "pairs":
                return train_on_pairs(self.people, self.generator.table.vectors, recipe, seed, partial)
            if teacher == "classes":
                return train_on_classes(self.people, recipe, seed, partial)
            return train_on_bank(self.bank(teacher), recipe, seed, partial)

        parent = self._bank_key(teacher) if teacher in SOURCES else self._generator_key
        empty = Img2ID(recipe.size, recipe.dim, recipe.depths, recipe.blocks)
        return self._stage(f"img2id-{teacher}", self._key("img2id", {"of": parent, "teacher": teacher}), empty, train)

    @cached_property
    def img2noise(self) -> UNet:
        """Stage D, on the bank of the auxiliary generator's people."""
        train = lambda partial: train_img2noise(  # noqa: E731
            self.generator, self.bank("auxiliary"), self.recipe, self.setting.seed, partial
        )
        key = self._key("img2noise", {"of": self._bank_key("auxiliary")})
        return self._stage("img2noise", key, UNet(self.recipe.depths, self.recipe.blocks), train)

    # ------------------------------------------------------------ where things are

    @property
    def folder(self) -> Path:
        """Where the stages are kept, made if it is not there."""
        return own_folder(runs_root() / self.setting.tier / "inversion")

    @property
    def _generator_key(self) -> str:
        return self._key("generator", {"data": self.domain.fingerprint, "leak": self.setting.leak})

    @property
    def _auxiliary_key(self) -> str:
        return self._key("auxiliary", {"of": self._generator_key})

    def _bank_key(self, source: str) -> str:
        parent = self._auxiliary_key if source == "auxiliary" else self._generator_key
        return self._key("bank", {"of": parent, "source": source})

    def _key(self, stage: str, more: dict) -> str:
        """Hash of what a stage is made of: its values of the recipe, seed, its parents or data, and the code."""
        text = json.dumps([self.recipe.of(stage), self.setting.seed, more, code_key(_modules(stage))], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _stage(self, name: str, key: str, empty, train: Callable[[Path], tuple[nn.Module, list[dict]]]):
        """A finished stage from its file, or trained: in evaluation mode, without gradients, on the computing device.
        Two processes that ask at once train it once."""
        file = SHIPPED / f"{name}.safetensors"
        if not (self.shipped and file.exists()):
            file = self.folder / f"{name}-{key}.safetensors"
            with FileLock(file.with_suffix(".lock")):
                if not file.exists():
                    partial = file.with_suffix(".partial")
                    module, history = train(partial)
                    write_json({"setting": asdict(self.setting), "history": history}, file.with_suffix(".json"))
                    write_tensors(module.state_dict(), file)
                    partial.unlink(missing_ok=True)
        self._records[name] = file.with_suffix(".json")
        load_exactly(empty, read_tensors(file), file)
        return empty.to(compute_device()).requires_grad_(False).eval()

    def history(self, name: str) -> list[dict]:
        """The loss of a stage that has been asked for, as it was trained: step and loss. name: generator, auxiliary,
        img2noise, or img2id- and a teacher."""
        if name not in self._records:
            known = ", ".join(self._records) or "none so far"
            raise ValueError(f"stage is {name!r}; expected one that has been asked for: {known}.")
        return read_json(self._records[name])["history"]


def _modules(stage: str) -> tuple[str, ...]:
    """The modules of this folder that a stage's numbers come from. The recipe's values are in a key by themselves."""
    counted, waiting = set(), {f"inversion.{stage}"}
    while waiting:
        counted.add(name := waiting.pop())
        waiting |= {n for n in imports_of(name) if n.startswith("inversion.")} - counted - {"inversion.recipe"}
    return tuple(sorted(counted))


def ship(system: System) -> None:
    """Write the stages of a system, in half precision, as the weights that come with the package."""
    stages = {"generator": system.generator, "auxiliary": system.auxiliary, "img2noise": system.img2noise}
    for name, module in (stages | {"img2id-auxiliary": system.img2id()}).items():
        state: dict[str, Tensor] = module.state_dict()
        half = {n: x.half() if x.dtype == torch.float32 and "running" not in n else x for n, x in state.items()}
        write_tensors(half, SHIPPED / f"{name}.safetensors")
        write_json({"history": system.history(name)}, SHIPPED / f"{name}.json")
