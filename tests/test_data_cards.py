"""The data cards: valid cards of the hub, complete, and every number that can be checked agrees with the code."""

import re
from dataclasses import fields

import pandas as pd
import pytest
from huggingface_hub import DatasetCard, ModelCard

from dcac_lite.cards import domains as domain_card
from dcac_lite.cards.command import CARDS, generated
from dcac_lite.cards.markdown import fill
from dcac_lite.data.clothes import CLOTHES_DATASETS
from dcac_lite.data.registry import DATASETS
from dcac_lite.paths import LITE_WEIGHTS
from dcac_lite.world.plan import DISTRACTOR, JUNK, plan
from dcac_lite.world.report import write
from dcac_lite.world.specs import DOMAINS, Nuisance
from dcac_lite.world.verdicts import ANY

#: Card of each data set of the paper -> its name in the code.
PAPER = {"market1501": "MA", "dukemtmc-reid": "D", "msmt17": "MS", "cuhk03-np": "C3"}
CLOTHES = ("prcc", "ltcc", "ccvid", "vc-clothes", "last")
#: Numbers that a card quotes from elsewhere and that follow from nothing: other counts in circulation, years apart.
QUOTED = {
    "market1501": {2_798, 2_793, 500_000},
    "dukemtmc-reid": {36_441, 7_000, 2_000},
    "cuhk03-np": {1_367, 13_164, 1_360},
    "ltcc": {17_138},
    "vc-clothes": {4_324},
    "last": {20_000, 20_275, 10_176, 125_353, 70_923, 20_584, 133_214},
}
SECTIONS = ["Role", "Origin", "Size", "Splits and protocol", "Files", "Licence and terms", "How to get it",
            "People and consent", "Versions and traps", "Ethics", "Citation", "Sources"]  # fmt: skip
SIZES = {"10K<n<100K": (10_000, 100_000), "100K<n<1M": (100_000, 1_000_000)}

each_set = pytest.mark.parametrize("name", [*PAPER, *CLOTHES])
each_card = pytest.mark.parametrize("path", sorted(CARDS.glob("*.md")), ids=lambda p: p.stem)


def text(name: str) -> str:
    return (CARDS / f"{name}.md").read_text()


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


def tables(markdown: str) -> list[list[dict[str, str]]]:
    """Every table of a card: a list of rows, each a dict from column to cell."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", markdown, re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def sizes(name: str) -> dict[str, dict[str, str]]:
    """The rows of a card's size table by split."""
    section = text(name).split("\n## Size\n")[1].split("\n## ")[0]
    (table,) = tables(section)
    return {row["split"]: row for row in table}


# ---------------------------------------------------------------- form


@each_set
def test_front_matter_is_complete(name):
    data = DatasetCard(text(name)).data
    assert data.pretty_name and "person-re-identification" in data.tags
    assert "image-feature-extraction" in data.task_categories
    assert data.license in ("apache-2.0", "cc-by-nc-sa-4.0") or (
        data.license == "other" and data.to_dict()["license_name"]
    )
    least, most = SIZES[data.size_categories[0]]
    assert least < sum(number(row["images"]) for row in sizes(name).values()) < most


def test_the_shipped_cards_have_front_matter():
    assert {DatasetCard(text(name)).data.license for name in ("lite-domains", "clothes-domains")} == {"mit"}
    model = ModelCard(text("lite-weights")).data
    assert model.license == "mit" and model.datasets == ["lite-domains"]


@each_set
def test_sections_are_all_there(name):
    found = re.findall(r"^## (.+)$", text(name), re.MULTILINE)
    assert [section for section in found if section != "Withdrawal"] == SECTIONS


@each_set
def test_citation_is_bibtex(name):
    (block,) = re.findall(r"```bibtex\n(.*?)```", text(name), re.DOTALL)
    entries = re.findall(r"^@\w+\{\w+,$.*?^\}$", block, re.MULTILINE | re.DOTALL)
    assert entries and "".join(entries).replace("\n", "") == block.replace("\n", "")
    for entry in entries:
        assert all(
            re.search(rf"^  {field}\s+= \{{.+\}},?$", entry, re.MULTILINE) for field in ("title", "author", "year")
        )
        assert entry.count("{") == entry.count("}")


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@each_card
def test_links_resolve(path):
    content = path.read_text()
    for target in re.findall(r"\]\(([^)]+)\)", content):
        file, _, anchor = target.partition("#")
        assert (CARDS / file).exists(), f"{path.name} links to {target}"
        if anchor:
            assert anchor in {slug(h) for h in re.findall(r"^#+ (.+)$", (CARDS / file).read_text(), re.MULTILINE)}


