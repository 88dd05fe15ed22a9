"""The measures of the generative system say what they say: planted people, planted vectors, known answers."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dcac_lite import load_domain
from dcac_lite.__main__ import main
from dcac_lite.book import inversion_figures as draw
from dcac_lite.inversion import measures
from dcac_lite.inversion.bank import Bank
from dcac_lite.inversion.likeness import likeness_of_wrong_answers
from dcac_lite.inversion.people import People
from dcac_lite.inversion.recipe import FULL


@pytest.fixture(scope="module")
def twelve():
    """Twelve people of one colour each, eight pictures each by two cameras, with noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 8)
    images = rng.integers(0, 200, (12, 3, 1, 1))[labels] + rng.integers(0, 56, (96, 3, 8, 4))
    return People(torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels), 12), np.resize([1, 2], 96)


def test_the_judge_knows_the_half_that_it_has_not_seen(twelve):
    people, cameras = twelve
    rows = measures.half_of(people.labels)
    assert all(rows[people.labels == k].sum() == 4 for k in range(12))
    judge, held = measures.Judge(people, cameras, rows), torch.from_numpy(~rows)
    assert judge.share_right(people.images[held], people.labels[held]) > 90
    assert judge.share_right(people.images[held], (people.labels[held] + 1) % 12) < 10


def test_how_much_pictures_of_one_person_differ():
    images = torch.tensor([0, 20, 100, 140, 7], dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 3, 8, 4)
    labels = torch.tensor([0, 0, 1, 1, 2])  # the last has one picture and does not count
    assert measures.within(images, labels) == pytest.approx(np.sqrt((2 * 10**2 + 2 * 20**2) / 2))


def test_spread_and_nearness_of_invented_people():
    rows = torch.randn(60, 32, generator=torch.Generator().manual_seed(0))
    assert measures.spread_kept(rows, rows) == 1 and measures.nearness(rows, rows) == 0  # by heart
    assert measures.spread_kept(rows / 2 + 3, rows) == pytest.approx(0.5)
    strangers = torch.randn(200, 32, generator=torch.Generator().manual_seed(1))
    assert measures.nearness(strangers, rows) == pytest.approx(1, abs=0.1)


class Brightness(nn.Module):
    """Reads a vector of two numbers from a picture: its first channel's mean, and nothing."""

    def forward(self, x):
        return torch.stack([x[:, 0].mean((1, 2)), torch.zeros(len(x))], 1)


def test_what_is_read_from_pictures_and_named_by_the_table():
    rows = torch.tensor([[0.0, 0.0], [0.4, 0], [0.8, 0]])
    labels = torch.arange(30) % 3
    images = (255 * rows[labels, :1, None, None]).round().byte().expand(30, 3, 8, 4)
    people = People(images, labels, 3)
    assert measures.explained(Brightness(), Bank(images, rows[labels])) == pytest.approx(100, abs=0.1)
    assert measures.named_by_table(Brightness(), people, rows) == 100
    assert measures.explained(Brightness(), Bank(images, -rows[labels])) < 0
    assert measures.named_by_table(Brightness(), people, rows.roll(1, 0)) == 0


def test_distances_of_pairs_stand_in_the_order_of_the_triangle():
    rows = torch.tensor([[0.0, 0], [3, 4], [0, 1]])
    assert measures.pair_distances(rows).tolist() == pytest.approx([5, 1, np.sqrt(18)])


def test_what_is_shown_of_noises_vectors_and_protocols():
    noise = torch.tensor([-9.0, -2.5, 0, 2.5, 9]).view(5, 1, 1, 1)
    assert draw.noise_to_eye(noise).flatten().tolist() == [0, 0, 128, 255, 255]
    walk = draw.moved(torch.zeros(3), 1, torch.tensor([-1.0, 2]))
    assert walk.tolist() == [[0, -1, 0], [0, 2, 0]]
    assert draw.widest(torch.tensor([[0.0, 0, 0], [1, 3, 2]]), 2) == [1, 2]
    table = pd.DataFrame({"features": ["pixels", "net"], "mAP": [1.0, 5.0], "code mAP": [4.0, 9.0]})
    (axis,) = draw.protocols_figure(table).axes
    assert [t.get_text() for t in axis.get_yticklabels()] == ["pixels", "net"] and axis.yaxis_inverted()
    (axis,) = draw.distances_figure({"mine": np.array([1.0, 2, 3])}).axes
    assert axis.get_legend().get_texts()[0].get_text() == "mine"


