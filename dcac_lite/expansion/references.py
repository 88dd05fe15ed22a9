"""How hard the clothes-changing domains are: what bodies alone can tell, and how far clothes lead astray.

A ceiling and its opposite stand beside two readers of pixels. Everything is a closed form: discriminants fitted to the
training split of the same domain, settings chosen on training people held out from it (`world.discriminant`), scored in
both settings. The parts are read with the true masks, which no method has."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import torch

from ..data.clothes import ClothesSplit
from ..data.domains import Domain
from ..data.registry import FOLDERS
from ..world.discriminant import DIMENSIONS, SHRINKAGES, discriminant, fit_chosen, normalised
from ..world.domains import Sample
from ..world.figure import HAIR, SKIN
from ..world.references import CLOSED_FORM, extractor
from ..world.truth import garment_mask, oracle_features
from . import wardrobe
from .domains import clothes_spec, load_clothes, protocols_of, truth_of
from .protocols import Dressed, Protocol, clothes_metrics, dressed, ignored, taken
from .specs import CLOTHES_DOMAINS

#: Settings of the report; general rules would mix the two.
SETTINGS = ("same clothes", "clothes-changing")
GREY = 128
HEIGHTS = (0.08, 0.3, 0.85)  # of head, shoulders and legs, as shares of what is seen of the body
DEPTH = 0.58  # of a body, relative to its width
FEW = 2  # pixels
_TESTS = ("query", "gallery")
#: References of `world.references` that see whole pictures.
_PIXELS = {r.name: r for r in CLOSED_FORM if r.name in ("LDA on pixels", "weighted LDA on LOMO-like histograms")}


def _mean(image: np.ndarray, mask: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    return image[mask].mean(0) if mask.any() else otherwise


def _width(mask: np.ndarray, top: int, height: int, share: float) -> float:
    """How wide a mask is at a share of its height, pixels: the mean of three rows."""
    row = top + round(share * (height - 1))
    return float(mask[max(0, row - 1) : row + 2].sum(1).mean())


def parts(sample: Sample) -> np.ndarray:
    """What the body alone shows in a picture, read with its true masks, float64 [22]: mean colours of skin, hair and
    background, areas of hair, skin and body, widths of head, shoulders and legs, height and top, how wide a body is
    that is turned so, the direction that the person faces, and whether hair and skin are hardly seen. Colours and sizes
    are logarithms, so that the light of a picture and the distance add to them, and what the background knows of the
    light can be taken away. Zeros where nothing is seen of the body."""
    image = sample.picture.image / 255
    body, skin, hair = sample.picture.body_mask, garment_mask(sample, (SKIN,)), garment_mask(sample, (HAIR,))
    if not body.any():
        return np.zeros(22)
    rows = np.flatnonzero(body.any(1))
    top, height = int(rows[0]), int(rows[-1] - rows[0]) + 1
    tone = _mean(image, skin, image[body].mean(0))
    colours = np.concatenate([tone, _mean(image, hair, tone), _mean(image, ~body, tone)])
    sizes = [hair.sum(), skin.sum(), body.sum(), *(_width(body, top, height, share) for share in HEIGHTS), height]
    facing, turned = np.cos(sample.shot.pose.yaw), np.sin(sample.shot.pose.yaw)
    wide = np.log(np.hypot(facing, DEPTH * turned))
    few = [hair.sum() < FEW, skin.sum() < FEW]
    return np.array([*np.log(colours + 0.02), *np.log1p(sizes), top, wide, facing, facing**2, *few], float)


def without_clothes(sample: Sample) -> np.ndarray:
    """A picture of which only skin and hair are left on grey, uint8 [64, 32, 3]."""
    left = garment_mask(sample, (SKIN,)) | garment_mask(sample, (HAIR,))
    return np.where(left[:, :, None], sample.picture.image, GREY).astype(np.uint8)


def _lda(x: dict[str, np.ndarray], train: ClothesSplit) -> dict[str, np.ndarray]:
    """LDA on descriptors of each split, scaled by the training split's standard deviations."""
    mean, scale = x["train"].mean(0), x["train"].std(0) + 1e-9
    x = {split: (values - mean) / scale for split, values in x.items()}
    sizes = [k for k in DIMENSIONS if k <= x["train"].shape[1]] or [x["train"].shape[1]]
    project = fit_chosen(x["train"], train, discriminant, product(sizes, SHRINKAGES, [False]))
    return {split: project(values) for split, values in x.items()}