def test_the_index_lists_every_card():
    assert {p.name for p in CARDS.glob("*.md")} - {"README.md"} == set(re.findall(r"\((\S+\.md)\)", text("README")))


# ---------------------------------------------------------------- numbers


def equations(content: str) -> list[tuple[str, str]]:
    """Every sum or difference that a card writes out: ("5", "2 + 3")."""
    return re.findall(r"([\d,]+) = ([\d,]+(?: [+-] [\d,]+)+)", content)


def numbers(content: str) -> set[int]:
    """Every number with a thousands separator."""
    return {number(n) for n in re.findall(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\w,])", content)}


@each_set
def test_totals_are_sums(name):
    content = text(name)
    if total := re.search(r"^Together ([\d,]+) images", content, re.MULTILINE):
        assert number(total[1]) == sum(number(row["images"]) for row in sizes(name).values())
    found = equations(content)
    assert found
    for left, right in found:
        terms = re.findall(r"([+-]?) ?([\d,]+)", right)
        assert number(left) == sum(-number(n) if sign == "-" else number(n) for sign, n in terms), f"{left} = {right}"


@each_set
def test_every_large_number_is_accounted_for(name):
    content = text(name)
    images = {number(row["images"]) for row in sizes(name).values()}
    in_sums = {number(n) for pair in equations(content) for n in re.findall(r"[\d,]+", " ".join(pair))}
    code = {n for d in DATASETS.values() if d.name.split("-")[0] == PAPER.get(name) for n in (*d.images, d.identities)}
    assert numbers(content) <= images | {sum(images)} | in_sums | code | QUOTED.get(name, set())
    for row in sizes(name).values():
        others = {n for column, n in row.items() if column not in ("split", "images", "note", "tracklets")} - {
            "not stated"
        }
        assert {number(n) for n in others} <= in_sums
    tracklets = [number(row["tracklets"]) for row in sizes(name).values() if "tracklets" in row]
    assert not tracklets or f"Tracklets: {sum(tracklets):,} = " in content


@pytest.mark.parametrize(("name", "short"), PAPER.items())
def test_cards_agree_with_the_registry(name, short):
    dataset = DATASETS[short]
    rows, content = sizes(name), text(name)
    assert tuple(number(rows[split]["images"]) for split in ("train", "query", "gallery")) == dataset.images
    assert f"\nCameras: {dataset.cameras}." in content
    people = {split: number(row["identities"]) for split, row in rows.items()}
    assert people["train"] + people["gallery"] == dataset.identities and people["query"] <= people["gallery"]
    assert all(f"`{folder}/`" in content for folder in dataset.folders)
    assert (short == "D") == ("withdrawn" in dataset.note) == ("\n## Withdrawal\n" in content)
    for other in DATASETS.values():
        if other.name.startswith(f"{short}-"):
            assert f"`{other.name}`" in content and all(f"{n:,}" in content for n in other.images)


@pytest.mark.parametrize("name", CLOTHES)
def test_cards_of_clothes_changing_sets_agree_with_their_reader(name):
    dataset, rows, content = CLOTHES_DATASETS[name], sizes(name), text(name)
    images = {split: number(row["images"]) for split, row in rows.items()}
    of_test = sum(n for split, n in images.items() if split not in ("train", "val"))
    assert (images["train"], of_test) == (dataset.images[0], sum(dataset.images[1:]))
    if "query" in images:
        assert (images["query"], images["gallery"]) == dataset.images[1:]
    people = {split: number(row["identities"]) for split, row in rows.items() if split not in ("query", "val")}
    assert sum(people.values()) == dataset.identities
    assert not dataset.cameras or f"\nCameras: {dataset.cameras}." in content
    assert (
        dataset.outfits is None or f"{dataset.outfits} outfits" in content or f"Outfits: {dataset.outfits}" in content
    )
    tracklets = tuple(number(row["tracklets"]) for row in rows.values() if "tracklets" in row)
    assert tracklets == (dataset.tracklets or ()) and f"\n{dataset.folders[0]}/\n" in content


def test_the_index_repeats_the_cards():
    rows = {re.match(r"\[(\S+)\]", row["card"])[1]: row for table in tables(text("README")) for row in table}
    for name, short in PAPER.items():
        assert rows[name]["name"] == short
        assert {s: rows[name][s] for s in ("train", "query", "gallery")} == {
            s: row["images"] for s, row in sizes(name).items()
        }
        assert f"\nCameras: {rows[name]['cameras']}." in text(name)
    generated = 0
    for name in CLOTHES:
        assert rows[name]["train"] == sizes(name)["train"]["images"]
        added = number(rows[name]["generated by DLCR"].split()[0])
        assert added == 10 * number(rows[name]["train"])
        generated += added
    assert generated == 2_267_820  # the total that DLCR prints


