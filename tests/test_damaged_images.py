"""Damaged images end in a sentence of ours or in a right result."""

import random
import shutil
import struct
import zlib

import numpy as np
import pytest
from fuzzing import SIZE, nothing_half_written, outcome, photograph

from dcac_lite import read_dataset


def png_of(width, height, data=b""):
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))  # noqa: E731
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def damages():
    rng = random.Random(1)
    for kind in ("JPEG", "PNG"):
        whole = photograph(kind)
        for _ in range(20):
            at = rng.randrange(1, len(whole))
            yield f"{kind} cut after {at} of {len(whole)} bytes", whole[:at], whole
        for at in range(1, 6):
            yield f"{kind} without its last {at} bytes", whole[:-at], whole
        for count in (1, 1, 1, 3, 3, 10, 10, 30, 100):
            broken = bytearray(whole)
            for at in rng.sample(range(len(whole)), count):
                broken[at] ^= 1 << rng.randrange(8)
            yield f"{kind} with {count} bits flipped", bytes(broken), None
        for _ in range(4):
            at = rng.randrange(len(whole) - 80)
            yield f"{kind} with 64 zero bytes at {at}", whole[:at] + bytes(64) + whole[at + 64 :], None
            yield f"{kind} without 64 bytes at {at}", whole[:at] + whole[at + 64 :], None
        yield f"{kind} with text behind it", whole + b"some text", whole
        yield f"{kind} after text", b"some text" + whole, b""
    yield "no bytes", b"", b""
    yield "text", b"<html>404 Not Found</html>", b""
    yield "zeros", bytes(5000), b""
    yield "noise", rng.randbytes(5000), b""
    yield "JPEG's first bytes only", b"\xff\xd8\xff\xe0", b""
    yield "PNG's first bytes only", b"\x89PNG\r\n\x1a\n", b""
    for width, height in (
        (2**31 - 1, 2**31 - 1),
        (100_000, 100_000),
        (12_000, 10_000),
        (20_000, 3_000),
        (0, 0),
        (0, 9),
        (5, 4),
    ):
        yield f"PNG that claims {width} x {height}", png_of(width, height), b""
    yield (
        "a text block that unpacks to a gigabyte",
        photograph("PNG")[:33] + _text_bomb() + photograph("PNG")[33:],
        None,
    )


def _text_bomb():
    packed = zlib.compressobj(9)
    body = b"k\0\0" + b"".join(packed.compress(bytes(10**6)) for _ in range(80)) + packed.flush()
    return struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_damaged_images(tree, tmp_path):
    """Cut images are refused unless nothing of the picture was lost; other damage may go unnoticed,
    because JPEG has no checksum, but gives a whole image or a sentence."""
    victim = tree / "query" / "0003_c1_2.jpg"
    cases = list(damages())
    assert len(cases) > 90
    refused = 0
    for case, content, same_as in cases:
        victim.write_bytes(content)
        shutil.rmtree(tmp_path / "decoded", ignore_errors=True)
        result = outcome(lambda: read_dataset(tree, SIZE), case, victim.name)
        nothing_half_written(tmp_path, case)
        if isinstance(result, Exception):
            refused += 1
            assert type(result) is ValueError, case
            continue
        assert result.query.images.shape == (1, 3, *SIZE) and result.query.images.dtype == np.uint8, case
        assert same_as != b"", f"{case}: was read"
        if same_as is not None:
            victim.write_bytes(same_as)
            assert np.array_equal(result.query.images, read_dataset(tree, SIZE).query.images), f"{case}: other pixels"
    assert refused > 50
