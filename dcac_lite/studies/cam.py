"""The measurements behind Fig. 3's claims: five seeds of each model, maps, probabilities and features against the
truth.

`python -m dcac_lite cam-study` trains what is missing and writes `results/cam.csv` in the runs folder, with
`--in-place` the published `figures/results/cam.csv` instead. Nothing is
chosen by its numbers: settings are those of the tier, and the runs are the comparison's first five pairs."""

import argparse
import json
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..augment import normalise
from ..cam import cam_maps, pair_maps
from ..code_key import RESULTS, code_key
from ..data.load import load_domain
from ..encoder import ReIDModel
from ..experiment import Experiment
from ..paths import replacing, results_folder
from ..runs import provenance, run
from ..tools.status import recording
from ..training import build
from .counterfactuals import measure_changes
from .map_measures import energy_ratio, measure_regions
from .probes import PairProbe, Probe, make_pair_probe, make_probe
from .study import in_processes

SEEDS = range(10, 15)
UNSEEN = ("D", "C3")  # targets whose pictures are paired, and taken again
#: What the numbers depend on besides what runs and their metrics do.
MEASURING = (
    "cam", "studies.cam", "studies.counterfactuals", "studies.map_measures", "studies.probes", "world.renderer",
    "world.truth",
)  # fmt: skip
#: (method, where): "last" is the last block, "middle" the first one of the second half.
DEFINITIONS = (
    ("GradCAM", "last"),
    ("GradCAM", "middle"),
    ("GradCAMPlusPlus", "last"),
    ("LayerCAM", "last"),
    ("LayerCAM", "middle"),
    ("Occlusion", "last"),
)


def definition_name(method: str, where: str) -> str:
    """How a definition is called in tables and figures; Occlusion looks at no block."""
    return method if method == "Occlusion" else f"{method.replace('PlusPlus', '++')}, {where}"


def block_of(model: ReIDModel, where: str) -> int:
    """The transformer block of a definition, as `cam.cam_maps` counts it."""
    return -1 if where == "last" else len(model.visual.transformer.resblocks) // 2


def measure_maps(model: ReIDModel, probe: Probe, method: str, where: str, target: str) -> dict[str, np.ndarray]:
    """Measures of one kind of map on every picture of a probe, each [N]: those of `measure_regions`. For the targets
    `upper` and `lower`, which share one garment with the picture, only `upper share`, the share of the upper half in
    the clothing's energy ratios. NaN where a map is empty or a picture has no such target."""
    labels = probe.targets[target]
    maps = cam_maps(model, probe.images, labels.clip(0), method, block_of(model, where))
    maps[labels < 0] = 0
    if target in ("upper", "lower"):
        upper, lower = (energy_ratio(maps, probe.regions[half]) for half in ("upper", "lower"))
        with np.errstate(invalid="ignore"):
            return {"upper share": upper / (upper + lower)}
    return measure_regions(maps, probe.regions)


def measure_pairs(model: ReIDModel, probe: PairProbe, method: str, where: str, other: str) -> dict[str, np.ndarray]:
    """Measures of the maps of every query of a pair probe with its `match` or its `stranger`, each [N], see
    `measure_regions`."""
    maps = pair_maps(model, probe.images, probe.others[other], method, block_of(model, where))
    return measure_regions(maps, probe.regions)


