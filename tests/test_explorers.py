"""The explorers and the rank-list figure: what a reader sees after a move."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dcac_lite import TIERS, ReIDModel, load_domain, load_stable_diffusion, rank_metrics
from dcac_lite.book.notebook import Setup, show_figure
from dcac_lite.book.rank_figure import rank_figure
from dcac_lite.data.domains import Split
from dcac_lite.pretrained.clip import load_clip_visual


@pytest.fixture(scope="module")
def model():
    tier = TIERS["smoke"]
    torch.manual_seed(0)
    return ReIDModel(load_clip_visual(tier.clip, tier.image_size), 20).eval()


@pytest.fixture(scope="module")
def domains():
    return {name: load_domain(name, "smoke") for name in ("D", "C3")}


class Brightness:
    """A Re-ID model whose feature is an image's mean grey: distances can be read off the images."""

    def features(self, images):
        return torch.as_tensor(np.asarray(images), dtype=torch.float32).mean((1, 2, 3), keepdim=True).flatten(1) / 100


def grey(levels, pids, cameras) -> Split:
    images = np.stack([np.full((3, 8, 4), level, np.uint8) for level in levels])
    names = tuple(f"{k}.jpg" for k in range(len(levels)))
    return Split(images, np.array(pids), np.array(cameras), names, tuple(map(Path, names)))


QUERY = grey([0, 100], [7, 8], [1, 1])
# person 7 once in the query's own camera, then wrong, right, wrong, right
GALLERY = grey([10, 20, 30, 40, 50], [7, 3, 7, 5, 7], [1, 2, 2, 1, 3])


# ---------------------------------------------------------------- rank lists


def test_rank_figure_marks_and_scores_like_the_protocol():
    figure, listed = rank_figure(Brightness(), QUERY, GALLERY, rows=[0], top=4)
    assert listed["picture"].tolist() == [1, 2, 3, 4]  # the one in the query's camera is left out
    assert listed["right"].tolist() == [False, True, False, True]
    assert listed["distance"].tolist() == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert listed["AP"].iloc[0] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert [axis.get_title() for axis in figure.axes] == ["AP 0.50", "✗ 1", "✓ 2", "✗ 3", "✓ 4"]
    lines = [axis.spines["top"].get_linestyle() for axis in figure.axes]
    assert lines[1] == lines[3] != lines[2] == lines[4] == lines[0]  # not by colour alone


def test_rank_figure_of_several_models_and_of_a_query_without_a_match():
    figure, listed = rank_figure({"one": Brightness(), "two": Brightness()}, QUERY, GALLERY, rows=[0, 1], top=9)
    assert [axis.get_ylabel() for axis in figure.axes[::5]] == ["one", "two", "one", "two"]
    assert listed.groupby("query")["AP"].first().isna().tolist() == [False, True]
    assert not listed[listed["query"] == 1]["right"].any()


def test_rank_figure_of_images_nobody_knows():
    figure, listed = rank_figure(Brightness(), QUERY.images, GALLERY.images, rows=[1], top=2)
    assert listed["picture"].tolist() == [4, 3] and listed["right"].isna().all() and listed["AP"].isna().all()
    assert [axis.get_title() for axis in figure.axes] == ["query", "1", "2"]
    with pytest.raises(ValueError, match="query row 2 is not there: there are 2 queries, so expected 0 to 1"):
        rank_figure(Brightness(), QUERY, GALLERY, rows=[2])


# ---------------------------------------------------------------- explorers


def pictures(explorer) -> list[str]:
    return re.findall(r'src="data:image/png;base64,([^"]+)"', explorer.page.value)


def number(explorer, before: str) -> float:
    return float(re.search(re.escape(before) + r" <b>([-+.\de]+)</b>", explorer.page.value)[1])


