"""What the tests of wrong data share: an outcome is a right result or a sentence of ours,
and nothing is half written."""

import io
import traceback
from pathlib import Path

import numpy as np
from PIL import Image

import dcac_lite

SIZE = (32, 16)
OURS = (ValueError, FileNotFoundError, PermissionError, OSError)
PACKAGE = str(Path(dcac_lite.__file__).parent)


def photograph(kind="JPEG", seed=0):
    """The bytes of a picture with something on it."""
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 4, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((48, 96), Image.Resampling.BICUBIC).save(stream, kind, quality=90)
    return stream.getvalue()


def outcome(read, case, *named):
    """What `read` returns, or its error, which must be a sentence of ours that names one of `named`."""
    try:
        return read()
    except Exception as error:
        message = str(error)
        assert type(error) in OURS, f"{case}: {type(error).__name__}: {message}"
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        assert last.startswith(PACKAGE), f"{case}: raised in {last}: {message}"
        assert any(name in message for name in named), f"{case}: names none of {named}: {message}"
        rest = message.replace(max((n for n in named if n in message), key=len), "")
        assert message.endswith(".") and len(rest) < 600, f"{case}: no sentence: {message[:2000]}"
        return error


def nothing_half_written(folder, case):
    left = [str(p) for p in Path(folder).rglob(".*part*")]
    assert not left, f"{case}: left {left}"