@torch.no_grad()
def training_logits(model: ReIDModel, domain: str, tier: str) -> tuple[Tensor, Tensor]:
    """Logits float32 [M, N] of a domain's training pictures, un-augmented, and their labels int64 [M], on the CPU."""
    train, device = load_domain(domain, tier).train, next(model.parameters()).device
    parts = np.array_split(np.arange(len(train)), -(-len(train) // 256))
    logits = [
        model(normalise(torch.from_numpy(train.images[rows].copy()).to(device)))[1].float().cpu() for rows in parts
    ]
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
    other identities with the true similarity to them. Both [N, N] -> [N], NaN where all others are equally probable,
    for instance too improbable for a float: there is no order then."""
    from scipy.stats import ConstantInputWarning, spearmanr

    others = ~np.eye(len(similarity), dtype=bool)
    with warnings.catch_warnings(action="ignore", category=ConstantInputWarning):
        return np.array([spearmanr(p[o], s[o]).statistic for p, s, o in zip(probabilities, similarity, others)])


# ---------------------------------------------------------------- the study


def experiments() -> list[Experiment]:
    """Baseline, instance-wise and correlation-aware on MA, the columns of Fig. 3, with five seeds."""
    schemes = ("none", "instance-wise", "correlation-aware")
    return [Experiment(sources="MA", conditioning=scheme, seed=seed) for seed in SEEDS for scheme in schemes]


def rows_of(experiment: Experiment, trained: bool = True) -> list[dict]:
    """The measurements of one experiment's model, trained or as it starts: one row per domain, definition, target and
    measure, each a mean over identities or pictures."""
    experiment = experiment.resolved()
    source, tier = experiment.sources[0], experiment.tier
    probe = make_probe(source, tier)
    model = run(experiment, progress=False).reid() if trained else build(experiment, len(probe.images))[0].reid.eval()
    facts = {"model": experiment.conditioning if trained else "untrained", "seed": experiment.seed}
    facts |= {"lambda_": experiment.lambda_, "tau_c": experiment.tau_c}
    tau_c = Experiment(tier=tier, sources=experiment.sources).resolved().tau_c  # one temperature for all models
    rows = [*_map_rows(model, probe, source), *_probability_rows(model, probe, source, tier, tau_c)]
    for domain in UNSEEN:
        rows += [*_pair_rows(model, make_pair_probe(domain, tier), domain), *_counterfactual_rows(model, domain, tier)]
    return [facts | row for row in rows]


def _row(domain: str, method: str, where: str, target: str, measure: str, values) -> dict:
    value = round(float(np.nanmean(values)), 5)
    return {"domain": domain, "method": method, "layer": where, "target": target, "measure": measure, "value": value}


def _map_rows(model: ReIDModel, probe: Probe, domain: str) -> Iterator[dict]:
    for method, where in DEFINITIONS:
        measured = {target: measure_maps(model, probe, method, where, target) for target in probe.targets}
        for target in ("own", "look-alike", "stranger"):
            for measure, values in measured[target].items():
                yield _row(domain, method, where, target, measure, values)
        shift = measured["upper"]["upper share"] - measured["lower"]["upper share"]
        yield _row(domain, method, where, "sharers", "shift to the shared garment", shift)


def _pair_rows(model: ReIDModel, probe: PairProbe, domain: str) -> Iterator[dict]:
    for method, where in DEFINITIONS:
        for other in probe.others:
            for measure, values in measure_pairs(model, probe, method, where, other).items():
                yield _row(domain, method, where, other, measure, values)


def _probability_rows(model: ReIDModel, probe: Probe, domain: str, tier: str, tau_c: float) -> Iterator[dict]:
    p, entropy = mean_probabilities(*training_logits(model, domain, tier), tau_c)
    for truth, similarity in (("looks", probe.looks), ("attributes", probe.attributes)):
        correlations = rank_correlations(p, similarity)
        yield _row(domain, "probabilities", "", "others", f"rank correlation with {truth}", correlations)
    yield _row(domain, "probabilities", "", "own", "entropy", entropy)


def _counterfactual_rows(model: ReIDModel, domain: str, tier: str) -> Iterator[dict]:
    for found in measure_changes(model, domain, tier):
        for measure in ("moved", "mAP, query again", "mAP, gallery again"):
            yield _row(domain, "counterfactual", "", found["change"], measure, found[measure])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=2, help="processes at a time, one thread each (default 2)")
    parser.add_argument("--in-place", action="store_true", help="write the published table, figures/results/cam.csv")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # one model in a process of its own
    parser.set_defaults(call=_study)


def _study(arguments: argparse.Namespace) -> None:
    if arguments.job:
        values, trained = json.loads(arguments.job)
        print(json.dumps(rows_of(Experiment(**values), trained)))
        return
    jobs = [(e, True) for e in experiments()] + [(e, False) for e in experiments() if e.conditioning == "none"]
    known, path = provenance(), results_folder(arguments.in_place) / "cam.csv"
    facts = {"commit": known["commit"][:12] if known["commit"] else "", "torch": known["versions"]["torch"]}
    facts["code_key"] = code_key((*RESULTS, *MEASURING))
    with recording(path):
        table = in_processes("cam-study", jobs, arguments.workers).assign(**facts)
        with replacing(path) as temporary:
            table.to_csv(temporary, index=False)
    print(f"{len(table)} rows in {path} ({known['device']}).")
