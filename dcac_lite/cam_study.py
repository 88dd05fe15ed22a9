"""The measurements behind Fig. 3's claims: five seeds of each model, maps and probabilities against the truth.

`python -m dcac_lite.cam_study` trains what is missing and writes `figures/results/cam.csv`. Nothing is
chosen by its numbers: settings are those of the tier, and the seeds are used for nothing else."""

import argparse
import json
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .augment import normalise
from .cam import cam_maps, energy_ratio, pointing_game
from .encoder import ReIDModel
from .experiment import Experiment, load_domain, provenance, run
from .paths import replacing
from .study import in_processes, results_file
from .training import build
from .world.truth import WAIST, attribute_similarity, look_similarity, same_garment, truth_of

SEEDS = range(20, 25)
#: (method, where): "last" is the last block, "middle" the first one of the second half.
DEFINITIONS = (
    ("GradCAM", "last"), ("GradCAM", "middle"), ("GradCAMPlusPlus", "last"),
    ("LayerCAM", "last"), ("LayerCAM", "middle"), ("Occlusion", "last"),
)  # fmt: skip


@dataclass(frozen=True)
class Probe:
    """One training picture of every identity of an embedded domain, with its truth, and the identities it
    is shown under.

    images: uint8 [N, 3, H, W]; regions: bool [N, H, W] by name (body, clothing, background, upper and
    lower clothing); looks, attributes: similarities [N, N]; targets: labels int64 [N] by name, -1 where there is none."""

    images: np.ndarray
    regions: dict[str, np.ndarray]
    looks: np.ndarray
    attributes: np.ndarray
    targets: dict[str, np.ndarray]


def make_probe(domain: str = "MA", tier: str = "lite", seed: int = 0) -> Probe:
    """The probe of an embedded domain; `seed` picks the picture of each identity. The targets: `own`
    identity; the `look-alike`, most similar by looks; the `stranger`, least similar; and the most similar
    identities that share the catalogue's `upper` or `lower` garment, and not the other one."""
    train = load_domain(domain, tier).train
    rng = np.random.default_rng(seed)
    rows = np.array([rng.choice(np.flatnonzero(train.pids == pid)) for pid in np.unique(train.pids)])
    truth = truth_of(domain, [train.names[row] for row in rows], tier)
    people = [sample.appearance for sample in truth]
    body = np.stack([sample.picture.body_mask for sample in truth])
    clothing = np.stack([sample.picture.clothing_mask for sample in truth])
    above = (np.arange(body.shape[1]) < WAIST)[:, None]
    regions = {"body": body, "clothing": clothing, "background": ~body, "upper": clothing & above, "lower": clothing & ~above}
    looks = look_similarity(people)
    others = ~np.eye(len(people), dtype=bool)
    top = np.array([[same_garment(a.top, b.top) for b in people] for a in people])
    bottom = np.array([[same_garment(a.bottom, b.bottom) for b in people] for a in people])
    targets = {
        "own": np.arange(len(people)),
        "look-alike": _most_similar(looks, others),
        "stranger": _most_similar(-looks, others),
        "upper": _most_similar(looks, top & ~bottom),
        "lower": _most_similar(looks, bottom & ~top),
    }
    return Probe(np.array(train.images[rows]), regions, looks, attribute_similarity(people), targets)


