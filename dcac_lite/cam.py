"""Class activation maps of a Re-ID model (Fig. 3), and maps of what makes two pictures alike.

The maps are pytorch-grad-cam's. What is ours: which score is explained (the logit of a training identity,
whoever is in the picture, or the similarity to another picture), and the way from tokens back to rows and columns.
`studies.map_measures` measures them."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .augment import normalise, to_tensor
from .data.decoding import decode
from .encoder import ReIDModel

#: The definitions offered: four of pytorch-grad-cam, and `Occlusion`, which needs no gradient.
METHODS = ("GradCAM", "GradCAMPlusPlus", "HiResCAM", "LayerCAM", "Occlusion")


class ClassScores(nn.Module):
    """A Re-ID model whose only output are the logits z w_j^T [B, N] (Eq. 5)."""

    def __init__(self, model: ReIDModel):
        super().__init__()
        self.reid = model

    def forward(self, x: Tensor) -> Tensor:
        return self.reid(x)[1]


class PairScores(nn.Module):
    """A Re-ID model whose only output are the cosine similarities [B, M] of its test features to M others, float32
    [M, d] of unit length: the score by which a gallery is ranked."""

    def __init__(self, model: ReIDModel, others: Tensor):
        super().__init__()
        self.reid = model
        self.register_buffer("others", others.to(next(model.parameters()).device))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.reid(x)[0]) @ self.others.t()


def tokens_to_grid(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Tokens [B, 1 + rows * columns, d] of a ViT, class token first -> [B, d, rows, columns]. Patches are
    numbered row by row. `grid` is (rows, columns): 16 x 8 in the paper, 8 x 4 in the lite tier. The transposed
    grid would fit as well, and would give a wrong map."""
    rows, columns = grid
    if tokens.shape[1] != 1 + rows * columns:
        raise ValueError(
            f"{tokens.shape[1]} tokens are no class token and {rows} x {columns} patches; expected "
            f"{1 + rows * columns}."
        )
    return tokens[:, 1:].unflatten(1, (rows, columns)).permute(0, 3, 1, 2)


def cam_maps(
    model: ReIDModel, images, identities, method: str = "GradCAM", block: int = -1, batch: int = 64
) -> np.ndarray:
    """Where in each image does the model see identity j? The map of the logit of j, for any image.

    images: uint8 [M, 3, H, W] or M paths; identities: one label j in 0..N-1 for all images, or M of them.
    method: one of METHODS; block: the transformer block, counted as in a list, whose first layer norm is
    looked at (-1, the last, is the last place where patch tokens still reach the class token).

    Returns float32 [M, H, W]; as pytorch-grad-cam makes them each map is at least 0 with a smallest
    value of 0 and a largest of 1, or 0 everywhere where nothing speaks for j. The model is left as it was.

    Raises ValueError for an unknown method, label or block, or images that do not fit."""
    images = load_images(images, model.visual.image_size)
    labels = _labels(identities, len(images), model.classifier.out_features)
    return _maps(ClassScores(model), images, labels, method, block, batch)


def pair_maps(
    model: ReIDModel, images, others, method: str = "GradCAM", block: int = -1, batch: int = 64
) -> np.ndarray:
    """Where in each image does the model see what makes it like another image? The map of the cosine similarity of
    their test features. It needs no class, so it can be asked about people and domains that training never saw.

    images, others: M each, as in `cam_maps`; the m-th map lies on the m-th image and asks for its likeness to the m-th
    other. Method, block and result are those of `cam_maps`.

    Raises ValueError as `cam_maps` does, and for images and others of different number."""
    images, others = (load_images(x, model.visual.image_size) for x in (images, others))
    if len(images) != len(others):
        raise ValueError(f"{len(others)} others for {len(images)} images; expected one each.")
    return _maps(PairScores(model, model.features(others)), images, np.arange(len(images)), method, block, batch)


def _maps(scores: nn.Module, images: Tensor, labels: np.ndarray, method: str, block: int, batch: int) -> np.ndarray:
    if method not in METHODS:
        raise ValueError(f"{method!r} is no method: choose one of {', '.join(METHODS)}.")
    blocks = scores.reid.visual.transformer.resblocks
    if not -len(blocks) <= block < len(blocks):
        raise ValueError(
            f"block is {block}; this encoder has {len(blocks)} blocks, so expected {-len(blocks)} to {len(blocks) - 1}."
        )
    # a frozen copy: gradients reach the image only, and nobody's parameters, mode or .grad change
    scores = copy.deepcopy(scores).eval().requires_grad_(False)
    if method == "Occlusion":
        return occlusion_maps(scores, images, labels, batch)
    return _package_maps(scores, images, labels, method, block, batch)


def _package_maps(
    scores: nn.Module, images: Tensor, labels: np.ndarray, method: str, block: int, batch: int
) -> np.ndarray:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    visual = scores.reid.visual
    layer = visual.transformer.resblocks[block].ln_1
    cam = getattr(pytorch_grad_cam, method)(
        scores, [layer], reshape_transform=lambda t: tokens_to_grid(t, visual.grid_size)
    )
    parts = []
    for start in range(0, len(images), batch):
        x = normalise(images[start : start + batch].to(cam.device)).requires_grad_()
        with torch.enable_grad():
            parts.append(cam(x, [ClassifierOutputTarget(int(j)) for j in labels[start : start + batch]]))
    cam.activations_and_grads.release()
    return np.concatenate(parts).astype(np.float32)


