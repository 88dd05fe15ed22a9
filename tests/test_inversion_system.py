"""The stages of the generative system: they learn what is planted, go on after a stop, and are found again."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dcac_lite.__main__ import main
from dcac_lite.inversion import bank, system, training
from dcac_lite.inversion.auxiliary import like_a_gaussian, train_auxiliary
from dcac_lite.inversion.bank import Bank, draw_bank
from dcac_lite.inversion.generator import train_generator
from dcac_lite.inversion.img2id import Img2ID, train_on_bank, train_on_classes, train_on_pairs
from dcac_lite.inversion.img2noise import regenerated, train_img2noise
from dcac_lite.inversion.people import People, people_of, shrunk
from dcac_lite.inversion.recipe import SMOKE
from dcac_lite.inversion.reid import code_protocol, read_vectors, scores
from dcac_lite.inversion.system import Setting, System

TINY = replace(SMOKE, size=(8, 4), depths=(8, 8), dim=4, precision="no", bank=12, picture_steps=3, vector_steps=10)


@pytest.fixture(scope="module")
def two():
    """Two people, one red and one blue, with a little noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = rng.integers(0, 40, (40, 3, 8, 4))
    images[np.arange(40), 2 * labels] += 180
    return People(torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels), 2)


@pytest.fixture(scope="module")
def trained(two, tmp_path_factory):
    recipe = replace(TINY, generator_steps=150, generator_batch=16, generator_lr=5e-3)
    return train_generator(two, recipe, 0, tmp_path_factory.mktemp("generator") / "state.pt")


def redness(pictures) -> torch.Tensor:
    return (pictures[:, 0] - pictures[:, 2]).mean((1, 2))


# ---------------------------------------------------------------- each stage learns


def test_the_generator_draws_who_is_asked_for(trained):
    generator, history = trained
    assert history[-1]["step"] == 150 and history[-1]["loss"] < 0.6 * history[0]["loss"]
    z = torch.randn(8, 3, 8, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        red, blue = (generator.draw(z, generator.table.vectors[[k] * 8], 5) for k in (0, 1))
    assert redness(red).mean() > 0.3 and redness(blue).mean() < -0.3
    assert not generator.training and generator.table.vectors.std() > 0.05  # the vectors left their start


def test_the_auxiliary_generator_draws_from_what_it_saw(tmp_path):
    rows = torch.tensor([[2.0, 0.1, 0, 0], [-2.0, 0, 0.1, 0.2]])
    recipe = replace(TINY, auxiliary_steps=300, auxiliary_lr=2e-3)
    auxiliary, _ = train_auxiliary(rows, recipe, 0, tmp_path / "state.pt")
    with torch.no_grad():
        drawn = auxiliary.draw(torch.randn(64, 4, generator=torch.Generator().manual_seed(0)), 50)
    gaussian = like_a_gaussian(rows, 2000, torch.Generator().manual_seed(0))
    assert torch.allclose(gaussian.std(0), rows.std(0, correction=0), rtol=0.1, atol=1e-6)
    by_heart, at_random = (torch.cdist(x, rows).min(1).values.median() for x in (drawn, gaussian))
    assert by_heart < 0.5 * at_random


def test_img2id_reads_a_vector_from_a_picture(two, tmp_path):
    rows = torch.tensor([[1.0, 0, 0, -1], [0, 2, 0, 1]])
    recipe = replace(TINY, img2id_steps=60)
    of_bank = train_on_bank(Bank(two.images, rows[two.labels]), recipe, 0, tmp_path / "bank.pt")[0]
    of_pairs = train_on_pairs(two, rows, recipe, 0, tmp_path / "pairs.pt")[0]
    for net in (of_bank, of_pairs):
        assert (read_vectors(net, two.images) - rows[two.labels]).square().mean() < 0.1
    classes = read_vectors(train_on_classes(two, recipe, 0, tmp_path / "classes.pt")[0], two.images)
    apart, within = (torch.cdist(classes[two.labels == 0], classes[two.labels == k]).mean() for k in (1, 0))
    assert apart > 5 * within


def test_img2noise_gives_the_picture_again(trained, two, tmp_path):
    generator, vectors = trained[0], trained[0].table.vectors[two.labels].detach()
    pictures = two.images.float() / 255
    net = train_img2noise(
        generator, Bank(two.images, vectors), replace(TINY, img2noise_steps=40), 0, tmp_path / "s.pt"
    )[0]
    with torch.no_grad():
        before = regenerated(lambda x: torch.zeros_like(x), generator, pictures, vectors, 3)
        after = regenerated(net, generator, pictures, vectors, 3)
    assert (after - pictures).abs().mean() < 0.9 * (before - pictures).abs().mean()


# ---------------------------------------------------------------- stopped, and found again


def test_a_stage_that_was_stopped_ends_in_the_same_weights(two, tmp_path, monkeypatch):
    recipe = replace(TINY, generator_steps=20, generator_batch=4)
    whole, history = train_generator(two, recipe, 3, tmp_path / "whole.pt")
    step, calls = training.torch.optim.Adam.step, []

    def killed(self, *rest):
        calls.append(1)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return step(self, *rest)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training.torch.optim.Adam, "step", killed)
        train_generator(two, recipe, 3, tmp_path / "part.pt")
    again, resumed = train_generator(two, recipe, 3, tmp_path / "part.pt")
    assert resumed == history
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values()))
    other = train_generator(two, recipe, 4, tmp_path / "other.pt")[0]
    assert not torch.equal(whole.table.vectors, other.table.vectors)


