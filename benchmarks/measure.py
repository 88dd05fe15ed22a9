"""What the benchmarks measure: training steps, data, encoder and ranking, against `plain_pipeline`."""

import gc
import multiprocessing
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from dcac_lite.augment import normalise, to_tensor
from dcac_lite.data.domains import read_dataset, training_set
from dcac_lite.data.registry import FOLDERS
from dcac_lite.evaluation import rank_metrics
from dcac_lite.experiment import Experiment
from dcac_lite.sampling import pk_batches
from dcac_lite.tiers import TIERS
from dcac_lite.trainer import Machine, Trainer

from .inputs import IMAGES_EACH, draw_dataset, draw_features, make_model, second_model
from .plain_pipeline import PlainDataset, PlainPipeline, plain_rank_metrics

BATCHES = 8  # batches at most in one repetition of what runs over a data set
SUBSET = 512  # queries ranked by both; the reference's matrices for all of MSMT17's would take 16 GB


# ---------------------------------------------------------------- measuring


def seconds(function: Callable, device) -> float:
    """Wall time of one call, the device's queued work included."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - started


def alternating(functions: list[Callable], device, repeats: int) -> list[list[float]]:
    """Seconds of `repeats` calls of each function, taken in turns after one call each to warm up, so
    that a slow moment of the machine meets all of them."""
    for function in functions:
        function()
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, own in zip(functions, times):
            own.append(seconds(function, device))
    return times


def row(part: str, name: str, unit: str, ours: list[float], reference: list[float] | None = None) -> dict:
    """A row of the table: medians, extremes and the median ratio, which is above 1 where ours is better."""
    result = {"part": part, "name": name, "unit": unit, "repeats": len(ours)}
    for side, values in (("ours", ours), ("reference", reference)):
        if values:
            result |= {side: statistics.median(values), f"{side}_min": min(values), f"{side}_max": max(values)}
    if reference:
        pairs = zip(ours, reference) if unit.endswith("/s") else zip(reference, ours)
        result["ratio"] = statistics.median(a / b for a, b in pairs)
    return result


def alone(function: Callable, *arguments):
    """function(*arguments) in a fresh process, whose peak memory is then that of the function."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_gigabytes(device) -> float:
    """Largest memory of this process so far: allocated on the GPU, or resident on a CPU (Linux)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024 / 1e9


# ---------------------------------------------------------------- training, data, encoder


class Training:
    """Trainer and plain pipeline of one size on the same weights and images. folder: an empty folder, or one it was
    given before."""

    def __init__(self, size: str, batch: int, device, folder: Path):
        self.size, self.batch, self.device, self.tier = size, batch, device, TIERS[size]
        self.gpu = device.type == "cuda"
        self.experiment = Experiment(
            tier=size,
            sources="MA",
            precision="bf16" if self.gpu else "no",
            identities=batch // IMAGES_EACH,
            instances=IMAGES_EACH,
        ).resolved()
        identities = (
            751 if self.gpu else 2 * batch // IMAGES_EACH
        )  # Market-1501's, or two batches for the slower device
        if not (folder / "data").exists():
            draw_dataset(folder / "data", self.tier.image_size, identities)
        os.environ["DCAC_DATA"] = str(folder)  # where the VAE's moments of these images go
        self.domain = read_dataset(folder / "data", self.tier.image_size, name="benchmark")
        self.data = training_set([self.domain])
        self.batches = pk_batches(self.data.labels, self.experiment.identities, IMAGES_EACH, 0, 1)[:BATCHES]

    def model(self):
        return make_model(self.experiment, self.data.identities, self.device)

    def trainer(self, dcac, sd, **machine):
        trainer = Trainer(self.experiment, self.data, dcac, sd, Machine(**machine))
        trainer.start_epoch(1)
        return trainer

    def plain(self, dcac, sd):
        return PlainPipeline(dcac, sd.vae, self.experiment, self.device)

    @cached_property
    def both(self):
        dcac, sd = self.model()
        copy = second_model(dcac, share_frozen=not self.gpu)  # on a GPU ours keeps its frozen weights in bf16
        trainer = self.trainer(dcac, sd)
        copy.memory.load_state_dict(dcac.memory.state_dict())
        return trainer, self.plain(copy, sd)

    @cached_property
    def loader(self):
        files = [self.domain.root / FOLDERS["train"] / name for name in self.domain.train.names]
        return torch.utils.data.DataLoader(
            PlainDataset(files, self.data.labels, self.tier),
            batch_sampler=self.batches.tolist(),
            persistent_workers=True,
            num_workers=min(8, len(os.sched_getaffinity(0))),
            pin_memory=self.gpu,
        )

    def measure_step(self, repeats: int) -> list[dict]:
        trainer, plain = self.both
        inputs, prepared = (
            next(iter(trainer.inputs(self.batches[:1], 0))),
            [t.to(self.device) for t in next(iter(self.loader))],
        )
        both_steps = [lambda: trainer.step(inputs), lambda: plain.step_of_images(*prepared)]
        ours, theirs = alternating(both_steps, self.device, repeats)
        rows = [row("step", "training step", "ms", [1e3 * t for t in ours], [1e3 * t for t in theirs])]

        def run_ours():
            for one in trainer.inputs(self.batches, 0):
                trainer.step(one)

        def run_plain():
            for one in self.loader:
                plain.step_of_images(*one)

        per_second = [
            [self.batches.numel() / t for t in side]
            for side in alternating([run_ours, run_plain], self.device, repeats)
        ]
        rows.append(row("step", "training, data included", "images/s", *per_second))
        rows += self._share_of_the_device(trainer, inputs, statistics.median(ours), repeats)
        if self.gpu:
            default = partial(trainer.step, inputs)
            for name, machine in (
                ("torch.compile", {"compile": True}),
                ("without channels_last", {"channels_last": False}),
            ):
                other = self.trainer(*self.model(), **machine)
                times = alternating([lambda: other.step(inputs), default], self.device, repeats)
                rows.append(
                    row(
                        "step",
                        f"training step, {name}, against the default",
                        "ms",
                        *[[1e3 * t for t in side] for side in times],
                    )
                )
                del other
        return rows

    def _share_of_the_device(self, trainer, inputs, step: float, repeats: int) -> list[dict]:
        """How much of what the device can multiply a step of `step` seconds uses, in the step's precision."""
        with FlopCounterMode(display=False) as counter:
            trainer.step(inputs)
        side, dtype = (8192, torch.bfloat16) if self.gpu else (1024, torch.float32)
        a, b = torch.randn(2, side, side, device=self.device, dtype=dtype)
        (times,) = alternating([lambda: [a @ b for _ in range(20)]], self.device, repeats)
        rates = [20 * 2 * side**3 / t / 1e12 for t in times]
        teraflops = counter.get_total_flops() / 1e12
        return [
            row("step", "floating-point operations of a step", "TFLOP", [teraflops]),
            row("step", "matmul rate of the device", "TFLOP/s", rates),
            row("step", "share of the matmul rate", "%", [100 * teraflops / step / statistics.median(rates)]),
        ]

    def measure_data(self, repeats: int) -> list[dict]:
        trainer, plain = self.both

        def run_plain():
            for one in self.loader:
                [t.to(self.device, non_blocking=True) for t in one]

        times = alternating([lambda: list(trainer.inputs(self.batches, 0)), run_plain], self.device, repeats)
        rates = [[self.batches.numel() / t for t in side] for side in times]
        inputs, prepared = (
            next(iter(trainer.inputs(self.batches[:1], 0))),
            [t.to(self.device) for t in next(iter(self.loader))],
        )
        both_steps = [lambda: trainer.step(inputs), lambda: plain.step_of_images(*prepared)]
        steps = alternating(both_steps, self.device, repeats)
        used = [[self.batch / t for t in side] for side in steps]
        return [
            row("data", "data pipeline", "images/s", *rates),
            row("data", "images that the step uses", "images/s", *used),
        ]

    def measure_encoder(self, repeats: int) -> list[dict]:
        trainer, plain = self.both
        images, device = self.domain.train.images, self.device
        theirs = plain.dcac.reid
        prepared = normalise(to_tensor(images))

        @torch.no_grad()
        def run_plain(half):
            with half:
                for x in prepared.split(64):
                    F.normalize(theirs.neck(theirs.visual(x.to(device)))).float().cpu()

        def run_ours(half):
            with half:
                trainer.dcac.reid.features(images)

        theirs.eval()
        cases = [("encoder, float32", nullcontext(), nullcontext())]
        if self.gpu:
            cases.append(
                ("encoder, autocast", torch.autocast("cuda", torch.bfloat16), torch.autocast("cuda", torch.float16))
            )
        rows = []
        for name, low, half in cases:
            times = alternating([lambda: run_ours(low), lambda: run_plain(half)], device, repeats)
            rows.append(row("encoder", name, "images/s", *[[len(images) / t for t in side] for side in times]))
        theirs.train()
        return rows


