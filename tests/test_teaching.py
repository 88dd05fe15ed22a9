"""The arms: what reaches the encoder, how loud it is, and that nothing else is disturbed."""

import shutil

import pytest
import torch
import torch.nn.functional as F

from dcac_lite import SCHEMES, Experiment, code_key, make_condition
from dcac_lite.conditioning import CorrelationAware
from dcac_lite.dcac import as_tokens
from dcac_lite.encoder import id_loss
from dcac_lite.paths import PACKAGE
from dcac_lite.pretrained.files import read_tensors
from dcac_lite.runs import Run, _key, run
from dcac_lite.teaching import captions, words
from dcac_lite.teaching.names import ARMS, find
from dcac_lite.teaching.reading import FastPrompts
from dcac_lite.teaching.softness import sum_of_squares
from dcac_lite.teaching.views import next_of_person
from dcac_lite.trainer import step_inputs
from dcac_lite.training import build

BATCH = 16
#: Arms from which the encoder hears nothing; `learned-first` opens later, and `captions-given` needs a file.
SILENT = {"random-probabilities"}
TEACHING = [name for name in ARMS if name not in SILENT | {"learned-first", "captions-given"}]


def experiment_of(arm: str, **options) -> Experiment:
    return Experiment(tier="smoke", conditioning=arm, identities=4, instances=4, precision="no", **options).resolved()


@pytest.fixture(scope="module")
def model(smoke_data):
    """(arm) -> (experiment, model whose classifier is awake, a batch); the batch is the same for all arms."""

    def make(arm: str):
        experiment = experiment_of(arm)
        dcac, _ = build(experiment, smoke_data.identities)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            torch.nn.init.normal_(dcac.reid.classifier.weight, std=0.1)
        dcac.memory.reset(torch.randn(len(smoke_data), dcac.memory.prototypes.shape[1]), smoke_data.labels)
        dcac.train()
        generator = torch.Generator().manual_seed(2)
        labels = torch.arange(BATCH) // 4
        x = torch.randn(BATCH, 3, *experiment.of_tier.image_size, generator=generator)
        latents, noise = torch.randn(2, BATCH, 4, 8, 8, generator=generator)
        return experiment, dcac, (x, labels, latents, noise, torch.randint(1000, (BATCH,), generator=generator))

    return make


def at_z(dcac, batch) -> torch.Tensor:
    """Gradient of L_dif at z [B, d]; zeros where there is none."""
    losses, z = dcac(*batch)
    (gradient,) = torch.autograd.grad(losses["dif"], z, allow_unused=True)
    return torch.zeros_like(z) if gradient is None else gradient


# ---------------------------------------------------------------- what reaches the encoder


@pytest.mark.parametrize("arm", TEACHING)
def test_an_arm_that_teaches_reaches_the_encoder(arm, model):
    _, dcac, batch = model(arm)
    losses, _ = dcac(*batch)
    (gradient,) = torch.autograd.grad(losses["dif"], dcac.reid.visual.proj)
    assert gradient.isfinite().all() and gradient.norm() > 1e-7


def test_an_arm_that_must_not_teach_does_not(model):
    for arm in SILENT:
        assert at_z(*model(arm)[1:]).norm() == 0


@pytest.mark.parametrize("arm", ["random-gradient", "sum-p-squared"])
def test_another_direction_has_the_length_of_dcac_s(arm, model):
    _, dcac, batch = model("correlation-aware")
    ours = at_z(dcac, batch)
    loss = dcac(*batch)[0]["dif"]
    _, other, batch = model(arm)
    found = at_z(other, batch)
    assert torch.allclose(found.norm(dim=1), ours.norm(dim=1), rtol=1e-3)
    assert torch.allclose(other(*batch)[0]["dif"], loss, rtol=1e-5)  # the value is still L_dif
    assert abs(F.cosine_similarity(found, ours).mean()) < 0.9