def _clothes_alone(samples: list[Sample], body: wardrobe.Body, seed: int) -> np.ndarray:
    """Everybody's clothes read with an error, on one body."""
    dressed_alike = [
        replace(s, shot=replace(s.shot, person=wardrobe.dressed(body, wardrobe.Outfit.of(s.shot.person))))
        for s in samples
    ]
    return oracle_features(dressed_alike, seed=seed).numpy()


def features(domain: Domain, samples: dict[str, list[Sample]], body: wardrobe.Body) -> dict[str, Callable[[], dict]]:
    """By the name of each reference what computes its features of query and gallery, {split: float [N, d]}. samples:
    the truth of each split's files; body: any."""
    train = domain.train

    def of_pixels(name: str) -> dict[str, np.ndarray]:
        extract = extractor(_PIXELS[name], train)
        return {split: extract(getattr(domain, split).images) for split in _TESTS}

    def of(read: Callable[[Sample], np.ndarray]) -> dict[str, np.ndarray]:
        return _lda({split: np.stack([read(s).ravel() for s in each]) for split, each in samples.items()}, train)

    def at_random() -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {split: rng.normal(size=(len(samples[split]), 8)) for split in _TESTS}

    return {
        "chance": at_random,
        "clothes alone, read with an error": lambda: {
            split: _clothes_alone(samples[split], body, seed) for seed, split in enumerate(_TESTS)
        },
        "parts of the body, LDA (ceiling)": lambda: of(parts),
        **{name: lambda name=name: of_pixels(name) for name in _PIXELS},
        "LDA on pixels of skin and hair alone": lambda: of(lambda s: without_clothes(s).astype(np.float32)),
    }


def in_the_query_s_clothes(query: Dressed, gallery: Dressed, protocol: Protocol, numbers: np.ndarray) -> float:
    """Of the wrong first answers the share, in percent, who wear the query's very outfit. numbers: the catalogue's
    number of every outfit, by the number that `clothes` says. NaN where no first answer is wrong."""
    query, gallery = taken(query, gallery, protocol)
    similarity = (normalised(query.x.numpy()) @ normalised(gallery.x.numpy()).t()).numpy()
    similarity[ignored(query, gallery, protocol)] = -np.inf
    first = similarity.argmax(1)
    wrong = gallery.pids[first] != query.pids
    alike = numbers[gallery.clothes[first]] == numbers[query.clothes]
    return 100 * float(alike[wrong].mean()) if wrong.any() else float("nan")


def report(names: tuple[str, ...] = tuple(CLOTHES_DOMAINS), tier: str = "lite") -> pd.DataFrame:
    """A row for each domain, reference and setting with the columns domain, reference, setting, queries, mAP, R1 and
    misled (`in_the_query_s_clothes`), in percent. Chance is one random order."""
    table = []
    for name in names:
        domain, spec = load_clothes(name, tier), clothes_spec(name, tier)
        samples = {split: truth_of(spec, getattr(domain, split).names) for split in FOLDERS}
        everyone = wardrobe.wearers(spec)
        numbers = np.full(1 + max(getattr(domain, split).clothes.max() for split in _TESTS), -1)
        for split in _TESTS:
            worn = [everyone[s.record.person].numbers[s.record.outfit] for s in samples[split]]
            numbers[getattr(domain, split).clothes] = worn
        for reference, compute in features(domain, samples, everyone[0].body).items():
            x = compute()
            sides = [dressed(torch.from_numpy(np.asarray(x[s], np.float32)), getattr(domain, s)) for s in _TESTS]
            for setting in SETTINGS:
                protocol = protocols_of(name)[setting]
                metrics = clothes_metrics(*sides, protocol)
                row = {"domain": name, "reference": reference, "setting": setting, "queries": metrics["queries"]}
                misled = in_the_query_s_clothes(*sides, protocol, numbers)
                table.append(row | {"mAP": metrics["mAP"], "R1": metrics["R1"], "misled": misled})
    return pd.DataFrame(table)


def side_by_side(table: pd.DataFrame, domain: str) -> pd.DataFrame:
    """A domain's rows: a line for each reference, for each setting mAP / R1 and the share of `misled` answers."""
    own = table[table["domain"] == domain]
    lines = {reference: {} for reference in own["reference"]}
    for row in own.itertuples():
        lines[row.reference][f"{row.setting}: mAP / R1"] = f"{row.mAP:.1f} / {row.R1:.1f}"
        if row.setting == "clothes-changing":
            lines[row.reference]["misled"] = "" if np.isnan(row.misled) else f"{row.misled:.0f} %"
    return pd.DataFrame.from_dict(lines, orient="index")


def text(table: pd.DataFrame) -> str:
    """The table as read by people."""
    return "\n\n".join(f"{name}\n{side_by_side(table, name).to_string()}" for name in table["domain"].unique())