def training_memory(size: str, batch: int, device_type: str, folder: str, plainly: bool) -> float:
    """Gigabytes that two training steps take, of one side, in a process of their own."""
    setup = Training(size, batch, torch.device(device_type), Path(folder))
    dcac, sd = setup.model()
    if plainly:
        pipeline, data = setup.plain(dcac, sd), next(iter(setup.loader))
        step = lambda: pipeline.step_of_images(*data)  # noqa: E731
    else:
        trainer = setup.trainer(dcac, sd)
        inputs = next(iter(trainer.inputs(setup.batches[:1], 0)))
        step = lambda: trainer.step(inputs)  # noqa: E731
    if device_type == "cuda":
        torch.cuda.reset_peak_memory_stats()  # the moments and first prototypes are made once, in other batches
    step()
    step()
    return peak_gigabytes(setup.device)


def measure_training(parts: list[str], size: str, batch: int, device, repeats: int) -> list[dict]:
    """The rows of `step`, `data` and `encoder`."""
    outside = {name: os.environ.pop(name, None) for name in ("DCAC_DATA", "DCAC_CACHE")}
    try:
        with tempfile.TemporaryDirectory(prefix="dcac-benchmark-") as folder:
            setup = Training(size, batch, device, Path(folder))
            rows = [one for part in parts for one in getattr(setup, f"measure_{part}")(repeats)]
            if "step" in parts:
                del setup
                gc.collect()  # its models would leave less memory for the next ones
                if device.type == "cuda":
                    torch.cuda.empty_cache()
                peaks = [
                    [alone(training_memory, size, batch, device.type, folder, plainly)] for plainly in (False, True)
                ]
                rows.append(row("step", "peak memory of training", "GB", *peaks))
            return rows
    finally:
        os.environ.pop("DCAC_DATA", None)
        os.environ.update({name: value for name, value in outside.items() if value is not None})


# ---------------------------------------------------------------- ranking


def rank_alone(size: str, device_type: str) -> tuple[float, float]:
    """Seconds and peak gigabytes of ranking all queries, in a process of its own."""
    device = torch.device(device_type)
    case = draw_features(size, None, device)
    return seconds(lambda: rank_metrics(*case), device), peak_gigabytes(device)


def measure_ranking(size: str, device, repeats: int) -> list[dict]:
    """Time per query at equal gallery size on some queries by both, and all queries by ours."""
    case = draw_features(size, SUBSET, device)
    times = alternating([lambda: rank_metrics(*case), lambda: plain_rank_metrics(*case)], device, repeats)
    scores = [[f(*case)["mAP"]] for f in (rank_metrics, plain_rank_metrics)]
    taken, peak = alone(rank_alone, size, device.type)
    return [
        row("ranking", "ranking, per query", "ms", *[[1e3 * t / len(case[0]) for t in side] for side in times]),
        {k: v for k, v in row("ranking", "mAP of the ranked features", "%", *scores).items() if k != "ratio"},
        row("ranking", "ranking, all queries", "s", [taken]),
        row("ranking", "peak memory of ranking", "GB", [peak]),
    ]