def test_a_bank_is_drawn_once_and_goes_on(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "PART", 5)
    vectors = trained[0].table.vectors.detach()[torch.arange(12) % 2]
    whole = draw_bank(tmp_path, trained[0], vectors, TINY, 0)
    assert whole.images.shape == (12, 3, 8, 4) and whole.images.dtype == torch.uint8
    files = sorted(tmp_path.iterdir())
    assert [f.name for f in files] == [f"part-000{k}.safetensors" for k in range(3)]
    files[1].unlink()
    kept = files[0].stat().st_mtime_ns
    assert torch.equal(draw_bank(tmp_path, trained[0], vectors, TINY, 0).images, whole.images)
    assert files[0].stat().st_mtime_ns == kept
    content = bytearray(files[2].read_bytes())
    content[-1] ^= 255
    files[2].write_bytes(content)
    with pytest.raises(ValueError, match="part-0002.safetensors is damaged"):
        draw_bank(tmp_path, trained[0], vectors, TINY, 0)


def test_the_whole_system_is_trained_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    main(["inversion", "train", "--tier", "smoke", "--teachers", "auxiliary", "classes"])
    assert str(tmp_path) in capsys.readouterr().out
    made = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*.safetensors")}
    assert len(made) == 6 and not list(tmp_path.rglob("*.partial"))
    for stage in ("generator", "auxiliary", "img2id", "img2noise"):  # nothing of it may be trained again

        def never(*rest):
            raise AssertionError

        for name in [n for n in vars(system) if n.startswith("train_")]:
            monkeypatch.setattr(system, name, never)
    again = System(Setting(tier="smoke"))
    assert again.img2id().training is False and again.generator.table.vectors.shape == (24, 32)
    assert again.bank("auxiliary").images.shape == (SMOKE.bank, 3, *SMOKE.size)
    assert again.history("generator")[-1]["step"] == SMOKE.generator_steps
    assert {f: f.stat().st_mtime_ns for f in made} == made
    with pytest.raises(ValueError, match="stage is 'img2noise'; expected one that has been asked for: img2id-auxil"):
        again.history("img2noise")
    with pytest.raises(AssertionError):  # another seed is another system
        _ = System(Setting(tier="smoke", seed=1)).generator
    main(["inversion", "rank", "--tier", "smoke", "--teachers", "classes"])
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "classes"


