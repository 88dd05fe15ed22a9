"""Image files become arrays: once, whole or not at all, and only what is a picture."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from folders import SIZE, market
from PIL import Image

from dcac_lite import read_dataset
from dcac_lite.data import decoding


def test_decoding_happens_once_and_again_when_a_file_changes(tmp_path, monkeypatch):
    root = market(tmp_path / "mine")
    first = read_dataset(root, SIZE)
    decoded = sorted((tmp_path / "decoded").glob("*.npy"))
    times = [p.stat().st_mtime_ns for p in decoded]
    assert len(decoded) == 3
    again = read_dataset(root, SIZE)
    assert [p.stat().st_mtime_ns for p in decoded] == times and np.array_equal(first.train.images, again.train.images)
    path = root / "query" / first.query.names[0]
    content, status = path.read_bytes(), path.stat()
    other = market(tmp_path / "elsewhere", query=("0009_c1",)) / "query" / "0009_c1_0.jpg"
    same_size = other.read_bytes()[: len(content)].ljust(len(content), b"\0")
    path.write_bytes(same_size)  # neither name nor size tells
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    changed = read_dataset(root, SIZE)
    assert changed.fingerprint != first.fingerprint and not np.array_equal(changed.query.images, first.query.images)


def test_decoded_files_go_where_the_user_says_and_are_whole_or_absent(tmp_path, monkeypatch):
    root = market(tmp_path / "mine")
    (root / "query" / "0003_c1_5.jpg").write_bytes(b"no picture")
    monkeypatch.setenv("DCAC_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match="0003_c1_5.jpg is not a readable image"):
        read_dataset(root, SIZE)
    assert [p.name.split("-")[1] for p in (tmp_path / "cache").glob("*.npy")] == ["train"] and not (
        tmp_path / "decoded"
    ).exists()
    assert not list((tmp_path / "cache").glob(".*"))
    (root / "query" / "0003_c1_5.jpg").unlink()
    assert len(read_dataset(root, SIZE).query) == 1


def test_a_killed_build_leaves_nothing_in_use(tmp_path):
    root = market(tmp_path / "mine", train=[f"{k:04d}_c1" for k in range(1, 40)])
    code = (
        "import os, signal, sys; from pathlib import Path; from dcac_lite.data.domains import read_dataset\n"
        "def kill(items):\n"
        "    for k in items:\n"
        "        if k == 20: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield k\n"
        "read_dataset(Path(sys.argv[1]), (64, 32), progress=kill)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(root)]).returncode == -9
    assert list((tmp_path / "decoded").glob(".*.part.npy")) and not list((tmp_path / "decoded").glob("[!.]*.npy"))
    (root / "query" / "0003_c1_0.jpg").rename(
        root / "query" / "0003_c1_1.jpg"
    )  # the next attempt may be another data set
    (root / "bounding_box_train" / "0001_c1_0.jpg").rename(root / "bounding_box_train" / "0001_c1_9.jpg")
    domain = read_dataset(root, SIZE)
    assert domain.train.images[38].any() and not list((tmp_path / "decoded").glob(".*.part.npy"))


def test_a_full_disk_is_told_before_the_work_starts(tmp_path, monkeypatch):
    root = market(tmp_path / "mine")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(decoding.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        OSError, match=r"mine need 24.6 kB in .*decoded, which did not work \(1.0 kB are free\).*DCAC_CACHE"
    ):
        read_dataset(root, SIZE)
    assert not list(tmp_path.glob("decoded/*"))


def test_a_read_only_place_is_refused_in_a_sentence():
    folder = Path(tempfile.mkdtemp())  # pytest's own folder is closed to other users
    try:
        market(folder / "mine")
        folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(OSError, match="decoded, which did not work .*Permission denied.* set DCAC_CACHE"):
                read_dataset(folder / "mine", SIZE)
        finally:
            os.seteuid(os.getuid())
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def gradient():
    y, x = np.mgrid[0:40, 0:20]
    return np.stack([y * 6, x * 12, 255 - y * 6], -1).astype(np.uint8)


def png_of_16_bits(pixels):
    """A PNG file of uint8 [h, w, 2 to 4] as grey and alpha, RGB or RGBA of 16 bits a channel, all opaque."""
    height, width, channels = pixels.shape
    wide = pixels.astype(">u2") * 257
    if channels != 3:
        wide[..., -1] = 0xFFFF
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))  # noqa: E731
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def variants():
    """(name, how to write it, what the pixels must be, or None where the image must be refused)."""
    rgb = gradient()
    grey = rgb[..., 0]
    image, L = Image.fromarray(rgb), Image.fromarray(grey)
    palette = image.quantize(256)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright: turn by 90 degrees
    clear = Image.fromarray(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]))
    glass = Image.fromarray(np.dstack([rgb, np.where(grey > 99, 255, 0).astype(np.uint8)]))
    sixteen = Image.fromarray(grey.astype(np.uint16) * 257)
    channels = lambda count: lambda p: p.write_bytes(png_of_16_bits(np.dstack([rgb, grey])[..., :count]))  # noqa: E731
    wide = np.asarray(image.transpose(Image.Transpose.ROTATE_90))
    return [
        ("grey.png", lambda p: L.save(p), np.dstack([grey] * 3)),
        ("grey.jpg", lambda p: L.save(p, quality=100), np.dstack([grey] * 3)),
        ("black-and-white.png", lambda p: L.convert("1").save(p), np.asarray(L.convert("1").convert("RGB"))),
        ("palette.png", lambda p: palette.save(p), np.asarray(palette.convert("RGB"))),
        ("palette-clear.png", lambda p: palette.save(p, transparency=0), None),
        ("opaque.png", lambda p: clear.save(p), rgb),
        ("glass.png", lambda p: glass.save(p), None),
        ("cmyk.jpg", lambda p: image.convert("CMYK").save(p, quality=100, subsampling=0), rgb),
        ("turned.jpg", lambda p: Image.fromarray(wide).save(p, quality=100, subsampling=0, exif=turned), rgb),
        ("sixteen.png", lambda p: sixteen.save(p), None),
        *((f"sixteen-{count}-channels.png", channels(count), None) for count in (2, 3, 4)),
        ("png-called.jpg", lambda p: image.save(p, format="PNG"), rgb),
        ("jpeg-called.png", lambda p: image.save(p, format="JPEG", quality=100, subsampling=0), rgb),
        ("progressive.jpg", lambda p: image.save(p, quality=100, subsampling=0, progressive=True), rgb),
        ("gif-called.png", lambda p: image.save(p, format="GIF"), None),
        ("bmp-called.jpg", lambda p: image.save(p, format="BMP"), None),
    ]


@pytest.mark.parametrize(("name", "write", "expected"), variants(), ids=[name for name, *_ in variants()])
def test_kinds_of_images_come_out_right_or_are_refused(tmp_path, name, write, expected):
    root = market(tmp_path / "mine")
    path = root / "query" / f"0003_c1_{name}"
    write(path)
    if expected is None:
        with pytest.raises(
            ValueError, match=f"{name} (is partly transparent|has pixels of kind|is not a readable image)"
        ):
            read_dataset(root, (40, 20))
        return
    domain = read_dataset(root, (40, 20))
    got = domain.query.images[domain.query.names.index(path.name)].transpose(1, 2, 0)
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= (
        8 if b"JFIF" in path.read_bytes()[:99] or "jpg" in name else 0
    )


def test_a_flipped_bit_in_a_png_is_noticed(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(gradient()).save(path)
    whole, expected = path.read_bytes(), np.asarray(decoding.open_image(path))
    for at in range(8, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            found = np.asarray(decoding.open_image(path))
        except ValueError as error:
            assert "picture.png" in str(error)
        else:
            assert np.array_equal(found, expected), f"byte {at}"


@pytest.mark.parametrize("kept_time", [False, True])
def test_other_images_under_the_same_names_and_sizes_are_another_data_set(tmp_path, kept_time):
    root = market(tmp_path / "mine", query=("0003_c1", "0004_c1"))
    one, other = sorted((root / "query").iterdir())
    contents = one.read_bytes(), other.read_bytes()
    size = max(map(len, contents))
    for path, content in zip((one, other), contents):
        path.write_bytes(content.ljust(size, b"\0"))
    first = read_dataset(root, SIZE)
    for path, content in zip((other, one), contents):
        times = path.stat()
        path.write_bytes(content.ljust(size, b"\0"))
        if kept_time:
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    second = read_dataset(root, SIZE)
    assert np.array_equal(second.query.images, first.query.images[::-1]) and second.fingerprint != first.fingerprint
    copy = read_dataset(shutil.copytree(root, tmp_path / "elsewhere" / "mine"), SIZE)
    assert copy.fingerprint == second.fingerprint


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JFIF"])
def test_other_endings_of_jpeg_are_not_left_out_silently(tmp_path, suffix):
    root = market(tmp_path / "mine")
    next((root / "query").iterdir()).rename(root / "query" / f"0003_c1_0.{suffix}")
    with pytest.raises(ValueError, match=f"0003_c1_0.{suffix} is neither .jpg nor .png; convert or rename it"):
        read_dataset(root, SIZE)
