"""Weight files: read without running anything inside them, and loaded without leaving anything out."""

import hashlib
import json
import pickle
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..paths import replacing


class _Placeholder:
    """Stands for what a Lightning checkpoint keeps beside its tensors; holds nothing, does nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


# What PyTorch Lightning left in Stable Diffusion's .ckpt files beside the tensors. None of it is used.
_LEFT_BY_LIGHTNING = [
    (_Placeholder, name)
    for name in (
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
        "_codecs.encode",
    )
]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a .safetensors file, a PyTorch file or a TorchScript archive (as OpenAI
    publishes CLIP), on the CPU. A `state_dict` entry is unwrapped.

    PyTorch files are read with `weights_only=True`: one that holds code is refused and nothing of it
    is run. Checksums (a zip archive's, and that of `write_tensors`) are verified.

    Raises FileNotFoundError, or ValueError for a file that is damaged or holds anything but tensors."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected a file with weights.")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pytorch(path)
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"{path} holds {type(state).__name__} instead of named tensors; expected a state dict.")
    if odd := [str(name) for name, value in state.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"{path} holds {some(odd)}, which is no tensor; expected a state dict of tensors only.")
    return dict(state)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            digest = (file.metadata() or {}).get("sha256")
            state = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is damaged or no safetensors file ({_line(error)}); fetch or write it again."
        ) from error
    if digest is not None and digest != _digest(state):
        raise ValueError(
            f"{path} is damaged: its tensors do not have the checksum it was written with; write it again."
        )
    return state


def _read_pytorch(path: Path):
    is_zip = zipfile.is_zipfile(path)
    try:
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                if bad := archive.testzip():
                    raise ValueError(f"the checksum of {bad} is wrong")
                if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                    return _read_torchscript(path)
        with torch.serialization.safe_globals(_LEFT_BY_LIGHTNING):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):
            raise ValueError(
                f"{path} holds objects besides tensors, which may be code, so it is refused and nothing in it was run; "
                f"ask its publisher for safetensors. ({_reason(error)})"
            ) from error
        raise _damaged(path, error) from error
    except (RuntimeError, EOFError, ValueError, OSError, KeyError, IndexError, TypeError, AttributeError,
            AssertionError,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise _damaged(path, error) from error


def _read_torchscript(path: Path) -> dict[str, Tensor]:
    # loading runs no Python: TorchScript has an interpreter and an unpickler of its own
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch prefers newer formats; OpenAI's files are this one
        return torch.jit.load(path, map_location="cpu").state_dict()


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is damaged or no PyTorch file ({_line(error)}); fetch it again.")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _reason(error: Exception) -> str:
    return next(line.strip() for line in str(error).splitlines() if "GLOBAL" in line).split(" was not an allowed")[0]


def _digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def write_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """Write named tensors as safetensors with a checksum that `read_tensors` verifies."""
    from safetensors.torch import save_file

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with replacing(Path(path)) as temporary:
        save_file(state, temporary, metadata={"format": "pt", "sha256": _digest(state)})


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_json(path: Path) -> dict:
    """A JSON object from `path`. Raises FileNotFoundError or ValueError naming the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; the folder is not complete.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); fetch or write it again.") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds {type(value).__name__}; expected a JSON object.")
    return value


def write_json(value, path: Path) -> None:
    """Write what `read_json` reads, whole or not at all."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")


def check_sizes(config: Mapping, names: Iterable[str], where) -> None:
    """Raise ValueError unless those of `names` that `config` has, and that are not null, are whole numbers of
    at least 1 or lists of such numbers: else a library answers in as many ways as it has layers."""
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        each = value if isinstance(value, (list, tuple)) and value else [value]
        if not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in each):
            raise ValueError(f"{name} in {where} is {value!r}; expected a whole number of at least 1.")


def some(names: Iterable[str], shown: int = 3) -> str:
    """The first few of `names`, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


def check_fit(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], where) -> None:
    """Raise ValueError unless `state` has exactly the names and shapes of `expected`, floating point
    where that is expected, and only finite values. `where` (a file) and the tensors are named."""
    wrong = []
    if missing := sorted(set(expected) - set(state)):
        wrong.append(f"missing {some(missing)}")
    if unexpected := sorted(set(state) - set(expected)):
        wrong.append(f"unexpected {some(unexpected)}")
    common = [name for name in expected if name in state]
    shapes = [n for n in common if state[n].shape != expected[n].shape]
    if shapes:
        described = (f"{n} is {list(state[n].shape)} instead of {list(expected[n].shape)}" for n in shapes)
        wrong.append(f"wrong shape: {some(described)}")
    types = [n for n in common if state[n].is_floating_point() != expected[n].is_floating_point()]
    if types:
        wrong.append("wrong type: " + some(f"{n} is {state[n].dtype} instead of {expected[n].dtype}" for n in types))
    if broken := [n for n in common if state[n].is_floating_point() and not torch.isfinite(state[n]).all()]:
        wrong.append(f"NaN or infinity in {some(broken)}")
    if wrong:
        raise ValueError(f"The weights in {where} do not fit the model: {'; '.join(wrong)}.")


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], where, assign: bool = False) -> None:
    """Load `state` into `module` after `check_fit`, in the module's own number types. `assign` puts the
    tensors themselves in place, for a module on the meta device."""
    expected = module.state_dict()
    check_fit(expected, state, where)
    module.load_state_dict({name: state[name].to(tensor.dtype) for name, tensor in expected.items()}, assign=assign)