def test_a_random_direction_is_new_in_every_step_and_the_same_again(model):
    _, dcac, (x, labels, latents, noise, timesteps) = model("random-gradient")
    first, again = (at_z(dcac, (x, labels, latents, noise, timesteps)) for _ in range(2))
    other = at_z(dcac, (x, labels, latents, noise.flip(0), timesteps))
    assert F.cosine_similarity(first, again).min() > 0.999 and F.cosine_similarity(first, other).abs().mean() < 0.3


def test_the_prompts_of_a_placebo_learn_as_dcac_s(model):
    gradients = []
    for arm in ("correlation-aware", "random-gradient"):
        _, dcac, batch = model(arm)
        gradients.append(torch.autograd.grad(dcac(*batch)[0]["dif"], dcac.condition.prompts)[0])
    assert torch.allclose(*gradients, atol=1e-7)


def test_the_gradient_of_the_sum_of_squares_is_autograd_s():
    torch.manual_seed(0)
    z, w = torch.randn(5, 7, requires_grad=True), torch.randn(9, 7)
    (z @ w.t() / 0.3).softmax(1).square().sum().backward()
    assert torch.allclose(sum_of_squares(z, w, 0.3), z.grad, atol=1e-5)


def test_label_smoothing_at_lambda_1_is_that_of_0_3(model):
    _, dcac, batch = model("label-smoothing")
    losses, z = dcac(*batch)
    expected = id_loss(dcac.reid.classifier(z), batch[1], smoothing=0.3) + losses["pcl"]
    assert torch.allclose(losses["total"], expected, rtol=1e-5)


def test_soft_labels_favour_those_who_look_alike(model):
    from dcac_lite.world.truth import look_similarity

    experiment, dcac, _ = model("soft-looks")
    looks = torch.from_numpy(look_similarity(words.people_of(experiment))).float().fill_diagonal_(-1)
    softened = dcac.condition.softened
    assert torch.allclose(softened.sum(1), torch.ones(len(looks))) and softened.diagonal().abs().max() == 0
    assert (softened.argmax(1) == looks.argmax(1)).all()


# ---------------------------------------------------------------- readable prompts


def test_readable_prompts_of_one_token_are_equation_12():
    torch.manual_seed(0)
    paper = make_condition("correlation-aware", 9, 7, 5, 0.3)
    ours = captions.Readable(paper.prompts.detach()[:, None], 0.3)
    logits, z, labels = torch.randn(4, 9), torch.randn(4, 7), torch.arange(4)
    assert torch.allclose(ours(logits, z, labels), as_tokens(paper(logits, z, labels)), atol=1e-6)


def test_several_tokens_are_mixed_one_by_one():
    prompts, logits = torch.randn(9, 3, 5), torch.randn(4, 9)
    p = (logits / 0.3).softmax(1)
    c = captions.Readable(prompts, 0.3)(logits, torch.randn(4, 7), torch.arange(4))
    assert torch.allclose(c[:, 1], p @ prompts[:, 1], atol=1e-5) and c.shape == (4, 3, 5)


def test_controls_change_what_they_say():
    prompts = torch.arange(6.0)[:, None, None].expand(6, 3, 2)
    shuffled = captions.over_identities(prompts)[:, 0, 0]
    assert sorted(shuffled.tolist()) == list(range(6)) and (shuffled != torch.arange(6)).all()
    assert torch.equal(captions.pooled(torch.randn(4, 3, 2) * 0 + 5), torch.full((4, 1, 2), 5.0))


def test_words_are_the_nearest_and_the_lower_garment_follows_the_upper():
    said = {"a person in a red coat": [1.0, 0.0], "a person in a red coat and blue skirt": [0.6, 0.8]}
    texts = lambda lines: torch.tensor([said.get(line, [-1.0, 0.0]) for line in lines])  # noqa: E731
    assert words.choose_words(torch.tensor([[0.6, 0.8], [1.0, 0.0]]), texts) == [
        "a person in a red coat and blue skirt",
        "a person in a red coat",
    ]