def test_noise_explorer_shows_the_schedule_and_a_better_guess_with_less_noise():
    from dcac_lite.book.explorers import explore_noise

    tier = TIERS["smoke"]
    sd = load_stable_diffusion(tier.stable_diffusion, tier.diffusion_size)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    explorer = explore_noise(sd, latents, torch.zeros(2, 1, 64), ["first", "second"], steps=5)
    t, abar = explorer.controls["t"], sd.scheduler.alphas_cumprod
    seen = {}
    for step in t.options:
        t.value = step
        assert number(explorer, "signal-to-noise ratio") == pytest.approx(
            float(abar[step] / (1 - abar[step])), rel=0.01
        )
        seen[step] = pictures(explorer)
    assert len({tuple(p) for p in seen.values()}) == len(t.options) == 5
    assert number(explorer, "(Eq. 3):") < 0.5  # nearly all is noise, so the noise is easy to name
    explorer.controls["picture"].value = 1
    assert pictures(explorer) != seen[t.value] and 'alt="predicted x_0 at timestep 999"' in explorer.page.value
    assert explorer.figure().axes


def test_condition_explorer_follows_the_formulas():
    from dcac_lite.book.explorers import explore_condition

    generator = torch.Generator().manual_seed(0)
    z, logits, labels = (
        torch.randn(6, 16, generator=generator),
        torch.randn(6, 12, generator=generator),
        torch.arange(6),
    )
    images = torch.randint(0, 255, (12, 3, 16, 8), dtype=torch.uint8, generator=generator)
    explorer = explore_condition(images[:6], labels, z, logits, images, tau_c=0.5, dim=32)

    def nearest() -> tuple[int, float]:
        found = re.search(r"\(distance\): <b>#(\d+) \(([.\d]+)\)", explorer.page.value)
        return int(found[1]), float(found[2])

    explorer.controls["tau"].value = 0.01
    assert number(explorer, "Entropy of p:") == 0 and nearest() == (int(logits[0].argmax()), 0)
    explorer.controls["tau"].value = 10
    assert number(explorer, "Entropy of p:") == pytest.approx(np.log(12), abs=0.01)
    assert nearest()[1] > 1
    explorer.controls["scheme"].value = "class-wise-rescaled"
    for tau in (0.01, 10):  # the temperature divides itself away
        explorer.controls["tau"].value = tau
        assert nearest() == (0, 0)
    assert explorer.page.value.count("background:transparent") == 7 + (0 not in logits[0].topk(8).indices)
    explorer.controls["scheme"].value = "instance-wise"
    assert "This scheme has no prompts" in explorer.page.value
    for scheme in explorer.controls["scheme"].options:
        explorer.controls["scheme"].value = scheme
    assert explorer.figure().axes


def test_retrieval_explorer_agrees_with_the_metric(model, domains):
    from dcac_lite.book.explorers import explore_retrieval

    explorer = explore_retrieval({"one": model, "two": model}, domains, classifiers=["one"])
    controls, d = explorer.controls, domains["D"]
    controls["query"].value = 3
    features = model.features(d.query.images[3:4]), model.features(d.gallery.images)
    scores = rank_metrics(*features, d.query.pids[3:4], d.gallery.pids, d.query.cameras[3:4], d.gallery.cameras)
    assert number(explorer, "average precision") == pytest.approx(scores["mAP"] / 100, abs=0.006)
    assert len(pictures(explorer)) == 9 and explorer.page.value.count("✓") + explorer.page.value.count("✗") == 8
    assert explorer.page.value.count("solid #009E73") == explorer.page.value.count("✓")
    plain = pictures(explorer)
    controls["cam"].value = True
    assert not set(pictures(explorer)) & set(plain)
    controls["model"].value = "two"
    assert pictures(explorer) == plain and "No map" in explorer.page.value
    controls["model"].value = "all, one below the other"
    assert len(pictures(explorer)) == 18
    controls["model"].value, controls["query"].value = "one", 0
    controls["order"].value = "worst first"
    worst = number(explorer, "average precision")
    controls["order"].value = "best first"
    assert worst < number(explorer, "average precision")
    controls["query"].value = controls["query"].max
    assert number(explorer, "average precision") == worst
    controls["target"].value = "C3"
    assert controls["query"].max == len(domains["C3"].query) - 1 >= controls["query"].value
    assert "on C3" in explorer.page.value


