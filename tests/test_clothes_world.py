"""The clothes-changing world: who wears what, which pictures are taken, and the same picture in other clothes."""

from collections import Counter, defaultdict
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dcac_lite import training_set
from dcac_lite.data.registry import FOLDERS
from dcac_lite.expansion import domains as domains_module
from dcac_lite.expansion.domains import (
    clothes_spec,
    file_name,
    load_clothes,
    protocols_of,
    truth_of,
    write_clothes_domain,
)
from dcac_lite.expansion.protocols import Dressed, clothes_metrics
from dcac_lite.expansion.specs import CLOTHES_DOMAINS, ClothesSpec
from dcac_lite.expansion.wardrobe import Body, Outfit, catalogue, dressed, passers_by, wearers
from dcac_lite.expansion.world import in_other_clothes, photograph, plan, worn_mask
from dcac_lite.world.appearance import Appearance
from dcac_lite.world.renderer import Camera, render

CP, CL = CLOTHES_DOMAINS["CP"], CLOTHES_DOMAINS["CL"]
TINY = replace(CP, train_ids=3, test_ids=2, train=18, query=8, gallery=6)
each = pytest.mark.parametrize("spec", CLOTHES_DOMAINS.values(), ids=lambda s: s.name)


def test_a_body_and_an_outfit_are_a_person():
    names = {f.name for f in fields(Appearance)} - {"hat", "bag", "bag_side"}
    of_body, of_outfit = ({f.name for f in fields(kind)} for kind in (Body, Outfit))
    assert of_body | of_outfit == names and not of_body & of_outfit
    wearer = wearers(CP)[0]
    people = [dressed(wearer.body, outfit) for outfit in wearer.outfits]
    assert [Outfit.of(p) for p in people] == list(wearer.outfits) and people[0] != people[1]
    assert len({(p.skin_rgb, p.hair, p.build, p.height) for p in people}) == 1
    assert people[0].hat is people[0].bag is None


@each
def test_strangers_dress_alike_in_test_and_less_in_training(spec):
    everyone = wearers(spec)
    assert len(catalogue(spec)) == spec.catalogue and all(len(set(w.numbers)) == len(w.outfits) for w in everyone)
    alike = []
    for people in (everyone[: spec.train_ids], everyone[spec.train_ids :]):
        worn = Counter(n for w in people for n in w.numbers)
        alike.append(np.mean([worn[n] > 1 for w in people for n in w.numbers]))
    assert (
        alike[1] > 0.6 > 0.45 > alike[0]
        and max(n for w in everyone[spec.train_ids :] for n in w.numbers) < spec.in_fashion
    )


@each
def test_the_plan_is_what_the_spec_says(spec):
    records = plan(spec)
    counts = Counter(r.split for r in records)
    assert counts == {"train": spec.train, "query": spec.query, "gallery": spec.gallery}
    assert [r.index for r in records] == list(range(len(records)))
    people = {split: {r.pid for r in records if r.split == split} for split in FOLDERS}
    assert len(people["train"]) == spec.train_ids and people["query"] == people["gallery"]
    assert len(people["query"]) == spec.test_ids and not people["train"] & people["query"]
    assert all(1 <= r.camera <= spec.cameras and r.outfit < len(wearers(spec)[r.person].outfits) for r in records)
    seen = defaultdict(set)
    for r in records:
        seen[r.person, r.outfit].add(r.camera)
    if spec.settings is None:
        assert np.mean([len(c) > 1 for c in seen.values()]) > 0.9  # the same clothes are seen elsewhere, too
        corners = Counter((r.person, r.outfit, r.camera) for r in records if r.split == "query")
        assert max(corners.values()) == 1
    else:
        assert {tuple(sorted(c)) for c in seen.values()} == {(1, 2), (3,)}
        assert {r.camera for r in records if r.split == "gallery"} == {1}


