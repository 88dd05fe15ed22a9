"""A training run (Sec. 5.2): the model of an experiment and the loop over its epochs. The loss is in
`dcac`, the step in `trainer`."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from . import stopping
from .adaptation import adapt, add_stray_biases
from .checkpoints import Checkpoints, trained_state
from .conditioning import make_condition
from .data.domains import TrainingSet
from .dcac import DCAC
from .diffusion import use_one_token_attention
from .encoder import ReIDModel
from .experiment import Experiment, Resolved
from .lean_unet import lean_unet
from .memory import PrototypeMemory
from .paths import replacing
from .pretrained.clip import load_clip_visual, visual_architecture
from .pretrained.files import write_json, write_tensors
from .pretrained.stable_diffusion import StableDiffusion, load_stable_diffusion
from .progress import line
from .sampling import epoch_batches
from .trainer import Machine, Trainer

if TYPE_CHECKING:
    from open_clip.transformer import VisionTransformer

LOG_EVERY = 16  # steps between two looks at the losses, each of which waits for the device


def build(experiment: Resolved, identities: int) -> tuple[DCAC, StableDiffusion | None]:
    """The untrained model of a resolved experiment and its Stable Diffusion, None where it has none, as a baseline.

    New weights come from torch's global generator, seeded here with the experiment's seed; the Re-ID
    side is drawn first, so that a baseline and a DCAC of one seed start equal."""
    torch.manual_seed(experiment.seed)
    visual = load_clip_visual(experiment.of_tier.clip, experiment.of_tier.image_size)
    sd = diffusion_of(experiment) if experiment.has_diffusion else None
    return assemble(experiment, identities, visual, sd), sd


def diffusion_of(experiment: Experiment, own: Path | None = None) -> StableDiffusion:
    """The Stable Diffusion of an experiment's tier, or that of the diffusers folder `own` at the tier's size."""
    tier = experiment.of_tier
    source, ema = (tier.stable_diffusion, tier.ema) if own is None else (own, True)
    return load_stable_diffusion(source, tier.diffusion_size, ema=ema)


def assemble(
    experiment: Resolved,
    identities: int,
    visual: "VisionTransformer",
    sd: StableDiffusion | None,
    kept: Mapping[str, Tensor] | None = None,
) -> DCAC:
    """The model of a resolved experiment from an image tower and, unless it has none, a Stable Diffusion,
    whose U-Net is adapted in place. kept: the `trained_state` of a finished run, in which an arm finds what it would
    otherwise make from the training pictures."""
    recipe = experiment.of_recipe
    reid = ReIDModel(visual, identities)
    width = reid.classifier.in_features
    memory = PrototypeMemory(identities, width, experiment.tau, experiment.gamma)
    arm = experiment.of_arm
    if sd is None:
        if arm is None:
            return DCAC(reid, memory)
        return arm.dcac(reid, memory, arm.condition(experiment, reid, 0, kept), lambda_=experiment.lambda_)
    dim = sd.unet.config["cross_attention_dim"]
    if arm is None:
        rescaled = experiment.conditioning == "class-wise" and recipe.class_wise_rescaled
        scheme = "class-wise-rescaled" if rescaled else experiment.conditioning
        condition = make_condition(scheme, identities, width, dim, experiment.tau_c)
    else:
        condition = arm.condition(experiment, reid, dim, kept)
        sd.unet = sd.unet if arm.unet is None else arm.unet(sd.unet, experiment)
    if recipe.stray_biases and experiment.adaptation == "lora":
        add_stray_biases(sd.unet)
    unet = adapt(sd.unet, experiment.adaptation, experiment.rank, recipe.second_feed_forward)
    reduction = "squared norm" if recipe.squared_norm else "mean"
    unet = use_one_token_attention(lean_unet(unet))
    step = DCAC if arm is None else arm.dcac
    return step(reid, memory, condition, unet, sd.scheduler, experiment.lambda_, reduction)


def train(
    experiment: Resolved,
    data: TrainingSet,
    folder: Path,
    progress: bool = True,
    resume: str = "auto",
    checkpoint_every: int | None = None,
    machine: Machine = Machine(),
) -> float:
    """Train a resolved experiment and return the seconds of training. Writes into `folder` `model.safetensors`
    (`checkpoints.trained_state`), `visual.json` (the sizes of the image tower) and `history.csv`, whose
    `gradient_reid` and `gradient_dif` are `dcac.gradient_norms` at the last step of each epoch.

    A checkpoint is written after every epoch, and every `checkpoint_every` steps if given. `resume`:
    "auto" takes up the newest if there is one, to the same weights bit by bit on a CPU; "required"
    raises FileNotFoundError if there is none; "never" deletes what there is and starts over.

    Raises FloatingPointError when a loss is no longer finite, `stopping.Stopped` when it was asked to stop."""
    import pandas as pd

    if resume not in ("auto", "required", "never"):
        raise ValueError(f"resume is {resume!r}; expected 'auto', 'required' or 'never'.")
    if checkpoint_every is not None and checkpoint_every < 1:
        raise ValueError(f"checkpoint_every is {checkpoint_every}; expected at least 1 step, or None.")
    hidden = not progress
    checkpoints = Checkpoints(folder)
    state = None if resume == "never" else checkpoints.newest(required=resume == "required")
    trainer = Trainer(
        experiment, data, *build(experiment, data.identities), machine, folder,
        lambda chunks: line(chunks, "VAE moments", hidden=hidden),
    )  # fmt: skip
    accelerator, dcac = trainer.accelerator, trainer.dcac
    history: list[dict] = []
    epoch, iteration, step, seconds = 1, 0, 0, 0.0
    if resume == "never" and accelerator.is_main_process:
        checkpoints.remove()  # else the new run's would be the older ones
    if state is not None:
        dcac.load_state_dict(state["model"], strict=False)
        trainer.optimizer.load_state_dict(state["optimizer"])
        if accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(state["scaler"])
        history, seconds = state["history"], state["seconds"]
        epoch, iteration, step = state["epoch"], state["iteration"], state["step"]

    def save() -> None:
        if accelerator.is_main_process:
            checkpoints.write(
                {
                    "model": trained_state(dcac),
                    "optimizer": trainer.optimizer.state_dict(),
                    "scaler": accelerator.scaler.state_dict() if accelerator.scaler is not None else None,
                    "history": history,
                    "seconds": seconds + time.time() - started,
                    "epoch": epoch,
                    "iteration": iteration,
                    "step": step,
                }
            )

    started = time.time()
    bar = line(text=experiment.label, unit="img", hidden=hidden or not accelerator.is_main_process)
    while epoch <= experiment.epochs:
        lr = trainer.start_epoch(epoch, reset_memory=iteration == 0)
        plan = (experiment.identities, experiment.instances, experiment.seed, epoch, experiment.iterations)
        batches = epoch_batches(data.labels, *plan)
        bar.total = (
            step * batches.shape[1] + (experiment.epochs - epoch + 1) * batches.numel() - iteration * batches.shape[1]
        )
        bar.n = step * batches.shape[1]
        pending: list[tuple[int, dict[str, Tensor]]] = []
        for batch in trainer.inputs(batches[iteration:], step):
            last = iteration + 1 == len(batches)
            losses = trainer.step(batch, measure=last)
            step, iteration = step + 1, iteration + 1
            pending.append((step, losses))
            stop = stopping.asked()
            checkpoint_due = stop or bool(checkpoint_every) and step % checkpoint_every == 0
            if len(pending) == LOG_EVERY or last or checkpoint_due:
                history += _read_back(pending, epoch, lr)
                pending = []
                bar.set_postfix({k: f"{history[-1][k]:.3f}" for k in losses})
                if machine.tracker:
                    accelerator.log({k: history[-1][k] for k in ("lr", *losses)}, step)
            bar.update(batches.shape[1])
            if checkpoint_due:
                save()
            if stop:
                raise stopping.Stopped(f"stopped at step {step}, with a checkpoint; ask again to go on.")
        epoch, iteration = epoch + 1, 0
        save()
    bar.close()
    seconds += time.time() - started
    if accelerator.is_main_process:
        write_tensors(trained_state(dcac), folder / "model.safetensors")
        write_json(visual_architecture(dcac.reid.visual), folder / "visual.json")
        with replacing(folder / "history.csv") as temporary:
            pd.DataFrame(history).to_csv(temporary, index=False)
        checkpoints.remove()
    for tracker in accelerator.trackers:  # `end_training` would end the processes' group as well
        tracker.finish()
    accelerator.wait_for_everyone()
    return seconds


def _read_back(pending: list[tuple[int, dict[str, Tensor]]], epoch: int, lr: float) -> list[dict]:
    rows = []
    for step, losses in pending:
        values = {name: float(value) for name, value in losses.items()}
        if not np.isfinite(values["total"]):
            raise FloatingPointError(
                f"The loss is {values['total']} at step {step} (epoch {epoch}): {values}. Lower the learning rate or "
                "lambda, or use precision bf16 instead of fp16."
            )
        rows.append({"step": step, "epoch": epoch, "lr": lr, **values})
    return rows