def test_true_and_predicted_captions_agree_more_than_by_chance():
    experiment = experiment_of("captions-true")
    true, predicted = words.true_captions(experiment), words.predicted_captions(experiment)
    assert len(true) == len(predicted) == len(words.people_of(experiment))
    colours = [(person.top.colour, caption) for person, caption in zip(words.people_of(experiment), predicted)]
    assert sum(colour in caption.split()[:5] for colour, caption in colours) > len(colours) / 2


def test_a_user_s_captions_are_read_and_are_part_of_the_key(tree):
    experiment = Experiment(tier="smoke", sources=(tree,), conditioning="captions-given").resolved()
    file = tree / "captions.csv"
    with pytest.raises(FileNotFoundError, match="captions.csv does not exist; write a line person,caption"):
        words.given_captions(experiment)
    file.write_text("0001,a person in red\n")
    with pytest.raises(ValueError, match="has no caption of person 2"):
        words.given_captions(experiment)
    file.write_text('0001,a person in red\n0002,"a person in blue , street"\n')
    assert words.given_captions(experiment) == ["a person in red", "a person in blue , street"]
    key = _key(experiment, "data")
    file.write_text("0001,a person in green\n0002,a person in blue\n")
    assert _key(experiment, "data") != key


# ---------------------------------------------------------------- other arms


def test_prompts_learn_faster_by_the_factor():
    torch.manual_seed(0)
    slow = CorrelationAware(6, 4, 3, 0.3)
    torch.manual_seed(0)
    fast = FastPrompts(6, 4, 3, 0.3)
    head = torch.randn(5, 6), torch.randn(5, 4), torch.arange(5)
    assert torch.allclose(slow(*head), fast(*head))  # they start equal
    moved = []
    for module in (slow, fast):
        before, optimizer = module(*head).detach(), torch.optim.Adam([module.prompts], lr=1e-4)
        module(*head).square().sum().backward()
        optimizer.step()
        moved.append((module(*head) - before).norm().item())
    assert moved[1] / moved[0] == pytest.approx(100, rel=0.01)


def test_the_gate_opens_once_the_condition_is_worth_something_and_stays_open(model):
    _, dcac, batch = model("learned-first")
    dcac.worth.fill_(-1.0)
    assert at_z(dcac, batch).norm() == 0 and dcac.opened == 0
    dcac.worth.fill_(1.0)
    dcac(*batch)
    assert dcac.opened == 1
    dcac.worth.fill_(-1.0)
    assert at_z(dcac, batch).norm() > 0 and dcac.opened == 1


def test_contrast_falls_when_the_own_condition_explains_more(model):
    _, dcac, (x, labels, latents, noise, timesteps) = model("contrast")
    dcac.condition.forward = lambda logits, z, labels: z.new_zeros(len(z), 64)  # all alike
    loss = dcac(x, labels, latents, noise, timesteps)[0]["dif"]
    assert loss.item() == pytest.approx(torch.tensor(5.0).log().item(), abs=1e-3)


def test_the_next_picture_of_a_person_is_another_one():
    labels = torch.tensor([2, 0, 2, 1, 0, 2, 1])
    found = next_of_person(labels)
    assert (labels[found] == labels).all() and (found != torch.arange(7)).all()
    assert sorted(found.tolist()) == list(range(7))


def test_an_untrained_unet_is_another_and_always_the_same(smoke_data):
    one, two = (build(experiment_of("random-unet"), smoke_data.identities)[0].unet.state_dict() for _ in range(2))
    trained = build(experiment_of("correlation-aware"), smoke_data.identities)[0].unet.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["conv_in.weight"], trained["conv_in.weight"])


# ---------------------------------------------------------------- pairing, runs and keys