@torch.no_grad()
def occlusion_maps(scores: nn.Module, images: Tensor, labels: np.ndarray, batch: int = 64) -> np.ndarray:
    """What a patch is worth: the drop of the class score when it is painted over with its image's mean
    colour, 0 where the score does not drop (Zeiler and Fergus, 2014). `scores` gives [B, N] and has its ViT at
    `.reid.visual`; shapes, scale and enlargement are those of `cam_maps`."""
    from pytorch_grad_cam.utils.image import scale_cam_image

    visual, device = scores.reid.visual, next(scores.parameters()).device
    rows, columns = visual.grid_size
    height, width = images.shape[2] // rows, images.shape[3] // columns
    parts = []
    for start in range(0, len(images), batch):
        x = normalise(images[start : start + batch].to(device))
        own = torch.from_numpy(labels[start : start + batch]).to(device)[:, None]
        mean, before = x.mean((2, 3)), scores(x).gather(1, own)
        drop = torch.zeros(len(x), rows, columns)
        for r in range(rows):
            for c in range(columns):
                covered = x.clone()
                covered[:, :, r * height : (r + 1) * height, c * width : (c + 1) * width] = mean[:, :, None, None]
                drop[:, r, c] = (before - scores(covered).gather(1, own))[:, 0].cpu()
        parts.append(scale_cam_image(drop.clamp(min=0).numpy(), (images.shape[3], images.shape[2])))
    return np.concatenate(parts).astype(np.float32)


def load_images(images, size: tuple[int, int]) -> Tensor:
    """uint8 images [M, 3, H, W], from an array, a tensor, or paths of image files, which are resized to
    `size` (height, width).

    Raises ValueError for an array of another type, shape or size, and for a file that is no image."""
    if not isinstance(images, (Tensor, np.ndarray)):
        if not all(isinstance(path, (str, Path)) for path in images):
            raise ValueError(
                "images is neither an array nor a list of paths; expected uint8 [M, 3, H, W] or paths of image files."
            )
        images = np.stack([decode(Path(path), size) for path in images])
    images = to_tensor(images)
    if images.dtype != torch.uint8 or images.ndim != 4 or tuple(images.shape[1:]) != (3, *size):
        raise ValueError(
            f"images are {images.dtype} {tuple(images.shape)}; expected torch.uint8 (M, 3, {size[0]}, {size[1]})."
        )
    return images


def _labels(identities, count: int, known: int) -> np.ndarray:
    labels = (
        np.broadcast_to(np.asarray(identities, np.int64), (count,))
        if np.ndim(identities) == 0
        else np.asarray(identities, np.int64)
    )
    if labels.shape != (count,):
        raise ValueError(f"{len(labels)} identities for {count} images; expected one for all or one each.")
    wrong = labels[(labels < 0) | (labels >= known)]
    if len(wrong):
        raise ValueError(
            f"identity {wrong[0]} is not one of this model's {known} training identities; expected 0 to {known - 1}."
        )
    return labels.copy()


# ---------------------------------------------------------------- the figure


def cam_figure(
    models: ReIDModel | Mapping[str, ReIDModel],
    images,
    identities,
    references=None,
    titles: Sequence[str] | None = None,
    method: str = "GradCAM",
    block: int = -1,
):
    """Fig. 3 for any models and images: one row per image; the image, then for each model its map under
    the image's identity j laid over the image.

    models: one model, or several by name. images, identities, method, block: as in `cam_maps`. references:
    for each row an image of identity j, shown beside. titles: a line for each row. The colour runs
    from none (0) to orange (the map's own largest value), so only the *place* can be compared between maps.

    Returns a matplotlib figure."""
    import matplotlib.pyplot as plt

    models = models if isinstance(models, Mapping) else {"map": models}
    size = next(iter(models.values())).visual.image_size
    images = load_images(images, size)
    columns = {"image": (images, None)}
    if references is not None:
        columns["the class"] = (load_images(references, size), None)
    columns |= {name: (images, cam_maps(m, images, identities, method, block)) for name, m in models.items()}
    wide = 1.0
    figure, axes = plt.subplots(
        len(images),
        len(columns),
        squeeze=False,
        figsize=(wide * len(columns) + 1.3, wide * len(images) * size[0] / size[1] + 0.3),
    )
    for k, (name, (shown, maps)) in enumerate(columns.items()):
        for row, axis in enumerate(axes[:, k]):
            picture = shown[row].permute(1, 2, 0).numpy()
            axis.imshow(picture if maps is None else overlay(picture, maps[row]), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            if row == 0:
                axis.set_title(name.replace("-", "-\n"), fontsize=10)
            if k == 0 and titles is not None:
                axis.set_ylabel(titles[row], rotation=0, ha="right", va="center", fontsize=10)
    figure.tight_layout(pad=0.4)
    return figure


def overlay(picture: np.ndarray, cam: np.ndarray) -> np.ndarray:
    """A map [H, W] in 0..1 laid over a uint8 picture [H, W, 3] made grey; float [H, W, 3] in 0..1. The larger the map,
    the more of the picture is orange; where it is 0 the picture is as it was, and everywhere it can be recognised."""
    # a grey picture under one colour: the map's must not mix with those of the clothes
    grey = np.repeat(picture.mean(2, keepdims=True) / 255, 3, axis=2)
    opacity = 0.7 * cam[..., None]
    return (1 - opacity) * grey + opacity * np.array([0.95, 0.4, 0.0])