def test_parameters_are_counted_with_the_table():
    paper = measures.parameters(FULL, rows=1502)
    assert list(paper.values()) == [9_883_651, 592_416, 12_641_600, 9_572_115]


def test_the_comparison_has_a_row_for_everything(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DCAC_RUNS", str(tmp_path))
    main(["inversion", "arms", "--tier", "smoke", "--teachers", "classes", "--leak"])
    table = pd.read_csv(tmp_path / "results" / "inversion.csv")
    assert f"{len(table)} rows in" in capsys.readouterr().out
    assert list(table.features) == [
        "the same network, a classifier on real pictures",
        "Img2ID, generator has seen the test people",
        "Img2ID, not trained",
        "raw pixels",
        "PCA-whitened pixels",
        "LDA on pixels",
        "weighted LDA on pixels",
    ]
    assert (table["code mAP"] > table["mAP"]).all()  # near-duplicates of the query count there
    assert list(table.seed) == [0, 0, 0, -1, -1, -1, -1] and table.named.isna().all()
    assert len(list(tmp_path.rglob("generator-*.safetensors"))) == 1  # a classifier needs none


def test_wrong_answers_are_as_alike_as_what_the_features_know():
    domain = load_domain("MA", "smoke")

    class Blind:
        def features(self, images):
            return torch.randn(len(images), 8, generator=torch.Generator().manual_seed(len(images)))

    class Colours:
        def features(self, images):  # of the middle of the picture, where clothes are
            return torch.from_numpy(images[:, :, 20:40, 12:20].mean((2, 3)).astype(np.float32))

    blind, colours = (likeness_of_wrong_answers(reader, domain, "smoke") for reader in (Blind(), Colours()))
    assert 35 < blind < 65
    assert colours > 65


# ---------------------------------------------------------------- the explorer


def test_the_explorer_of_cards_moves_one_and_names_the_nearest_person():
    from dcac_lite.book.card_explorer import explore_cards
    from dcac_lite.inversion.generator import Generator

    torch.manual_seed(0)
    generator = Generator(6, 4, (4, 8), 1).eval()
    torch.nn.init.normal_(generator.denoiser.unet.head.weight, 0, 0.5)  # which starts at 0 and would not see the card
    rows = generator.table.vectors.detach()
    photographs = lambda person: [np.full((3, 8, 4), 40 * person, np.uint8)] * 2  # noqa: E731
    explorer = explore_cards(generator, (8, 4), 3, photographs, directions=2, noises=3)

    def seen() -> tuple[int, float, list[str]]:
        page = explorer.page.value
        found = re.search(r"person is #(\d), at a distance of <b>([.\d]+)</b>", page)
        return int(found[1]), float(found[2]), re.findall(r'base64,([^"]+)"', page)

    distance = (rows - rows.mean(0)).norm(dim=1)
    person, far, pictures = seen()
    assert person == int(distance.argmin()) and far == pytest.approx(float(distance.min()), abs=0.006)
    assert len(pictures) == 3 and f"photograph 2 of training person {person}" in explorer.page.value
    explorer.controls["noise"].value = 2
    assert seen()[:2] == (person, far) and seen()[2][0] != pictures[0]  # another drawing of the same card
    before = seen()[2][0]
    explorer.controls["a0"].value = 2.0
    assert seen()[2][0] != before and "the card at +2 SD, 0 SD, noise 3" in explorer.page.value
    assert explorer.said.value.startswith("The nearest training person is #") and "<b>" not in explorer.said.value
    assert all(control.description and control.tooltip for control in explorer.controls.values())
    assert len(explorer.figure().axes) == 20


# ---------------------------------------------------------------- what is where


def test_the_variance_of_drawings_is_shared_out_among_their_two_inputs():
    from dcac_lite.inversion.inputs import components

    rng = np.random.default_rng(0)
    person, noise, both = rng.normal(size=(30, 1, 5)), rng.normal(size=(1, 30, 5)), rng.normal(size=(30, 30, 5))
    assert components(3 * person + noise + both * 0)["person"] == pytest.approx(90, abs=4)
    found = components(both)  # nothing but the two together
    assert found["both"] == pytest.approx(100, abs=3) and abs(found["person"]) < 3
    assert sum(components(person + noise + both).values()) == pytest.approx(100)


def test_readers_of_vectors_and_noises_know_what_was_planted():
    from dcac_lite.inversion import contents

    rng = np.random.default_rng(0)
    words = rng.choice(["front", "back", "side"], 300)
    planted = rng.normal(size=(300, 20)) + 2 * (words == "front")[:, None] - 2 * (words == "back")[:, None]
    known = contents.reader(planted[:200], words[:200]).predict(planted[200:]) == words[200:]
    blind = contents.reader(rng.normal(size=(200, 20)), words[:200]).predict(rng.normal(size=(100, 20))) == words[200:]
    assert known.mean() > 0.9 and blind.mean() < 0.5


def test_the_table_of_contents_counts_every_picture_of_people_with_a_name():
    from dcac_lite.inversion import contents
    from dcac_lite.inversion.system import Setting, System

    system = System(Setting(tier="smoke"))
    table = contents.contents(system)
    test = contents.known_people(system.domain.query, system.domain.gallery)
    assert set(table["question"]) == set(contents.QUESTIONS) and (test.pids > 0).all()
    assert table.groupby("question")["pictures"].sum().eq(len(test.pids)).all()
    each = table[[*contents.FEATURES, contents.BLIND]]
    assert each.ge(0).all(axis=None) and each.le(table["pictures"], axis=0).all(axis=None)
    right = each[table["question"] == "camera"].sum() / len(test.pids)
    assert right["raw pixels"] > right["Gaussian, as many as pixels"]


# ---------------------------------------------------------------- the rejected inventor


def test_a_vae_huddles_the_more_the_dearer_its_divergence():
    from dcac_lite.inversion.recipe import SMOKE
    from dcac_lite.inversion.vae import train_vae

    rows = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1
    recipe = replace(SMOKE, auxiliary_steps=300, auxiliary_lr=3e-3)
    z = torch.randn(500, 4, generator=torch.Generator().manual_seed(1))
    cheap, dear = (train_vae(rows, weight, recipe, 0).draw(z) for weight in (0.05, 20.0))
    assert measures.spread_kept(cheap, rows) > 0.7 and measures.spread_kept(dear, rows) < 0.2
    assert dear.mean(0) == pytest.approx(rows.mean(0), abs=0.5)


def test_rivals_are_compared_seed_by_seed():
    from dcac_lite.inversion.rivals import WEIGHTS, rivals
    from dcac_lite.inversion.system import Setting, System

    system = System(Setting(tier="smoke"))
    _ = system.generator
    table = rivals(system, [0, 1])
    assert len(table) == 2 * (2 + len(WEIGHTS)) and table["people from"].nunique() == 2 + len(WEIGHTS)
    known = table[table["people from"] == "Gaussians"]
    assert known["spread kept"].to_numpy() == pytest.approx([1, 1], abs=0.1)
    assert known["nearness"].iloc[0] != known["nearness"].iloc[1]


def test_shares_and_differences_are_written_with_intervals_over_people():
    from dcac_lite.book import inversion_contents as readers
    from dcac_lite.inversion.contents import BLIND, FEATURES, QUESTIONS

    each = {name: [2, 3, 1, 4] for name in (*FEATURES, BLIND)} | {readers.NOISE: [3, 4, 2, 5]}
    one = pd.DataFrame({"person": range(4), "pictures": 5} | each)
    table = pd.concat([one.assign(question=question) for question in QUESTIONS])
    share, low, high = readers.read_right(table, "camera", readers.VECTOR)
    assert share == 50 and low < 50 < high
    assert readers.read_right(table, "camera", readers.NOISE, readers.VECTOR) == pytest.approx((20, 20, 20))
    row = readers.compared(table).iloc[1]
    assert row["question"].startswith("camera") and row["noise less vector"] == "+20.0 [+20.0, +20.0]"
    assert len(readers.contents_figure(table).axes) == len(QUESTIONS)
    grids = pd.DataFrame({"of": "pixels", "grid": [0, 1], "person": [10.0, 12], "noise": [80.0, 78], "both": 10.0})
    assert readers.moved_by(grids)["person"][0].startswith("11.0 [")
    seeds = pd.DataFrame({"people from": "VAE", "seed": [0, 1], "spread kept": [0.5, 0.7], "nearness": [0.25, 0.75]})
    assert readers.inventors(seeds)["spread kept"].tolist() == ["0.60 (0.50 to 0.70)"]