@each
def test_who_reads_bodies_finds_everybody_and_who_reads_clothes_is_led_astray(spec):
    everyone = wearers(spec)

    def read(number_of) -> dict[str, dict[str, float]]:
        """Scores of somebody who reads one number from each picture, without error, and nothing else."""
        parts = []
        for split in ("query", "gallery"):
            records = [r for r in plan(spec) if r.split == split]
            ids = np.array([[r.pid, r.camera, 10 * r.pid + r.outfit] for r in records]).T
            parts.append(
                Dressed(F.one_hot(torch.tensor([number_of(r) for r in records]), spec.catalogue).float(), *ids)
            )
        return {name: clothes_metrics(*parts, protocol) for name, protocol in protocols_of(spec.name).items()}

    assert all(scores["mAP"] == 100 for scores in read(lambda r: r.person).values())
    clothes = read(lambda r: everyone[r.person].numbers[r.outfit])
    same, changed = clothes["same clothes"], clothes["clothes-changing"]
    assert changed["R1"] == 0 and changed["mAP"] < 10 < 25 < same["mAP"] < 80  # ties count against the reader
    assert changed["queries"] > (0.5 if spec.settings else 0.8) * spec.query


def test_more_outfits_change_nothing_but_the_clothes_of_training():
    few, many = CP.with_outfits(2), CP.with_outfits(5)
    one, other = plan(few), plan(many)
    strip = lambda records: [replace(r, outfit=0) for r in records]  # noqa: E731
    assert strip(one) == strip(other) and few == CP
    assert [r for r in one if r.split != "train"] == [r for r in other if r.split != "train"]
    for a, b in zip(wearers(few), wearers(many)):
        assert a.body == b.body and b.outfits[: len(a.outfits)] == a.outfits
    assert {len(w.outfits) for w in wearers(many)[: CP.train_ids]} == {5}
    assert len({r.outfit for r in other if r.person == 0}) == 5
    changed = next(k for k, (a, b) in enumerate(zip(one, other)) if a.outfit != b.outfit)
    x, y = photograph(few, one[changed]), photograph(many, other[changed])
    assert x.shot.pose == y.shot.pose and x.shot.light == y.shot.light and np.array_equal(x.shot.patch, y.shot.patch)
    assert not np.array_equal(x.picture.image, y.picture.image)
    for wrong in (1, 11, True, 2.5):
        with pytest.raises(ValueError, match="CP can have 2 to 10"):
            CP.with_outfits(wrong)
    assert CL.with_outfits(1).train_outfits == 1


def test_backgrounds_belong_to_nobody():
    """Patches of one person at one camera differ as much as those of different people."""
    records = [r for r in plan(CP) if r.split == "train" and r.camera == 1][:40]
    patches = [(r.person, photograph(CP, r).shot.patch.tobytes()) for r in records]
    own = [a == b for k, (p, a) in enumerate(patches) for q, b in patches[:k] if p == q]
    assert len(own) > 20 and np.mean(own) < 0.05


# ---------------------------------------------------------------- the same picture in other clothes


@pytest.fixture(scope="module")
def samples():
    return [photograph(CP, r) for r in plan(CP)[:60:3]]


def test_other_clothes_leave_everything_else(samples):
    outfit = catalogue(CP)[5]
    for sample in samples:
        again = in_other_clothes(sample, Outfit.of(sample.shot.person))
        assert np.array_equal(again.image, sample.picture.image)
        other, mask = in_other_clothes(sample, outfit), worn_mask(sample)
        assert not mask.any() or (other.image[mask] != sample.picture.image[mask]).any()
        head = sample.picture.body_mask & ~mask & (np.arange(64)[:, None] < 12)  # a limb may be bare now
        assert np.abs(other.image[head].astype(int) - sample.picture.image[head]).sum() < 12 * 3 * max(1, head.sum())
        assert not (mask & ~sample.picture.body_mask).any()