def test_the_lite_domains_card_compares_with_table_1():
    compared = " ".join(text("lite-domains").split("The paper's Table 1 for comparison: ")[1].split())
    for short in PAPER.values():
        title = DATASETS[short].title.split(",")[0]
        assert f"{title} {' / '.join(f'{n:,}' for n in DATASETS[short].images)}" in compared


def test_domain_card_counts_what_the_plan_draws():
    table = next(t for t in tables(text("lite-domains")) if "train ids" in t[0])
    assert [row["domain"] for row in table] == list(DOMAINS)
    for row in table:
        records = plan(DOMAINS[row["domain"]])
        of = lambda split: [r for r in records if r.split == split]  # noqa: E731
        pids = lambda split: {r.pid for r in of(split)} - {DISTRACTOR, JUNK}  # noqa: E731
        drawn = {
            "cameras": len({r.camera for r in records}),
            "train ids": len(pids("train")),
            "test ids": len(pids("gallery") | pids("query")),
            "train": len(of("train")),
            "query": len(of("query")),
            "gallery": sum(r.pid != JUNK for r in of("gallery")),
            "of these distractors": sum(r.pid == DISTRACTOR for r in records),
            "junk": sum(r.pid == JUNK for r in records),
        }
        assert drawn == {column: number(cell) for column, cell in row.items() if column != "domain"}


@pytest.fixture(scope="module")
def blocks():
    return generated()


@pytest.mark.parametrize("name", ["lite-domains", "clothes-domains", "lite-weights"])
def test_generated_blocks_are_those_of_the_code(blocks, name):
    assert fill(text(name), blocks[name]) == text(name), "out of date: python -m dcac_lite cards"


def test_a_block_that_is_not_there_is_one_sentence():
    card = "a\n<!-- begin x -->\n{}<!-- end x -->\nb"
    assert fill(card.format("old\n"), {"x": "right"}) == card.format("\nright\n\n")
    with pytest.raises(ValueError, match="The card has no block 'y'"):
        fill(text("lite-domains"), {"y": ""})


def test_references_that_were_measured_stand_in_the_card_with_the_verdicts(tmp_path, monkeypatch):
    rows = [
        {"reference": name, "kind": kind, "source": source, "target": target, "mAP": mAP, "R1": mAP + 10}
        for source, name, kind, values in (
            (ANY, "zero-shot CLIP", "zero-shot", (4.0, 5.0)),
            ("MA", "raw pixels", "pixels", (10.0, 4.0)),
            ("MA", "fine-tuned encoder", "fine-tuned", (70.25, 30.0)),
        )
        for target, mAP in zip(("MA", "D"), values)
    ]
    monkeypatch.setattr(domain_card, "figures_root", lambda: tmp_path)
    assert "references" not in domain_card.blocks()
    write(pd.DataFrame(rows), tmp_path / "results" / "world-report.csv")
    block = domain_card.blocks()["references"]
    (table,) = tables(block)
    assert [list(row.values()) for row in table] == [
        ["zero-shot CLIP", "4.0 / 14.0", "5.0 / 15.0"],
        ["raw pixels", "10.0 / 20.0", "4.0 / 14.0"],
        ["fine-tuned encoder", "70.2 / 80.2", "30.0 / 40.0"],
    ]
    assert list(table[0]) == ["trained on MA: mAP / R1", "MA", "D"]
    assert "* MA: holds: fine-tuned encoder on source domains" in block and "* MA: not measured: oracle" in block
    assert block in fill(text("lite-domains"), {"references": block})


def test_every_field_of_a_nuisance_is_in_one_of_two_tables():
    of_cameras = domain_card.OF_CAMERAS
    assert [f.name for f in fields(Nuisance)][: len(of_cameras)] == [*of_cameras]
    both = [table[0] for table in tables(text("lite-domains")) if {"haze", "turn [rad]"} & set(table[0])]
    assert len(both) == 2 and sum(map(len, both)) == 2 + len(fields(Nuisance))


def test_weight_card_lists_the_shipped_files():
    listed = {row["file"].strip("`") for t in tables(text("lite-weights")) if "SHA-256" in t[0] for row in t}
    assert listed == {str(f.relative_to(LITE_WEIGHTS)) for f in LITE_WEIGHTS.rglob("*.safetensors")}
