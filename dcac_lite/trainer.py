"""What a run does on its device: fetching, augmenting and noising a batch, one optimizer step (Sec. 5.2)."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .augment import augment
from .data.domains import TrainingSet
from .data.moments import cached_moments
from .dcac import DCAC
from .device import AUTOCAST, keep_float32
from .diffusion import idle_parameters, sample_latents
from .experiment import Resolved
from .pretrained.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


def lr_factor(epoch: int, warmup: int, milestones: tuple[int, ...], from_start: bool = False) -> float:
    """Learning rate of an epoch (counted from 1) relative to the base: linear warm-up from 0.1, times
    0.1 from each milestone on. As in the official code epoch 1 is already one step up the ramp;
    `from_start` begins at 0.1, as the text says."""
    done = epoch - from_start
    ramp = 0.1 + 0.9 * done / warmup if done < warmup else 1.0
    return ramp * 0.1 ** sum(epoch >= m for m in milestones)


@dataclass(frozen=True)
class Batch:
    """What a step works on, on the device, in the order of `DCAC.forward`'s arguments. images: augmented and
    normalised, [B, 3, H, W]; labels int64 [B]; latents F_0 of the un-augmented images and noise [B, C, h, w];
    timesteps int64 [B]. The last three are None for a baseline."""

    images: Tensor
    labels: Tensor
    latents: Tensor | None = None
    noise: Tensor | None = None
    timesteps: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Tensor | None]:
        """So that `dcac(*batch)` is a forward pass."""
        return (getattr(self, field.name) for field in fields(self))

    def share(self, start: int, size: int) -> "Batch":
        """`size` rows from `start` on."""
        rows = {name: t[start : start + size] for name, t in vars(self).items() if t is not None}
        return replace(self, **rows)


class _Fetched(NamedTuple):
    """A batch as it comes from disk: images uint8 [B, 3, H, W], labels int64 [B], and float16 posterior moments
    [B, 2C, h, w], None for a baseline."""

    images: Tensor
    labels: Tensor
    moments: Tensor | None


def step_inputs(
    experiment: Resolved, data: TrainingSet, moments: np.ndarray | None, scaling: float, rows: Tensor, step: int, device
) -> Batch:
    """The batch of the images at `rows`. All that is random in a step comes from
    one generator seeded by the experiment's seed and the step, which is why a run can be resumed
    exactly and why a baseline and a DCAC of one seed see the same augmented batches."""
    return _on_device(experiment, _fetch(data, moments, rows), scaling, step, torch.device(device))


def _fetch(data: TrainingSet, moments: np.ndarray | None, rows: Tensor) -> _Fetched:
    """What a step needs from disk, on the CPU, in pinned memory if there is a GPU, so that copying it there
    holds nothing up."""
    own = None if moments is None else torch.from_numpy(moments[rows.numpy()])
    fetched = _Fetched(data.images(rows), data.labels[rows], own)
    if not torch.cuda.is_available():
        return fetched
    return fetched._replace(**{name: t.pin_memory() for name, t in fetched._asdict().items() if t is not None})


def _on_device(experiment: Resolved, fetched: _Fetched, scaling: float, step: int, device: torch.device) -> Batch:
    images, labels = (t.to(device, non_blocking=True) for t in fetched[:2])
    generator = torch.Generator(device).manual_seed(experiment.seed * 1_000_003 + step)
    x = augment(images, experiment.padding, experiment.erasing, experiment.jitter, generator)
    if fetched.moments is None:
        return Batch(x, labels)
    moments = fetched.moments.to(device, non_blocking=True)
    B, both, h, w = moments.shape  # mean and log-variance of each of the latent's channels
    shape = B, both // 2, h, w
    sampling = torch.randn(shape, generator=generator, device=device)
    if not experiment.of_recipe.posterior_sample:
        sampling = torch.zeros_like(sampling)
    latents = sample_latents(moments.float(), scaling, sampling)
    noise = torch.randn(shape, generator=generator, device=device)
    timesteps = torch.randint(1000, (B,), generator=generator, device=device)
    return Batch(x, labels, latents, noise, timesteps)


@dataclass(frozen=True)
class Machine:
    """How a run uses its machine; none of it changes the result beyond rounding.

    gradient_checkpointing: the U-Net's activations are computed again in the backward pass, for small
    cards. compile: torch.compile the U-Net and the encoder. channels_last: memory format of the U-Net
    on a GPU. tracker: a tracker of accelerate's, such as "tensorboard", that logs the losses into the
    run's folder."""

    gradient_checkpointing: bool = False
    compile: bool = False
    channels_last: bool = True
    tracker: str | None = None


