"""What imports what: no circle, and what is public where editors look for it."""

import ast
from graphlib import TopologicalSorter

import dcac_lite
from dcac_lite.code_key import imports_of, module_file
from dcac_lite.paths import PACKAGE

MODULES = sorted(
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
    for file in PACKAGE.rglob("*.py")
    if file.name != "__init__.py"
)


def test_no_import_runs_in_a_circle():
    """Counted are imports inside functions too: to import late hides a circle and does not open it."""
    order = list(TopologicalSorter({module: imports_of(module) for module in MODULES}).static_order())
    assert sorted(order) == MODULES


#: What the equations are read in.
METHOD = ("encoder", "memory", "diffusion", "adaptation", "conditioning", "dcac", "augment", "sampling", "evaluation")


def test_the_method_reads_no_weight_files():
    reached, waiting = set(), set(METHOD)
    while waiting:
        reached.add(module := waiting.pop())
        waiting |= imports_of(module) - reached
    assert not [name for name in reached if name.startswith(("pretrained", "release", "lite_weights"))]
    for module in METHOD:
        text = module_file(module).read_text(encoding="utf-8")
        assert not [
            word for word in ("safetensors", "from_pretrained", "torch.load", "import open_clip") if word in text
        ], module


def test_editors_see_what_is_public():
    """The imports that only type checkers follow name what `__getattr__` finds, at the same places."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    seen = {n.name: i.module for i in ast.walk(tree) if isinstance(i, ast.ImportFrom) and i.level for n in i.names}
    assert seen == dcac_lite._HOMES and (PACKAGE / "py.typed").is_file()
