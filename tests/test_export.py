"""The encoder taken along: the same features from every kind of input, from a folder, and from ONNX."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from dcac_lite import FeatureExtractor, ReIDModel
from dcac_lite.__main__ import main
from dcac_lite.pretrained.clip import load_clip_visual
from dcac_lite.tiers import LITE


@pytest.fixture(scope="module")
def reid():
    torch.manual_seed(4)
    model = ReIDModel(load_clip_visual(LITE.clip, LITE.image_size), 5)
    model.neck.running_mean.normal_()
    model.neck.running_var.uniform_(0.5, 2)
    return model


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (5, 3, 64, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def saved(reid, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "encoder"
    FeatureExtractor.from_reid(reid).save_pretrained(folder)
    return folder


def test_every_kind_of_input_gives_the_features_of_the_reid_model(reid, images, saved, tmp_path):
    expected = reid.features(images)
    extractor = FeatureExtractor.from_pretrained(saved)
    arrays = images.permute(0, 2, 3, 1).numpy()
    for k, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{k}.png")
    files = [tmp_path / f"{k}.png" for k in range(5)]
    for given in (images, list(images), arrays, list(arrays), [Image.fromarray(a) for a in arrays], files,
                  [str(f) for f in files], tmp_path,
                  [images[:2], tmp_path / "2.png", arrays[3:]]):  # fmt: skip
        features = extractor.features(given)
        assert features.dtype == torch.float32 and torch.equal(features, expected)
    for given in (images[0], arrays[0], Image.fromarray(arrays[0]), files[0]):
        assert torch.allclose(extractor.features(given), expected[:1], atol=1e-6)
    assert torch.allclose(extractor.features(images, batch=2), expected, atol=1e-6)
    assert torch.allclose(features.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize("resize", ["bicubic", "bilinear"])
def test_other_sizes_are_resized_as_in_the_evaluation(reid, resize, tmp_path):
    from dcac_lite.data.domains import read_dataset

    rng = np.random.default_rng(0)
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / "Own" / split).mkdir(parents=True)
        for pid in (1, 2):
            for camera in (1, 2):
                Image.fromarray(rng.integers(0, 256, (90, 41, 3), dtype=np.uint8)).save(
                    tmp_path / "Own" / split / f"{pid:04d}_c{camera}s1_000001_00.jpg"
                )
    FeatureExtractor.from_reid(reid, resize).save_pretrained(tmp_path / "encoder")
    extractor = FeatureExtractor.from_pretrained(tmp_path / "encoder")
    query = read_dataset(tmp_path / "Own", (64, 32), test_resize=resize).query
    assert torch.equal(
        extractor.features(np.asarray(query.images).transpose(0, 2, 3, 1)),
        extractor.features(tmp_path / "Own" / "query"),
    )


def test_saving_and_loading_changes_no_bit(reid, images, saved):
    extractor = FeatureExtractor.from_pretrained(saved)
    state = reid.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in extractor.state_dict().items()) and not extractor.training
    assert {"config.json", "model.safetensors", "README.md"} == {p.name for p in saved.iterdir()}


def test_onnx_computes_the_same_for_any_batch(reid, images, saved, tmp_path):
    import onnxruntime

    difference = FeatureExtractor.from_pretrained(saved).export_onnx(tmp_path / "model.onnx")
    assert 0 <= difference < 1e-4 and [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for count in (1, 5):
        (computed,) = session.run(None, {"images": images[:count].numpy()})
        assert np.allclose(computed, reid.features(images[:count]).numpy(), atol=1e-5)


def test_an_onnx_that_differs_is_not_written(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("dcac_lite.release.export.ONNX_TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="differs from torch"):
        FeatureExtractor.from_pretrained(saved).export_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_run_is_exported_by_one_command(smoke_data, tmp_path, capsys):
    from dcac_lite import Experiment, run

    finished = run(Experiment(tier="smoke", sources="MA", conditioning="none", epochs=1), progress=False)
    main(["export", str(finished.folder), str(tmp_path / "out"), "--onnx"])
    assert "differs from torch by at most" in capsys.readouterr().out
    images = torch.from_numpy(smoke_data.parts[0][:3].copy())
    assert torch.equal(
        FeatureExtractor.from_pretrained(tmp_path / "out").features(images), finished.reid().features(images)
    )
    with pytest.raises(SystemExit, match="2"):
        main(["export", str(tmp_path / "nothing"), str(tmp_path / "out2")])
    assert "config.json" in capsys.readouterr().err
    assert not (tmp_path / "out2").exists()


def tensors(change):
    def apply(folder):
        state = load_file(folder / "model.safetensors")
        change(state)
        save_file(state, folder / "model.safetensors")

    return apply


def config(change):
    def apply(folder):
        value = json.loads((folder / "config.json").read_text())
        change(value)
        (folder / "config.json").write_text(json.dumps(value))

    return apply


def flipped(folder):
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)


BROKEN = {
    "one bit": (flipped, "model.safetensors is damaged"),
    "truncated": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:5000]),
        "model.safetensors is damaged",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors does not exist"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json does not exist"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is no JSON"),
    "config of something else": (config(lambda c: c.clear()), "config.json has no 'architecture'"),
    "no size": (config(lambda c: c["architecture"].pop("width")), "width"),
    "a size too many": (config(lambda c: c["architecture"].update(depth=3)), "depth"),
    "a size of text": (config(lambda c: c["architecture"].update(width="wide")), "describes no image tower"),
    "no heads": (config(lambda c: c["architecture"].update(heads=0)), "describes no image tower"),
    "another size": (
        config(lambda c: c["architecture"].update(image_size=[64, 64])),
        "wrong shape: visual.positional_embedding",
    ),
    "fewer layers": (config(lambda c: c["architecture"].update(layers=3)), "unexpected visual.transformer.resblocks.3"),
    "architecture of text": (config(lambda c: c.update(architecture="ViT")), "describes no image tower"),
    "tensor missing": (tensors(lambda s: s.pop("neck.running_mean")), "missing neck.running_mean"),
    "tensor too many": (
        tensors(lambda s: s.update({"classifier.weight": torch.ones(5, 96)})),
        "unexpected classifier.weight",
    ),
    "NaN": (tensors(lambda s: s["neck.weight"].fill_(torch.nan)), "NaN or infinity in neck.weight"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_folder_is_refused(saved, tmp_path, what):
    import shutil

    shutil.copytree(saved, tmp_path / "broken")
    spoil, said = BROKEN[what]
    spoil(tmp_path / "broken")
    with pytest.raises((ValueError, FileNotFoundError), match=said) as error:
        FeatureExtractor.from_pretrained(tmp_path / "broken")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given, said", [
    (torch.zeros(2, 3, 64, 32), "torch.float32"), (np.zeros((64, 32)), "float64"),
    (np.zeros((3, 64, 32), np.uint8), "expected uint8"),
    (torch.zeros(64, 32, 3, dtype=torch.uint8), "expected uint8"), ([], "no image"),
    (torch.zeros(0, 3, 64, 32, dtype=torch.uint8), "no image"),
    ("missing.jpg", "does not exist"), (3, "int is no image"), ([None], "NoneType is no image"),
])  # fmt: skip
def test_what_is_no_image_is_refused(saved, given, said):
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=said):
        FeatureExtractor.from_pretrained(saved).features(given)


def test_a_pil_image_is_treated_like_its_file(saved, tmp_path):
    extractor = FeatureExtractor.from_pretrained(saved)
    pixels = np.random.default_rng(2).integers(0, 256, (64, 32, 3), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright: turn by 90 degrees
    path = tmp_path / "turned.png"
    Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90).save(path, exif=turned)
    expected = extractor.features(pixels)
    assert torch.equal(extractor.features(path), expected) and torch.equal(
        extractor.features(Image.open(path)), expected
    )


@pytest.mark.parametrize(
    "picture, said",
    [
        (
            Image.fromarray(np.full((64, 32), 30_000, np.uint16)),
            "The PIL image has pixels of kind I;16, expected 8 bits",
        ),
        (Image.fromarray(np.zeros((64, 32), np.float32)), "The PIL image has pixels of kind F"),
        (Image.fromarray(np.full((64, 32, 4), 128, np.uint8)), "The PIL image is partly transparent"),
    ],
)
def test_pil_images_are_refused_as_their_files_are(saved, picture, said):
    with pytest.raises(ValueError, match=said):
        FeatureExtractor.from_pretrained(saved).features(picture)


@pytest.mark.parametrize("batch", [0, -1])
def test_no_image_at_a_time_is_refused(saved, images, batch):
    with pytest.raises(ValueError, match=f"batch is {batch}; expected at least 1 image"):
        FeatureExtractor.from_pretrained(saved).features(images, batch=batch)


def test_an_extractor_that_is_nowhere_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("nowhere", "a/b/c"):
        with pytest.raises(FileNotFoundError, match=f"^{name} does not exist; expected a folder or a hub id"):
            FeatureExtractor.from_pretrained(name)
    for name in ("no/where", "no/wh ere"):
        with pytest.raises(
            FileNotFoundError, match=f"^{name} is no folder here and cannot be had from the hub .*OWNER/NAME.$"
        ):
            FeatureExtractor.from_pretrained(name, local_files_only=True)