def test_shipped_weights_are_of_this_architecture():
    """The package's own weights load into the lite recipe, and reading them trains nothing."""
    files = sorted(system.SHIPPED.glob("*.safetensors"))
    if not files:
        pytest.skip("no weights are shipped")
    assert sum(f.stat().st_size for f in files) < 8 * 2**20
    shipped = System()
    assert shipped.generator.table.vectors.std() > 0.05
    assert isinstance(shipped.img2id(), Img2ID) and shipped.auxiliary.hidden and shipped.img2noise.down
    assert {f.stem for f in files} == {"generator", "auxiliary", "img2id-auxiliary", "img2noise"}
    assert all(shipped.history(f.stem)[-1]["step"] > 0 for f in files)


# ---------------------------------------------------------------- pictures and protocols


def test_a_smaller_picture_is_the_mean_of_what_it_covers():
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 4), np.uint8)
    small = shrunk(images, (4, 2)).numpy()
    assert np.abs(small - images.reshape(3, 3, 4, 2, 2, 2).mean((3, 5))).max() <= 0.5
    assert (shrunk(images, (8, 4)).numpy() == images).all()


def test_the_leak_adds_the_test_people_and_nobody_else(tiny_domain):
    train, leaky = (people_of(tiny_domain, (64, 32), leak) for leak in (False, True))
    known = [s.pids[s.pids > 0] for s in (tiny_domain.query, tiny_domain.gallery)]
    assert len(leaky.images) == len(train.images) + sum(map(len, known))
    assert leaky.identities == train.identities + len(np.unique(np.concatenate(known)))
    assert torch.equal(leaky.images[: len(train.images)], train.images)


@pytest.fixture
def tiny_domain():
    from dcac_lite import load_domain

    return load_domain("MA", "smoke")


def test_two_protocols_on_the_worked_example():
    """Hits at places 1, 3 and 5, the first of them from the query's own camera."""
    from types import SimpleNamespace

    query = SimpleNamespace(pids=np.array([7]), cameras=np.array([1]))
    gallery = SimpleNamespace(pids=np.array([7, 1, 7, 2, 7]), cameras=np.array([1, 1, 2, 2, 3]))
    places = torch.tensor([[1.0], [2], [3], [4], [5]])
    both = scores(torch.zeros(1, 1), places, SimpleNamespace(query=query, gallery=gallery))
    assert both == pytest.approx({"mAP": 50.0, "R1": 0.0, "code mAP": 75.56, "code R1": 33.33}, abs=0.01)
    nobody = code_protocol(torch.zeros(2, 1), torch.cat([torch.arange(1.0, 31), torch.tensor([50.0])])[:, None],
                           np.array([7, 1]), np.array([1] * 30 + [7]))  # fmt: skip
    assert nobody["code R1"] == pytest.approx((100 + 100 / 25) / 2)  # 7 is not among the first 25 and counts as found


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "--tier", "smoke", "--teachers", "nobody"], "teacher is 'nobody'; expected one of auxiliary, rows"),
        (["train", "--tier", "smoke", "--seed", "-1"], "seed is -1; expected a whole number of at least 0"),
        (["rank", "--tier", "smoke", "--source", "XX"], "domain is 'XX'; expected one of MA"),
        (["train", "--tier", "smoke", "--in-place"], "--in-place is for the weights that are shipped"),
        (["contents", "--tier", "smoke", "--in-place"], "--in-place is for the lite tier"),
        (["train", "--tier", "large"], "invalid choice: 'large'"),
    ],
)
def test_wrong_words_are_refused_in_a_sentence(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    with pytest.raises(SystemExit, match="2"):
        main(["inversion", *words])
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_stage_of_another_shape_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    monkeypatch.setitem(system.RECIPES, "smoke", replace(TINY, generator_steps=1))
    wrong = System(Setting(tier="smoke"))
    _ = wrong.generator
    (file,) = tmp_path.rglob("generator-*.safetensors")
    (record,) = tmp_path.rglob("generator-*.json")
    assert json.loads(record.read_text())["setting"]["tier"] == "smoke"
    state = system.read_tensors(file)
    system.write_tensors(state | {"table.vectors": torch.zeros(3, 4)}, file)
    with pytest.raises(ValueError, match=r"table.vectors is \[3, 4\] instead of \[24, 4\]"):
        _ = System(Setting(tier="smoke")).generator
