"""The training loop (Sec. 5.2): schedule, batches, checkpoints. The step itself is `dcac.DCAC`."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .adaptation import adapt
from .augment import augment
from .conditioning import make_condition
from .data import TrainingSet
from .dcac import DCAC, gradient_norms
from .diffusion import StableDiffusion, load_stable_diffusion, sample_latents, use_one_token_attention, vae_moments
from .encoder import ReIDModel, load_clip_visual
from .experiment import Experiment
from .memory import PrototypeMemory
from .paths import data_root, replacing
from .sampling import epoch_batches
from .tiers import TIERS


def build(experiment: Experiment, identities: int) -> tuple[DCAC, StableDiffusion | None]:
    """The untrained model of a resolved experiment and, unless it is a baseline, its diffusion parts.

    New weights come from torch's global generator, seeded here with the experiment's seed; the Re-ID
    side is drawn first, so that a baseline and a DCAC of one seed start equal."""
    tier = TIERS[experiment.tier]
    torch.manual_seed(experiment.seed)
    reid = ReIDModel(load_clip_visual(tier.clip, tier.image_size), identities)
    width = reid.classifier.in_features
    memory = PrototypeMemory(identities, width, experiment.tau, tier.gamma)
    if experiment.conditioning == "none":
        return DCAC(reid, memory), None
    parts = load_stable_diffusion(tier.stable_diffusion, tier.diffusion_size)
    dim = parts.unet.config.cross_attention_dim
    condition = make_condition(experiment.conditioning, identities, width, dim, experiment.tau_c)
    unet = use_one_token_attention(adapt(parts.unet, experiment.adaptation, experiment.rank))
    return DCAC(reid, memory, condition, unet, parts.scheduler, experiment.lambda_), parts


def lr_factor(epoch: int, warmup: int, milestones: tuple[int, ...]) -> float:
    """Learning rate of an epoch (counted from 1) relative to the base: linear warm-up from 0.1, times
    0.1 from each milestone on. As in the official code epoch 1 is already one step up the ramp."""
    ramp = 0.1 + 0.9 * epoch / warmup if epoch < warmup else 1.0
    return ramp * 0.1 ** sum(epoch >= m for m in milestones)


def cached_moments(parts: StableDiffusion, data: TrainingSet, progress=iter) -> Tensor:
    """VAE posterior moments of all training images, computed once per data set, VAE and image size."""
    weights = hashlib.sha256(b"".join(p.detach().cpu().numpy().tobytes() for p in parts.vae.parameters())).hexdigest()[:12]
    path = data_root() / "moments" / f"{data.fingerprint}-{weights}-{parts.image_size}.npy"
    if not path.exists():
        size = parts.image_size
        moments = torch.cat([vae_moments(parts.vae, images, size, progress=progress) for images in data.parts])
        with replacing(path) as temporary, open(temporary, "wb") as handle:
            np.save(handle, moments.numpy())
    return torch.from_numpy(np.load(path))


def step_inputs(
    experiment: Experiment, data: TrainingSet, moments: Tensor | None, scaling: float, rows: Tensor, step: int, device
) -> tuple[Tensor, ...]:
    """The inputs of `DCAC.forward` for the images at `rows`. All that is random in a step comes from
    one generator seeded by the experiment's seed and the step, which is why a run can be resumed
    exactly and why a baseline and a DCAC of one seed see the same augmented batches."""
    tier = TIERS[experiment.tier]
    generator = torch.Generator(device).manual_seed(experiment.seed * 1_000_003 + step)
    x = augment(data.images(rows).to(device), tier.padding, tier.erasing, generator)
    labels = data.labels[rows].to(device)
    if moments is None:
        return x, labels
    own = moments[rows].to(device)
    shape = own[:, : own.shape[1] // 2].shape
    latents = sample_latents(own, scaling, torch.randn(shape, generator=generator, device=device))
    noise = torch.randn(shape, generator=generator, device=device)
    timesteps = torch.randint(1000, (len(rows),), generator=generator, device=device)
    return x, labels, latents, noise, timesteps


def train(
    experiment: Experiment,
    data: TrainingSet,
    folder: Path,
    progress: bool = True,
    resume: bool = True,
    log_every: int = 8,
    checkpoint_every: int | None = None,
) -> float:
    """Train a resolved experiment; writes `model.safetensors` (what was trained) and `history.csv`
    into `folder` and returns the seconds of training. The history's `gradient_reid` and `gradient_dif`
    are `dcac.gradient_norms` at the last step of each epoch.

    Runs through accelerate, so `accelerate launch` spreads a batch over several processes. A
    checkpoint is written after every epoch, and every `checkpoint_every` steps if given; with
    `resume` the newest one is taken up, to the same weights bit by bit on a CPU.

    Raises FloatingPointError when a loss is no longer finite."""
    import pandas as pd
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState
    from safetensors.torch import save_file
    from tqdm.auto import tqdm

    tier = TIERS[experiment.tier]
    AcceleratorState._reset_state()  # an earlier run of this process may have used another precision
    # queries and keys of a one-token cross-attention never get a gradient
    spread = DistributedDataParallelKwargs(find_unused_parameters=True)
    cpu = not torch.accelerator.is_available()
    hidden = not progress or bool(os.environ.get("TQDM_DISABLE"))
    accelerator = Accelerator(cpu=cpu, mixed_precision=experiment.precision, kwargs_handlers=[spread])
    device, processes = accelerator.device, accelerator.num_processes
    dcac, parts = build(experiment, data.identities)
    moments, scaling = None, 1.0
    if parts is not None:
        parts.vae.to(device)
        with accelerator.main_process_first():
            moments = cached_moments(parts, data, lambda r: tqdm(r, desc="VAE moments", leave=False, disable=hidden))
        scaling = parts.vae.config.scaling_factor
    learning = [p for p in dcac.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=experiment.lr, weight_decay=tier.weight_decay)
    model, optimizer = accelerator.prepare(dcac, optimizer)

    history: list[dict] = []
    epoch, iteration, step, seconds = 1, 0, 0, 0.0
    checkpoints = Checkpoints(folder)
    if resume and (state := checkpoints.newest()) is not None:
        dcac.load_state_dict(state["model"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        if accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(state["scaler"])
        history, seconds = state["history"], state["seconds"]
        epoch, iteration, step = state["epoch"], state["iteration"], state["step"]

    def save() -> None:
        if accelerator.is_main_process:
            checkpoints.write({
                "model": trained_state(dcac), "optimizer": optimizer.state_dict(),
                "scaler": accelerator.scaler.state_dict() if accelerator.scaler is not None else None,
                "history": history, "seconds": seconds + time.time() - started,
                "epoch": epoch, "iteration": iteration, "step": step,
            })  # fmt: skip

    started = time.time()
    bar = tqdm(desc=experiment.label, disable=hidden or not accelerator.is_main_process, mininterval=0.5, unit="img")
    dcac.train()
    while epoch <= experiment.epochs:
        lr = experiment.lr * lr_factor(epoch, tier.warmup, tier.milestones)
        for group in optimizer.param_groups:
            group["lr"] = lr
        batches = epoch_batches(data.labels, tier.identities, tier.instances, experiment.seed, epoch, tier.iterations)
        bar.total = step * batches.shape[1] + (experiment.epochs - epoch + 1) * batches.numel() - iteration * batches.shape[1]
        bar.n = step * batches.shape[1]
        if iteration == 0:
            with accelerator.autocast():
                centroid_features = torch.cat([dcac.reid.features(images) for images in data.parts])
            dcac.memory.reset(centroid_features.to(device), data.labels.to(device))
        pending: list[tuple[int, dict[str, Tensor]]] = []
        for rows in batches[iteration:]:
            inputs = step_inputs(experiment, data, moments, scaling, rows, step, device)
            share = len(rows) // processes
            own = slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)
            losses, z = model(*(t[own] for t in inputs))
            last = iteration + 1 == len(batches)
            norms = gradient_norms(losses, z) if last and "dif" in losses else {}
            optimizer.zero_grad(set_to_none=True)
            accelerator.backward(losses["total"])
            optimizer.step()
            feature = F.normalize(z.detach().float())
            dcac.memory.update(accelerator.gather(feature), accelerator.gather(inputs[1][own]))
            step, iteration = step + 1, iteration + 1
            pending.append((step, {k: v.detach() for k, v in losses.items()} | {f"gradient_{k}": v for k, v in norms.items()}))
            checkpoint_due = bool(checkpoint_every) and step % checkpoint_every == 0
            if len(pending) == log_every or last or checkpoint_due:
                history += _read_back(pending, epoch, lr)
                pending = []
                bar.set_postfix({k: f"{history[-1][k]:.3f}" for k in losses})
            bar.update(len(rows))
            if checkpoint_due:
                save()
        epoch, iteration = epoch + 1, 0
        save()
    bar.close()
    seconds += time.time() - started
    if accelerator.is_main_process:
        with replacing(folder / "model.safetensors") as temporary:
            save_file(trained_state(dcac), temporary)
        with replacing(folder / "history.csv") as temporary:
            pd.DataFrame(history).to_csv(temporary, index=False)
        checkpoints.remove()
    accelerator.wait_for_everyone()
    return seconds


def trained_state(dcac: DCAC) -> dict[str, Tensor]:
    """What training changes: learnable parameters and buffers (not the frozen U-Net)."""
    learning = {name for name, p in dcac.named_parameters() if p.requires_grad}
    buffers = {name for name, _ in dcac.named_buffers()}
    frozen_reid = {name for name, _ in dcac.named_parameters() if name.startswith("reid.")}
    state = dcac.state_dict()
    return {k: v.detach().cpu().contiguous().clone() for k, v in state.items() if k in learning | buffers | frozen_reid}


def _read_back(pending: list[tuple[int, dict[str, Tensor]]], epoch: int, lr: float) -> list[dict]:
    rows = []
    for step, losses in pending:
        values = {name: float(value) for name, value in losses.items()}
        if not np.isfinite(values["total"]):
            raise FloatingPointError(
                f"The loss is {values['total']} at step {step} (epoch {epoch}): {values}. Lower the learning rate or lambda, "
                "or use precision bf16 instead of fp16."
            )
        rows.append({"step": step, "epoch": epoch, "lr": lr, **values})
    return rows


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

    def newest(self) -> dict | None:
        """The newest checkpoint, or None. Never unpickles code."""
        files = self._files()
        return torch.load(files[-1], map_location="cpu", weights_only=True) if files else None

    def remove(self) -> None:
        """Delete all checkpoints of a finished run."""
        for file in self._files():
            file.unlink()
