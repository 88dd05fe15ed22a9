"""What a run keeps of its model. Its checkpoints: written whole, the newest two kept, checked, never unpickled."""

import zipfile
from pathlib import Path

import torch
from torch import Tensor

from .adaptation import STRAY_BIAS
from .dcac import DCAC
from .paths import replacing


class Checkpoints:
    """The newest two checkpoints of a run, each written completely before an older one goes."""

    def __init__(self, folder: Path):
        self.folder = folder

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*.pt"))

    def write(self, state: dict) -> None:
        """Write a checkpoint of tensors and plain values, then delete all but the newest two."""
        with replacing(self.folder / f"checkpoint-{state['step']:08d}.pt") as temporary:
            torch.save(state, temporary)
        for old in self._files()[:-2]:
            old.unlink()

    def newest(self, required: bool = False) -> dict | None:
        """The newest checkpoint, or None. Its checksums are verified; never unpickles code.

        Raises FileNotFoundError if there is none and `required`, ValueError for a damaged file."""
        files = self._files()
        if not files:
            if required:
                raise FileNotFoundError(
                    f"{self.folder} holds no checkpoint-*.pt to resume from; start without asking to resume."
                )
            return None
        try:
            with zipfile.ZipFile(files[-1]) as archive:  # torch writes the checksums but does not look at them
                if bad := archive.testzip():
                    raise ValueError(f"the checksum of {bad} is wrong")
            return torch.load(files[-1], map_location="cpu", weights_only=True)
        except Exception as error:  # zip, pickle and torch each raise their own
            raise ValueError(
                f"{files[-1]} is damaged ({error}): delete it to resume from the checkpoint before it, "
                "or train with resume='never'."
            ) from error

    def remove(self) -> None:
        """Delete all checkpoints of a finished run."""
        for file in self._files():
            file.unlink()


def trained_state(dcac: DCAC) -> dict[str, Tensor]:
    """What Stable Diffusion does not hold: the Re-ID model, what else learns, buffers, and stray biases."""
    kept = {name for name, _ in dcac.named_buffers()}
    for name, parameter in dcac.named_parameters():
        if parameter.requires_grad or name.startswith("reid.") or STRAY_BIAS.fullmatch(name):
            kept.add(name)
    return {k: v.detach().cpu().contiguous().clone() for k, v in dcac.state_dict().items() if k in kept}