def test_every_control_is_labelled_and_every_picture_described(model, domains):
    from dcac_lite.book.explorers import explore_retrieval

    explorer = explore_retrieval({"one": model}, domains, classifiers=[])
    for control in explorer.controls.values():
        assert control.description and control.tooltip
    assert all(re.search(r'alt="[^"]{5,}"', tag) for tag in re.findall("<img[^>]+>", explorer.page.value))


# ---------------------------------------------------------------- figures with a text alternative


ALT = "A line that rises from one to two, to have something to describe here."


@pytest.fixture
def figure():
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(1, 1))
    axis.plot([1, 2])
    yield figure
    plt.close(figure)


def test_a_saved_figure_is_shown_described_and_captioned(figure, tmp_path, monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from PIL import Image
    from traitlets.config import Config

    entry = {"caption": "A line from {start} to two.", "alt": ALT}
    monkeypatch.setattr("dcac_lite.book.notebook.captions", lambda: {"03_line": entry})
    InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    try:
        with capture_output() as shown:
            Setup(TIERS["smoke"], tmp_path).save(figure, "03_line", values={"start": "one"})
    finally:
        InteractiveShell.clear_instance()
    picture = shown.outputs[0]
    assert picture.metadata["image/png"]["alt"] == ALT and "image/png" in picture.data
    assert ALT in shown.outputs[1].data["text/html"]
    assert shown.outputs[2].data["text/markdown"] == "**Figure 3.1.** A line from one to two."
    assert f"<title>{ALT}</title>" in (tmp_path / "03_line.svg").read_text()
    assert Image.open(tmp_path / "03_line.png").text["Description"] == ALT


def test_a_figure_without_a_description_is_refused(figure):
    with pytest.raises(ValueError, match="alt is 'a line': expected a sentence of at least 40 characters"):
        show_figure(figure, "a line")


# ---------------------------------------------------------------- who is that?


def test_the_game_asks_answerable_questions_and_counts(domains):
    from dcac_lite.book.who_is_that import WhoIsThat

    d = domains["D"]
    game = WhoIsThat(d, count=6)
    for now in game.rounds:
        person, camera = d.query.pids[now.query], d.query.cameras[now.query]
        people, cameras = d.gallery.pids[list(now.rows)], d.gallery.cameras[list(now.rows)]
        assert len(set(people)) == 5 and (people > 0).all()
        assert (people == person).nonzero()[0].tolist() == [now.answer] and len({*cameras, camera}) == 2
    shown = game.children[0].value
    assert shown.count("<img") == 6 and "✓" not in shown
    buttons = game.children[1].children
    buttons[game.rounds[0].answer].click()
    assert "✓" in game.children[0].value and "1 of 1 right" in game.children[2].value
    assert all(button.disabled for button in buttons[:-1])
    buttons[-1].click()
    assert "Query 2 of 6" in game.children[0].value and not buttons[0].disabled
    buttons[(game.rounds[1].answer + 1) % 5].click()
    assert "✗" in game.children[0].value and "1 of 2 right" in game.children[2].value
    for now in game.rounds[2:]:
        buttons[-1].click()
        buttons[now.answer].click()
    assert "5 of 6 right" in game.children[2].value and all(button.disabled for button in buttons)
    assert len(game.figure(2).axes) == 12


def test_a_model_plays_the_game(model, domains):
    from dcac_lite.book.who_is_that import WhoIsThat

    class Knows:
        def features(self, images):
            known = {
                d.images[k].tobytes(): d.pids[k]
                for d in (game.domain.query, game.domain.gallery)
                for k in range(len(d))
            }
            return torch.nn.functional.one_hot(
                torch.tensor([int(known[i.tobytes()]) + 1 for i in images]), 2000
            ).float()

    game = WhoIsThat(domains["D"], count=8)
    assert game.right_answers(Knows()) == 8 and 0 <= game.right_answers(model) <= 8
