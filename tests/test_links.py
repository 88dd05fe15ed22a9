"""What README, cards, notebooks and Makefile say can be typed, opened and imported, can be."""

import json
import pkgutil
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.__main__ import parser as benchmarks_parser
from dcac_lite.__main__ import DOORS, parse
from dcac_lite.paths import CLONE
from dcac_lite.studies.study import STUDIES
from dcac_lite.tiers import TIERS

MAKEFILE = (CLONE / "Makefile").read_text()
README = CLONE / "README.md"
DOCUMENTS = [README, *(CLONE / f"{name}.md" for name in ("GLOSSARY", "TROUBLESHOOTING", "WORKSHOP"))]
DOCUMENTS += [*sorted(CLONE.glob("data_cards/*.md")), *sorted(CLONE.glob("notebooks/**/*.ipynb"))]
FOLDERS = "dcac_lite|benchmarks|notebooks|figures|tests|data_cards"


def markdown(path: Path) -> str:
    """A document's text; of a notebook its markdown cells."""
    if path.suffix == ".md":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def typed(text: str) -> Iterator[str]:
    """What is shown as code: the lines of fenced blocks without comments, and what stands between backticks."""
    fence = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for block in fence.findall(text):
        for line in block.replace("\\\n", "").splitlines():
            yield re.sub(r"(^|\s)#.*", "", line)
    yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", fence.sub("", text)))


def refusal(command: str) -> str | None:
    """Why a command cannot be typed, or None where it can or is none of ours."""
    if match := re.search(r"-m (dcac_lite|benchmarks)\b([^\"]*)", command):
        try:
            words = shlex.split(match[2])
            parse(words) if match[1] == "dcac_lite" else benchmarks_parser().parse_args(words)
        except SystemExit:
            return f"`{command.strip()}` is refused"
    for words in re.findall(r"^make ([^&|;]+)", command.strip()):
        for word in words.split():
            name, _, value = word.partition("=")
            line = f"\n{name} ?=" if "=" in word else f"\n{name}:"  # a variable, or a target
            line = "\ntable-%:" if re.fullmatch(r"table-([2-9]|10)", word) else line  # a target for every table
            if line not in MAKEFILE or (name == "TIER" and value not in TIERS):
                return f"`{command.strip()}`: there is no {word} in the Makefile"
    return None


def problems(text: str, folder: Path) -> list[str]:
    """Everything in a document in `folder` that leads nowhere."""
    found = [why for command in typed(text) if (why := refusal(command))]
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?:|mailto:|#", target) and not (folder / target.partition("#")[0]).exists():
            found.append(f"links to {target}")
    for mentioned in re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*", text):
        if not (CLONE / mentioned.rstrip(".")).exists():
            found.append(f"mentions {mentioned}")
    for name in re.findall(r"(?<![\w./-])(?:dcac_lite|benchmarks)(?:\.[A-Za-z_]\w*)+", text):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            found.append(f"names {name}")
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_what_is_said_can_be_done(path):
    assert problems(markdown(path), path.parent) == []


def test_whatever_one_wants_to_do_is_one_command_or_one_link():
    section = README.read_text().split("## What do you want to do?")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| (.+) \|$", section, re.MULTILINE)[1:]
    ours = re.compile(r"make |papermill |voila |.*-m dcac_lite ")
    for wish, answer in rows:
        commands = [code for code in re.findall(r"`([^`]+)`", answer) if not code.startswith("--")]
        assert commands or "](" in answer, wish
        assert all(ours.match(command) and not refusal(command) for command in commands), wish
    assert len(rows) >= 10
    assert parse(["rank", "ENCODER", "./mine", "--rerank"]).rerank


def test_commands_for_contributors_are_there():
    commands = [code for code in typed(markdown(CLONE / "CONTRIBUTING.md")) if "-m dcac_lite" in code]
    assert len(commands) > 5 and not [why for code in commands if (why := refusal(code))]


@pytest.mark.parametrize(
    "text",
    [
        "```bash\npython -m dcac_lite trian\n```",
        "```bash\npython -m dcac_lite train --sed 3 --sedd 4  # why not\n```",
        "`python -m dcac_lite.tools.train`",
        "`accelerate launch --num_processes 4 -m dcac_lite trains --tier full`",
        '```bash\nsbatch --wrap \\\n  "accelerate launch -m dcac_lite train --teir full"\n```',
        "`python -m benchmarks al`",
        "`make reproduced`",
        "`make reproduce TIER=large`",
        "`make test SIZE=full`",
        "`make table-11`",
        "[here](no-such-card.md)",
        "see `dcac_lite/tools/trian.py`.",
        "in `dcac_lite.tiers.FULLL`",
    ],
)
def test_what_leads_nowhere_is_found(text):
    assert len(problems(text, README.parent)) == 1


def test_the_makefile_opens_doors_that_are_there():
    recipes = MAKEFILE.replace("$(TIER)", "lite")
    for study in re.search(r"for study in (.*?);", recipes)[1].split():
        assert study in STUDIES
    commands = re.findall(r"python -m dcac_lite [^\n;|]*", recipes.replace("$$study", "comparison"))
    assert len(commands) == recipes.count("-m dcac_lite") and not [why for c in commands if (why := refusal(c))]
    for told in re.findall(r"^# (make [\w-]+)", MAKEFILE, re.MULTILINE):
        assert not refusal(told)


def test_the_code_names_doors_that_are_there():
    for path in [*CLONE.glob("dcac_lite/**/*.py"), *CLONE.glob("notebooks/*.ipynb")]:
        for door in re.findall(r"-m dcac_lite ([\w-]+)", path.read_text()):
            assert door in DOORS or door == "DOOR", f"{path.name} names {door}"


def test_readme_s_map_names_what_is_there():
    section = README.read_text().split("## Where things are")[1].split("\n## ")[0]
    modules = {path.stem for path in CLONE.glob("dcac_lite/**/*.py")}
    assert set(re.findall(r"`([a-z_]+)`", section)) <= modules
    folders = {path.parent.name for path in CLONE.glob("dcac_lite/*/__init__.py")}
    assert folders == set(re.findall(r"`dcac_lite/(\w+)/`", section)) - {"weights"}
    named = set(re.findall(r"`([a-z_]+)`", section))
    assert {path.stem for path in CLONE.glob("dcac_lite/[a-z]*.py")} <= named
