"""What each piece of CLIP's pre-training is worth, on the validation domain.

Less than a tenth of the recipe's length (`SHORT`), with one piece changed at a time; all pieces with three seeds, so
that the changes can be held against luck. A seed draws the first weights of pre-training and those of the heads that
fine-tuning on MA adds; the pictures, batches and views of pre-training are the same for all. Written down before any
run: a change is told from luck where its mAP after fine-tuning lies outside the 95 % prediction interval of one more
run of all pieces.

`python -m dcac_lite pieces` trains what is missing and writes `results/pieces.csv` in the runs folder, with
`--in-place` the published table in `figures/results/` instead.
"""

import argparse
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..data.domains import training_set
from ..data.load import load_domain
from ..experiment import Experiment
from ..paths import replacing, results_folder, runs_root
from ..pretrained.clip import load_clip_visual
from ..runs import provenance
from ..studies.study import in_processes
from ..tiers import LITE
from ..tools.status import recording
from ..world.references import score
from ..world.small_networks import clip_features, fit_encoder, train_encoder
from .clip import Pieces, train_clip
from .make import LITE_RECIPE, Recipe, web_images

SEEDS = (0, 1, 2)
SHORT = replace(LITE_RECIPE, people=9_600, clip_steps=800)
#: References that are not pre-trained here, and what every change is compared with.
NOTHING, SHIPPED, ALL = "no pre-training", "the shipped weights", "all pieces"


@dataclass(frozen=True)
class Change:
    """One piece changed. writer: of the captions. of_others: a caption is that of another person, a placebo."""

    recipe: Recipe = SHORT
    pieces: Pieces = field(default=Pieces())
    writer: str = "short"
    of_others: bool = False


CHANGES: dict[str, Change] = {
    ALL: Change(),
    "without captions": Change(pieces=Pieces(captions=0.0)),
    "captions of other people": Change(of_others=True),
    "full captions": Change(writer="full"),
    "without views": Change(pieces=Pieces(views=0.0)),
    "no second photographs": Change(replace(SHORT, two_photographs=0.0)),
    "second photographs of all": Change(replace(SHORT, two_photographs=1.0)),
    "views only mirrored": Change(pieces=Pieces(strength=0.0)),
    "no look-alikes in a batch": Change(pieces=Pieces(groups=False)),
    "a tenth of the people": Change(replace(SHORT, people=SHORT.people // 10)),
    "two layers": Change(pieces=Pieces(layers=2)),
}


def pretrained(name: str, seed: int) -> Path:
    """The folder of the small CLIP that `name` of CHANGES makes, trained if it is not there. Interrupted, it goes on
    where it was."""
    folder = runs_root() / "pieces" / f"{name.replace(' ', '-')}-{seed}"
    if not (record := folder / "history-clip.json").exists():
        change = CHANGES[name]
        recipe = replace(change.recipe, seed=seed)
        folder.mkdir(parents=True, exist_ok=True)
        images, captions = web_images(0, recipe.people, writer=change.writer)
        second, _ = web_images(0, round(recipe.two_photographs * recipe.people), photo=1)
        if change.of_others:
            half = len(captions) // 2
            captions = captions[half:] + captions[:half]
        history = train_clip(folder, recipe, images, second, captions, change.pieces)
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(history))
    return folder


def row_of(name: str, experiment: Experiment) -> dict:
    """mAP and R1 (percent) on V of the small CLIP that `name` stands for, before (`zero-shot`) and after fine-tuning by
    the baseline `experiment`."""
    data, target = training_set([load_domain(s, LITE.name) for s in experiment.sources]), load_domain("V", LITE.name)
    facts = {"piece": name, "seed": experiment.seed, "sources": "+".join(experiment.sources), "target": "V"}
    if name == NOTHING:
        extract, before = train_encoder(experiment, data), {}
    else:
        weights = LITE.clip if name == SHIPPED else pretrained(name, experiment.seed)
        before = score(clip_features(load_clip_visual(weights, LITE.image_size)), target)
        extract = fit_encoder(experiment, data, load_clip_visual(weights, LITE.image_size))
    after = score(extract, target)
    return facts | {
        "zero-shot mAP": round(before["mAP"], 2) if before else None,
        "mAP": round(after["mAP"], 2),
        "R1": round(after["R1"], 2),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=2, help="processes at a time, one thread each (default 2)")
    parser.add_argument("--in-place", action="store_true", help="write the published table, figures/results/pieces.csv")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # one piece in a process of its own
    parser.set_defaults(call=_study)


def _study(arguments: argparse.Namespace) -> None:
    if arguments.job:
        values, name = json.loads(arguments.job)
        print(json.dumps([row_of(name, Experiment(**values))]))
        return
    names = [name for name in (NOTHING, SHIPPED, ALL) for _ in SEEDS] + [name for name in CHANGES if name != ALL]
    seeds = [*SEEDS] * 3 + [SEEDS[0]] * (len(CHANGES) - 1)
    jobs = [(Experiment(sources="MA", conditioning="none", seed=seed), name) for name, seed in zip(names, seeds)]
    path, known = results_folder(arguments.in_place) / "pieces.csv", provenance()
    with recording(path):
        table = in_processes("pieces", jobs, arguments.workers)
        with replacing(path) as temporary:
            table.assign(commit=known["commit"] or "", torch=known["versions"]["torch"]).to_csv(temporary, index=False)
    print(f"{len(table)} rows in {path} ({known['device']}).")