def _most_similar(similarity: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    best = np.where(allowed, similarity, -np.inf).argmax(1)
    return np.where(allowed.any(1), best, -1)


def measure_maps(model: ReIDModel, probe: Probe, method: str, where: str, target: str) -> dict[str, np.ndarray]:
    """Measures of one kind of map on every picture of a probe, each [N]: `energy_ratio` on body, clothing
    and background, and the pointing game on the body. For the targets `upper` and `lower`, which share one
    garment with the picture, only `upper share`, the share of the upper half in the clothing's energy
    ratios. NaN where a map is empty or a picture has no such target."""
    labels = probe.targets[target]
    block = -1 if where == "last" else len(model.visual.transformer.resblocks) // 2
    maps = cam_maps(model, probe.images, labels.clip(0), method, block)
    maps[labels < 0] = 0
    on = {region: energy_ratio(maps, mask) for region, mask in probe.regions.items()}
    if target in ("upper", "lower"):
        with np.errstate(invalid="ignore"):
            return {"upper share": on["upper"] / (on["upper"] + on["lower"])}
    return {region: on[region] for region in ("body", "clothing", "background")} | {"pointing": pointing_game(maps, probe.regions["body"])}


@torch.no_grad()
def training_logits(model: ReIDModel, domain: str, tier: str) -> tuple[Tensor, Tensor]:
    """Logits float32 [M, N] of a domain's training pictures, un-augmented, and their labels int64 [M], on the CPU."""
    train, device = load_domain(domain, tier).train, next(model.parameters()).device
    parts = np.array_split(np.arange(len(train)), -(-len(train) // 256))
    logits = [model(normalise(torch.from_numpy(train.images[rows].copy()).to(device)))[1].float().cpu() for rows in parts]
    return torch.cat(logits), torch.from_numpy(np.unique(train.pids, return_inverse=True)[1])


def mean_probabilities(logits: Tensor, labels: Tensor, tau_c: float) -> tuple[np.ndarray, float]:
    """What a classifier says of each identity: p of Eq. 12 at `tau_c`, averaged over the identity's pictures,
    float [N, N]; and the mean entropy of a picture's p in nats. logits [M, N], labels int64 [M]."""
    p = (logits / tau_c).softmax(1)
    sums = torch.zeros(p.shape[1], p.shape[1]).index_add_(0, labels, p)
    entropy = float(torch.special.entr(p).sum(1).mean())
    return (sums / torch.bincount(labels)[:, None]).numpy(), entropy


def rank_correlations(probabilities: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """For each identity, Spearman's correlation of the probabilities that its pictures give to the N - 1
    other identities with the true similarity to them. Both [N, N] -> [N]."""
    from scipy.stats import spearmanr

    others = ~np.eye(len(similarity), dtype=bool)
    return np.array([spearmanr(p[o], s[o]).statistic for p, s, o in zip(probabilities, similarity, others)])


# ---------------------------------------------------------------- the study


def experiments() -> list[Experiment]:
    """Baseline, instance-wise and correlation-aware on MA, the columns of Fig. 3, with five seeds."""
    schemes = ("none", "instance-wise", "correlation-aware")
    return [Experiment(sources="MA", conditioning=scheme, seed=seed) for seed in SEEDS for scheme in schemes]


def rows_of(experiment: Experiment, trained: bool = True) -> list[dict]:
    """The measurements of one experiment's model, trained or as it starts: one row per definition, target and
    measure, each a mean over the identities."""
    experiment = experiment.resolved()
    probe = make_probe(experiment.sources[0], experiment.tier)
    model = run(experiment, progress=False).reid() if trained else build(experiment, len(probe.images))[0].reid.eval()
    facts = {"model": experiment.conditioning if trained else "untrained", "seed": experiment.seed}
    facts |= {"lambda_": experiment.lambda_, "tau_c": experiment.tau_c}
    rows = []

    def add(method: str, where: str, target: str, measure: str, values) -> None:
        value = float(np.nanmean(values))
        rows.append(facts | {"method": method, "layer": where, "target": target, "measure": measure, "value": round(value, 5)})

    for method, where in DEFINITIONS:
        measured = {target: measure_maps(model, probe, method, where, target) for target in probe.targets}
        for target in ("own", "look-alike", "stranger"):
            for measure, values in measured[target].items():
                add(method, where, target, measure, values)
        shift = measured["upper"]["upper share"] - measured["lower"]["upper share"]
        add(method, where, "sharers", "shift to the shared garment", shift)
    tau_c = Experiment(tier=experiment.tier, sources=experiment.sources).resolved().tau_c  # one temperature for all models
    p, entropy = mean_probabilities(*training_logits(model, experiment.sources[0], experiment.tier), tau_c)
    add("probabilities", "", "others", "rank correlation with looks", rank_correlations(p, probe.looks))
    add("probabilities", "", "others", "rank correlation with attributes", rank_correlations(p, probe.attributes))
    add("probabilities", "", "own", "entropy", entropy)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure maps and probabilities of five seeds; writes figures/results/cam.csv.")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time, one thread each (default 2)")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # one model in a process of its own
    arguments = parser.parse_args()
    if arguments.job:
        values, trained = json.loads(arguments.job)
        print(json.dumps(rows_of(Experiment(**values), trained)))
        return
    jobs = [(e, True) for e in experiments()] + [(e, False) for e in experiments() if e.conditioning == "none"]
    table = in_processes("dcac_lite.cam_study", jobs, arguments.workers)
    known = provenance()
    table = table.assign(commit=known["commit"][:12] if known["commit"] else "", torch=known["versions"]["torch"])
    with replacing(results_file("cam")) as temporary:
        table.to_csv(temporary, index=False)
    print(f"{len(table)} rows in {results_file('cam')} ({known['device']}).")


if __name__ == "__main__":
    main()