def test_the_mask_spares_skin_and_hair(samples):
    """Painted in one colour each, under a plain camera: what is masked has the clothes' colour."""
    sample = next(s for s in samples if worn_mask(s).sum() > 200)
    person = sample.shot.person
    garment = lambda g: replace(g, rgb=(0.0, 0.0, 250.0), second_rgb=(0.0, 0.0, 250.0))  # noqa: E731
    piece = lambda p: p and replace(p, rgb=(0.0, 0.0, 250.0))  # noqa: E731
    dyed = {n: garment(getattr(person, n)) for n in ("top", "bottom")}
    dyed |= {f.name: piece(getattr(person, f.name)) for f in fields(Outfit) if f.name not in dyed}
    dyed |= {"skin_rgb": (250.0, 0.0, 0.0), "hair": piece(person.hair) and replace(person.hair, rgb=(250.0, 0.0, 0.0))}
    grey = np.full_like(sample.shot.patch, 100)
    plain = {"light": type(sample.shot.light)(), "camera": Camera(), "resolution": 1.0, "motion": 0.0, "patch": grey}
    shot = replace(sample.shot, person=replace(person, **dyed), occluder=None, passer_by=None, **plain)
    image, mask = render(shot).image.astype(int), worn_mask(replace(sample, shot=shot, picture=render(shot)))
    blue, red = image[..., 2] - image[..., 0], image[..., 0] - image[..., 2]
    assert (blue[mask] > 20).mean() > 0.97 and mask[blue > 150].all() and not mask[red > 150].any()


# ---------------------------------------------------------------- on disk


def test_a_picture_depends_on_its_index_and_on_nothing_else():
    indices = (5, 700, 123, 1900)
    first = [photograph(CL, plan(CL)[k]).picture.image for k in indices]
    for cached in (plan, wearers, catalogue, passers_by):
        cached.cache_clear()
    again = [photograph(CL, plan(CL)[k]).picture.image for k in reversed(indices)]
    assert np.array_equal(first, again[::-1])


def test_a_domain_is_drawn_once_and_again_when_it_has_changed(tmp_path, monkeypatch):
    folder = write_clothes_domain(TINY, tmp_path)
    drawn = []
    monkeypatch.setattr(domains_module, "photograph", lambda *a: drawn.append(a) or photograph(*a))
    assert write_clothes_domain(TINY, tmp_path) == folder and not drawn
    victim = next((folder / "query").iterdir())
    before = victim.read_bytes()
    victim.write_bytes(b"half")
    assert write_clothes_domain(TINY, tmp_path) == folder and len(drawn) == 32 and victim.read_bytes() == before
    assert write_clothes_domain(TINY.with_outfits(3), tmp_path) != folder
    assert not list(tmp_path.glob(".*part*"))


def test_what_is_read_is_what_was_drawn_and_its_truth_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_DATA", str(tmp_path))
    monkeypatch.setitem(domains_module.CLOTHES_DOMAINS, "CP", TINY)
    domain, spec = load_clothes("CP", "lite"), clothes_spec("CP")
    for split in (domain.train, domain.query, domain.gallery):
        for image, pid, clothes, sample in zip(
            split.images, split.pids, split.clothes, truth_of(spec, split.names), strict=True
        ):
            assert np.array_equal(image.transpose(1, 2, 0), sample.picture.image)
            assert sample.record.pid == pid and clothes == 10 * pid + sample.record.outfit
    assert training_set([domain]).identities == 3
    assert load_clothes("CP", "lite", outfits=4).fingerprint != domain.fingerprint
    with pytest.raises(ValueError, match="no picture of the domain CP; expected a name such as 0001_c1s1_000000_00"):
        truth_of(spec, ["0002_c1s1_000000_00.png"])
    assert file_name(plan(spec)[0]) == "0001_c1s1_000000_00.png"


WRONG = {
    "'MA' is no clothes-changing domain; choose one of CP, CL, CX, CV": ("MA", "lite", None),
    "tier is 'full'; the clothes-changing domains are drawn in smoke and lite": ("CP", "full", None),
    "1 outfits a person; CP can have 2 to 10": ("CP", "lite", 1),
    "prcc is a real data set; expected a tier and no number": ("prcc", "full", 3),
}


@pytest.mark.parametrize(("sentence", "asked"), WRONG.items())
def test_what_cannot_be_loaded_is_one_sentence(sentence, asked):
    with pytest.raises(ValueError, match=sentence):
        load_clothes(*asked)


def test_a_real_data_set_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("DCAC_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="PRCC is not at"):
        load_clothes("prcc", "full")


def test_the_smoke_tier_has_a_slice():
    spec = clothes_spec("CL", "smoke")
    assert isinstance(spec, ClothesSpec) and len(plan(spec)) < 500 and spec.worn == CL.worn
