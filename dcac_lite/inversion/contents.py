"""Is what is no identity in the noise, and not in the vector? What linear readers find in either, in pictures of people
whom they have not met.

A reader learns one question from the training people's pictures, out of a vector, a noise, or what these are compared
with, and answers it for the people whom Re-ID is tested on. The embedded world knows the answers. One of the questions
is about the person, the others are about the picture."""

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ..data.domains import Split
from ..world.truth import truth_of
from .arms import untrained
from .people import shrunk
from .reid import read_vectors
from .system import System
from .training import seeded

#: What is asked about a picture: what the person wears, and what has nothing to do with who it is.
QUESTIONS = {
    "clothes": "colour of the top, in words",
    "camera": "which camera took it",
    "view": "seen from the front, the back or the side",
    "scene": "street or plaza",
    "background": "dark, middle or bright behind the person",
}
#: What the readers get, in the order of the table's columns. Noises and pixels are compared at the vector's size too.
FEATURES = (
    "raw pixels", "noise (Img2Noise)", "vector (Img2ID)", "pixels, 32 components", "noise, 32 components",
    "vector, Img2ID not trained", "Gaussian, as many as pixels", "Gaussian, as many as the vector",
)  # fmt: skip
#: The share of the most frequent answer among training pictures, given always.
BLIND = "always the most frequent answer"


def answers(source: str, tier: str, train: Split, *others: Split) -> list[pd.DataFrame]:
    """The true answers to `QUESTIONS`, a column each, about every picture of each split of an embedded domain. What
    is dark and what is bright behind a person, the thirds of the training pictures say.

    Raises ValueError for a source whose truth is not known (see `world.truth.truth_of`)."""
    frames = []
    for split in (train, *others):
        samples = truth_of(source, split.names, tier)
        rows = [(s.appearance.top.colour, f"camera {s.record.camera}", s.view, s.scene) for s in samples]
        frame = pd.DataFrame(rows, columns=["clothes", "camera", "view", "scene"])
        behind = [
            (s.picture.image[~s.picture.body_mask].mean() if not s.picture.body_mask.all() else np.nan) for s in samples
        ]
        frames.append(frame.assign(background=behind))
    edges = frames[0]["background"].quantile([1 / 3, 2 / 3]).to_numpy()
    for frame in frames:
        thirds = np.searchsorted(edges, frame["background"].fillna(edges[0]))
        frame["background"] = np.array(["dark", "middle", "bright"])[thirds]
    return frames


def known_people(*splits: Split) -> Split:
    """The pictures of splits that show somebody with a person id: no distractors, no junk."""
    rows = [split.pids > 0 for split in splits]
    parts = [(split.images[r], split.pids[r], split.cameras[r]) for split, r in zip(splits, rows)]
    images, pids, cameras = (np.concatenate(part) for part in zip(*parts))
    names = tuple(split.names[k] for split, r in zip(splits, rows) for k in np.flatnonzero(r))
    return Split(images, pids, cameras, names, ())


def features(system: System, train: Split, test: Split) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What readers get of the pictures of two splits, float32 [N, d] each, by the names in `FEATURES`."""
    small = [shrunk(split.images, system.recipe.size) for split in (train, test)]

    def read(net: torch.nn.Module) -> list[np.ndarray]:
        return [read_vectors(net, images).flatten(1).numpy() for images in small]

    def components(pair: list[np.ndarray]) -> list[np.ndarray]:
        found = PCA(system.recipe.dim, random_state=0).fit(pair[0])
        return [found.transform(x) for x in pair]

    def gaussian(like: list[np.ndarray]) -> list[np.ndarray]:
        rng = seeded("contents", system.setting.seed, like[0].shape[1])
        return [torch.randn(x.shape, generator=rng).numpy() for x in like]

    pixels = [images.flatten(1).float().numpy() / 255 for images in small]
    noise, vector, blank = read(system.img2noise), read(system.img2id()), read(untrained(system))
    found = (pixels, noise, vector, components(pixels), components(noise), blank, gaussian(pixels), gaussian(vector))
    return {name: (pair[0], pair[1]) for name, pair in zip(FEATURES, found, strict=True)}


def reader(x: np.ndarray, words: np.ndarray) -> Pipeline:
    """A linear reader of words [N] from features [N, d], each number brought to SD 1: a ridge classifier whose penalty
    is chosen by leaving out one training picture at a time."""
    return make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(0, 6, 7))).fit(x, words)


def contents(system: System) -> pd.DataFrame:
    """How many pictures of each test person are read right: one row for each question and person, with the columns
    question, person, pictures, one for each of `FEATURES`, and `BLIND`."""
    train, test = known_people(system.domain.train), known_people(system.domain.query, system.domain.gallery)
    taught, asked = answers(system.setting.source, system.setting.tier, train, test)
    given, parts = features(system, train, test), []
    for question in QUESTIONS:
        words, truth = taught[question].to_numpy(), asked[question].to_numpy()
        said = {name: reader(x, words).predict(y) for name, (x, y) in given.items()}
        said[BLIND] = np.full(len(truth), taught[question].mode()[0])
        right = pd.DataFrame({"person": test.pids, "pictures": 1} | {n: (s == truth) * 1 for n, s in said.items()})
        parts.append(right.groupby("person", as_index=False).sum().assign(question=question))
    table = pd.concat(parts, ignore_index=True)
    return table[["question", *table.columns.drop("question")]]