def test_no_arm_disturbs_the_draws_of_its_seed(smoke_data):
    """The Re-ID model starts as the baseline's, and a step sees the baseline's pictures and DCAC's noise."""
    baseline = build(experiment_of("none"), smoke_data.identities)[0].reid.state_dict()
    rows, moments = torch.arange(BATCH), torch.randn(len(smoke_data), 8, 8, 8).half().numpy()
    expected = step_inputs(experiment_of("correlation-aware"), smoke_data, moments, 1.0, rows, 3, "cpu")
    for arm in ARMS:
        if arm != "captions-given":
            state = build(experiment_of(arm), smoke_data.identities)[0].reid.state_dict()
            assert all(torch.equal(state[name], value) for name, value in baseline.items()), arm
        seen = step_inputs(experiment_of(arm), smoke_data, moments, 1.0, rows, 3, "cpu")
        assert all(torch.equal(a, b) for a, b in zip(seen, expected)), arm


def test_an_encoder_that_hears_nothing_ends_as_the_baseline_s():
    """Dropped pairing, or a draw too many, would show here."""
    small = {"tier": "smoke", "epochs": 1, "iterations": 2, "seed": 3}
    baseline, silent = (
        run(Experiment(conditioning=name, **small), progress=False).reid().state_dict()
        for name in ("none", "random-probabilities")
    )
    assert all(torch.allclose(silent[name], value, atol=1e-6) for name, value in baseline.items())


@pytest.mark.parametrize("arm", ["captions-predicted", "soft-looks", "learned-first"])
def test_a_finished_run_comes_back_without_data_and_clip(arm, monkeypatch):
    found = run(Experiment(tier="smoke", conditioning=arm, epochs=1, iterations=1), progress=False)
    for name in ("predicted_captions", "people_of"):
        monkeypatch.setattr(words, name, lambda experiment: pytest.fail("it was made again"))
    state, stored = Run(found.folder).model().state_dict(), read_tensors(found.folder / "model.safetensors")
    assert all(torch.equal(state[name], value) for name, value in stored.items())


def test_a_changed_arm_changes_the_key_of_its_own_runs_only(tmp_path, monkeypatch):
    folder = tmp_path / "package"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    monkeypatch.setattr(code_key, "PACKAGE", folder)
    names = ("none", "correlation-aware", "random-gradient", "sum-p-squared", "captions-true", "contrast")

    def keys():
        for cached in (code_key.code_key, code_key.arm_key, code_key.imports_of):
            cached.cache_clear()
        return {name: _key(experiment_of(name), "data") for name in names}

    before = keys()
    file = folder / "teaching" / "placebo.py"
    file.write_text(file.read_text().replace("// 2", "// 3", 1))
    after = keys()
    monkeypatch.undo()
    keys()
    # softness builds on the placebos
    assert {name for name in names if before[name] != after[name]} == {"random-gradient", "sum-p-squared"}


def test_every_arm_is_found_and_none_is_a_scheme_of_the_paper():
    assert not ARMS.keys() & (SCHEMES.keys() | {"none"})
    assert all(find(name) is not None for name in ARMS)
    assert find("correlation-aware") is None


def test_an_arm_without_a_diffusion_model_has_no_setting_of_one():
    e = Experiment(conditioning="label-smoothing", adaptation="full", tau_c=3.0, lambda_=0.5).resolved()
    assert (e.adaptation, e.rank, e.tau_c, e.lambda_) == ("frozen", 1, 1.0, 0.5)
    assert Experiment(conditioning="label-smoothing").resolved().lambda_ == 1.0
    assert Experiment(conditioning="captions-true", lambda_=3.0).resolved().lambda_ == 3.0


def test_readable_prompts_go_the_way_of_the_full_tier():
    from dcac_lite.tools.rehearsal import prepare

    prepare()
    small = {"tier": "rehearsal", "sources": ("MA",), "epochs": 1, "iterations": 1, "identities": 2, "instances": 2}
    found = run(Experiment(conditioning="captions-predicted", **small), progress=False)
    assert found.model().condition.prompts.shape[1:] == (48, 64)  # tokens and width of the text encoder there
    assert found.history["gradient_dif"].iloc[-1] > 0
