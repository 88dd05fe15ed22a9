"""One line of progress that leaves nothing behind: text in a terminal, text in a notebook, never a widget."""

import io
import os
import sys

#: What a line leaves in a notebook.
NOTHING = {"text/html": ""}


def line(items=None, text: str = "", total: int | None = None, unit: str = "it", hidden: bool = False):
    """A tqdm over `items` (or one to `update` by hand, up to `total`) that says `text` and disappears when it is
    done. In a notebook it is one plain text output, so a saved notebook holds no dead widget. `hidden`, or
    TQDM_DISABLE in the environment, shows nothing."""
    from tqdm.std import tqdm

    quiet = hidden or bool(os.environ.get("TQDM_DISABLE"))
    look = {"desc": text, "total": total, "unit": unit, "disable": quiet, "leave": False, "mininterval": 0.5}
    if quiet or not _in_notebook():
        return tqdm(items, **look)

    class Line(tqdm):
        monitor_interval = 0  # its thread would write into other cells

        @staticmethod
        def status_printer(file):
            from IPython.display import DisplayHandle

            handle = DisplayHandle()
            handle.display({"text/plain": ""}, raw=True)
            return lambda now: handle.update({"text/plain": now} if now else NOTHING, raw=True)

    return Line(items, **look, file=io.StringIO(), ascii=False)


def over(text: str):
    """For functions with a parameter `progress`: wraps their iterator in a `line` that says `text`."""
    return lambda items: line(items, text)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