class Trainer:
    """A run's model, optimizer and data on their device; `step` does one iteration.

    Runs through accelerate: CPU, one GPU, or several processes that share every batch under
    `accelerate launch` or `torchrun`. Nothing in a step waits for the device, so losses come back as
    tensors. `dcac` and `sd` are what `build` returns; `sd` None is a baseline."""

    def __init__(
        self,
        experiment: Resolved,
        data: TrainingSet,
        dcac: DCAC,
        sd: StableDiffusion | None,
        machine: Machine = Machine(),
        folder: Path | None = None,
        progress: Callable = iter,
    ):
        from accelerate import Accelerator, DistributedDataParallelKwargs
        from accelerate.state import AcceleratorState

        keep_float32()
        AcceleratorState._reset_state()  # an earlier run of this process may have used another precision
        # buffers come from the same numbers in every process, so they are equal but for rounding
        spread = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
        self.accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(), mixed_precision=experiment.precision, kwargs_handlers=[spread],
            gradient_accumulation_steps=experiment.accumulation, log_with=machine.tracker, project_dir=folder,
        )  # fmt: skip
        if machine.tracker:
            self.accelerator.init_trackers("losses")
        batch, shares = experiment.batch, self.accelerator.num_processes * experiment.accumulation
        if batch % shares or batch == shares:  # a single image has no batch statistics
            raise ValueError(
                f"A batch of {batch} images cannot be shared equally by {self.accelerator.num_processes} processes in "
                f"{experiment.accumulation} parts each of at least 2 images; choose numbers that divide {batch}."
            )
        self.device = self.accelerator.device
        self.experiment, self.data, self.dcac = experiment, data, dcac
        self.moments, self.scaling = None, 1.0
        if sd is not None and dcac.unet is not None:
            sd.vae.to(self.device)
            with self.accelerator.main_process_first():
                self.moments = cached_moments(sd, data, progress)
            sd.vae.cpu()  # its work is done
            self.scaling = sd.vae.config["scaling_factor"]
            self._prepare_unet(dcac.unet, machine)
            idle = [f"unet.{name}" for name in idle_parameters(dcac.unet) if dcac.tokens == 1]
            # else every backward pass would look for them and wait for the device
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(dcac, idle)
        if machine.compile:
            dcac.reid.visual.compile(dynamic=False)  # training, a batch of the prototypes' and the rest: three sizes
            from torch._functorch import config

            config.donated_buffer = False  # `gradient_norms` goes backward twice
        learning = [p for p in dcac.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(learning, lr=experiment.lr, weight_decay=experiment.weight_decay, fused=True)
        self.model, self.optimizer = self.accelerator.prepare(dcac, optimizer)
        self.model.train()

    def _prepare_unet(self, unet: "UNet2DConditionModel", machine: Machine) -> None:
        from peft.tuners.lora import LoraLayer

        from .lean_unet import FoldedLinear

        low = AUTOCAST[self.experiment.precision]
        folded = {layer.base_layer for layer in unet.modules() if isinstance(layer, FoldedLinear)}
        for layer in unet.modules() if low is not None else ():
            if isinstance(layer, LoraLayer):
                layer.cast_input_dtype_enabled = False  # to float32, from where autocast would cast back
            elif isinstance(layer, (nn.Linear, nn.Conv2d)) and layer not in folded:
                for parameter in (p for p in layer.parameters() if not p.requires_grad):
                    # autocast would make this copy anew in every step; what learns stays float32
                    parameter.data = parameter.data.to(low)
        if self.device.type == "cuda" and machine.channels_last:
            nn.Module.to(unet, memory_format=torch.channels_last)  # diffusers hides the signature of its own
        if machine.gradient_checkpointing:
            unet.enable_gradient_checkpointing()
        if machine.compile:
            unet.compile()

    def start_epoch(self, epoch: int, reset_memory: bool = True) -> float:
        """Set the epoch's learning rate and return it; the prototypes become the centroids (Sec. 4.1)."""
        e = self.experiment
        lr = e.lr * lr_factor(epoch, e.warmup, e.milestones, e.of_recipe.warmup_from_start)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if reset_memory:
            self.dcac.memory.reset(self._features(), self.data.labels.to(self.device))
        return lr

    def _features(self) -> Tensor:
        """Features of all training images in order, [M, d]; each process computes an equal share of them."""
        share = -(-len(self.data) // self.accelerator.num_processes)
        rows = (self.accelerator.process_index * share + torch.arange(share)).clamp(max=len(self.data) - 1)
        with self.accelerator.autocast():
            own = torch.cat([self.dcac.reid.features(self.data.images(some)) for some in torch.split(rows, 256)])
        return self._gathered(own.to(self.device))[: len(self.data)]

    def _gathered(self, own: Tensor) -> Tensor:
        """The rows of all processes, in their order."""
        return cast(Tensor, self.accelerator.gather(own))

    def inputs(self, batches: Iterable[Tensor], first_step: int) -> Iterator[Batch]:
        """The batch of each group of row numbers; the next one is fetched while one is used."""
        with ThreadPoolExecutor(1) as pool:
            waiting = None
            for step, rows in enumerate([*batches, None], first_step):
                ready, waiting = waiting, rows is not None and pool.submit(_fetch, self.data, self.moments, rows)
                if ready:
                    yield _on_device(self.experiment, ready.result(), self.scaling, step - 1, self.device)

    def step(self, batch: Batch, measure: bool = False) -> dict[str, Tensor]:
        """Forward, backward, optimizer and memory update. batch: the whole one; each process takes its part
        of it, and works that through in `experiment.accumulation` shares, one after the other.
        Returns the losses of the whole batch (detached, on the device), with `measure` also
        `dcac.gradient_norms` as `gradient_reid` and `gradient_dif`."""
        processes, accumulation = self.accelerator.num_processes, self.experiment.accumulation
        size = len(batch) // (processes * accumulation)
        own = batch.share(self.accelerator.process_index * accumulation * size, accumulation * size)
        scaler = self.accelerator.scaler
        scale = (scaler.get_scale() if scaler else 1.0) if measure else None
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        features = []
        for start in range(0, len(own), size):
            with self.accelerator.accumulate(self.model):
                losses, z = self.model(*own.share(start, size), measure=scale)
                self.accelerator.backward(losses["total"])
                self.optimizer.step()
            features.append(z.detach())
            for name, value in losses.items():
                # of gradients of equal shares, the squares of the norms can be added up
                value = value.detach().square() if name.startswith("gradient_") else value.detach()
                sums[name] = sums.get(name, 0) + value / accumulation
        feature = F.normalize(torch.cat(features))
        self.dcac.memory.update(self._gathered(feature), self._gathered(own.labels))
        if processes > 1:
            sums = dict(zip(sums, self.accelerator.reduce(torch.stack(list(sums.values())), "mean")))
        # the gradient of a mean over equal shares, from the squared norms of the shares' own gradients
        shares = processes * accumulation
        return {k: (v / shares).sqrt() if k.startswith("gradient_") else v for k, v in sums.items()}
