"""Class activation maps point where they should, and the truth is the truth."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dcac_lite import Experiment, ReIDModel, load_domain
from dcac_lite.cam import METHODS, PairScores, cam_figure, cam_maps, pair_maps, tokens_to_grid
from dcac_lite.studies.map_measures import energy_ratio, pointing_game
from dcac_lite.training import build
from dcac_lite.world.truth import attribute_similarity, look_similarity, truth_of

ROWS, COLUMNS, PATCH = 8, 4, 8


class BrightPatchVisual(nn.Module):
    """A ViT in outline whose feature is large when any patch is bright."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, PATCH, PATCH, bias=False)
        nn.init.constant_(self.conv1.weight, 1 / (3 * PATCH**2))
        block = nn.Module()
        block.ln_1 = nn.Identity()
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList([block])
        self.grid_size, self.image_size, self.output_dim = (ROWS, COLUMNS), (ROWS * PATCH, COLUMNS * PATCH), 4

    def forward(self, x):
        tokens = self.conv1(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([torch.zeros_like(tokens[:, :1]), tokens], 1)
        return torch.relu(self.transformer.resblocks[0].ln_1(tokens)).sum(1)


@pytest.fixture(scope="module")
def bright():
    model = ReIDModel(BrightPatchVisual(), 3)
    nn.init.ones_(model.classifier.weight)
    return model.eval()


@pytest.fixture(scope="module")
def untrained():
    return build(Experiment(tier="smoke", conditioning="none").resolved(), 24)[0].reid


@pytest.fixture(scope="module")
def smoke_train():
    return load_domain("MA", "smoke").train


@pytest.mark.parametrize("method", METHODS)
def test_a_bright_patch_is_found_where_it_is(bright, method):
    places = [(0, 0), (1, 3), (2, 1), (5, 2), (7, 0), (7, 3)]
    images = np.full((len(places), 3, ROWS * PATCH, COLUMNS * PATCH), 128, np.uint8)
    for image, (r, c) in zip(images, places):
        image[:, r * PATCH : (r + 1) * PATCH, c * PATCH : (c + 1) * PATCH] = 250
    maps = cam_maps(bright, images, 1, method)
    assert maps.shape == (len(places), ROWS * PATCH, COLUMNS * PATCH) and maps.min() >= 0 and maps.max() <= 1.001
    for cam, place in zip(maps, places):
        peak = np.unravel_index(cam.argmax(), cam.shape)
        assert (peak[0] // PATCH, peak[1] // PATCH) == place
    masks = np.zeros(maps.shape, bool)
    for mask, (r, c) in zip(masks, places):
        mask[r * PATCH : (r + 1) * PATCH, c * PATCH : (c + 1) * PATCH] = True
    assert (pointing_game(maps, masks) == 1).all() and (energy_ratio(maps, masks) > 5).all()


def test_tokens_are_numbered_row_by_row():
    tokens = torch.arange(ROWS * COLUMNS + 1.0)[None, :, None]
    assert torch.equal(tokens_to_grid(tokens, (ROWS, COLUMNS))[0, 0], 1 + torch.arange(32.0).reshape(ROWS, COLUMNS))
    with pytest.raises(ValueError, match="33 tokens are no class token and 7 x 4 patches; expected 29"):
        tokens_to_grid(tokens, (7, 4))


def test_grad_cam_is_its_formula(untrained, smoke_train):
    """Against the definition, computed here with autograd: weights averaged over places, then the positive part."""
    image = torch.from_numpy(np.array(smoke_train.images[:1]))
    kept = []
    hook = untrained.visual.transformer.resblocks[-1].ln_1.register_forward_hook(
        lambda module, args, out: kept.append(out)
    )
    model = untrained.eval()
    logits = model(image.float() / 127.5 - 1)[1]
    hook.remove()
    for j in range(24):
        (gradient,) = torch.autograd.grad(logits[0, j], kept[0], retain_graph=True)
        weights = gradient[0, 1:].mean(0)
        by_hand = torch.relu(kept[0][0, 1:] @ weights).reshape(ROWS, COLUMNS).detach().numpy()
        if by_hand.max() > 0:  # in most pictures nothing speaks for some people
            break
    cam = cam_maps(model, image, j)[0]
    patches = cam.reshape(ROWS, PATCH, COLUMNS, PATCH).mean((1, 3))
    assert np.corrcoef(patches.ravel(), by_hand.ravel())[0, 1] > 0.9
    assert (
        np.corrcoef(patches.ravel(), by_hand.reshape(COLUMNS, ROWS).T.ravel())[0, 1] < 0.9
    )  # the transposed grid is another map


def test_the_model_is_left_as_it_was(untrained, smoke_train):
    model = copy.deepcopy(untrained).train().requires_grad_(False)  # frozen models and training mode are no obstacle
    before = {name: value.clone() for name, value in model.state_dict().items()}
    maps = cam_maps(model, smoke_train.images[:2], [0, 1])
    assert maps.max() > 0 and model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_paths_and_arrays_give_the_same_map(untrained, smoke_train, tmp_path):
    for k in range(2):
        Image.fromarray(smoke_train.images[k].transpose(1, 2, 0)).save(tmp_path / f"{k}.png")
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    assert np.array_equal(cam_maps(untrained, paths, [4, 5]), cam_maps(untrained, smoke_train.images[:2], [4, 5]))
    figure = cam_figure({"one": untrained, "two": untrained}, paths, 4, references=paths, titles=["a", "b"])
    assert [axis.get_title() for axis in figure.axes[:4]] == ["image", "the class", "one", "two"]


def test_wrong_input_is_one_sentence(untrained, smoke_train):
    images = smoke_train.images[:2]
    for arguments, message in (
        ((images, 24), "identity 24 is not one of this model's 24 training identities"),
        ((images, [0, 1, 2]), "3 identities for 2 images"),
        ((images, 0, "SmoothGrad"), "'SmoothGrad' is no method: choose one of GradCAM"),
        ((images, 0, "GradCAM", 9), "block is 9; this encoder has 4 blocks"),
        ((images[:, :, :32], 0), r"images are torch.uint8 \(2, 3, 32, 32\); expected torch.uint8 \(M, 3, 64, 32\)"),
        (([1, 2], 0), "neither an array nor a list of paths"),
    ):
        with pytest.raises(ValueError, match=message):
            cam_maps(untrained, *arguments)


def test_a_pair_s_map_explains_the_similarity_that_ranks(untrained, smoke_train):
    images, others = np.array(smoke_train.images[:8]), np.array(smoke_train.images[8:16])
    features = untrained.features(others)
    scores = PairScores(untrained, features).eval()(torch.from_numpy(images).float() / 127.5 - 1)
    torch.testing.assert_close(scores, untrained.features(images) @ features.t(), atol=1e-5, rtol=1e-4)
    maps = pair_maps(untrained, images, others, "LayerCAM")
    assert maps.shape == (8, 64, 32) and maps.min() >= 0 and maps.max() <= 1.001
    assert not np.allclose(maps, pair_maps(untrained, images, np.roll(others, 1, 0), "LayerCAM"))
    with pytest.raises(ValueError, match="2 others for 8 images; expected one each"):
        pair_maps(untrained, images, others[:2])


# ---------------------------------------------------------------- truth


def test_the_truth_is_that_of_the_file(smoke_train):
    some = slice(0, None, 7)
    samples = truth_of("MA", smoke_train.names[some], "smoke")
    drawn = np.stack([s.picture.image for s in samples]).transpose(0, 3, 1, 2).astype(int)
    difference = abs(drawn - smoke_train.images[some])
    assert difference.mean() < 4  # what JPEG costs
    shifted = abs(np.roll(drawn, 1, axis=0) - smoke_train.images[some])
    assert shifted.mean() > 4 * difference.mean()
    for sample in samples:
        assert not (sample.picture.clothing_mask & ~sample.picture.body_mask).any()


def test_a_file_of_another_world_has_no_truth(smoke_train):
    name = smoke_train.names[0]
    for domain, names, tier in (
        ("D", [name], "smoke"),
        ("MA", ["0001_c1s1_999999_00.jpg"], "smoke"),
        ("MA", ["holiday.jpg"], "smoke"),
    ):
        with pytest.raises(ValueError, match="is no picture of the embedded domain"):
            truth_of(domain, names, tier)
    with pytest.raises(ValueError, match="The truth of 'MA' in tier 'full' is not known"):
        truth_of("MA", [name], "full")


def test_similarity_is_one_with_oneself_and_higher_for_shared_clothes():
    from dcac_lite.world.people import identities
    from dcac_lite.world.specs import DOMAINS

    people = identities(DOMAINS["MA"])[:150]
    off = ~np.eye(len(people), dtype=bool)
    shared = np.array([[a.top == b.top for b in people] for a in people]) & off
    assert shared.any()
    for similarity in (attribute_similarity(people), look_similarity(people)):
        np.testing.assert_allclose(np.diag(similarity), 1)
        np.testing.assert_allclose(similarity, similarity.T)
        assert similarity.min() >= 0 and similarity[off].max() < 1
        assert similarity[shared].mean() > similarity[off & ~shared].mean() + 0.02
