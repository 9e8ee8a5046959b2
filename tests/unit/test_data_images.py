"""Pictures and masks: every kind that is read, every kind that is refused, and how it says so."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vadgen.data.images import (
    Note,
    Notes,
    image_size,
    iter_batches,
    load_mask,
    load_rgb,
    load_roi,
)
from vadgen.errors import VadgenError

GRAY = np.arange(20 * 30, dtype=np.uint32).reshape(20, 30) * 0xFFFF // (20 * 30 - 1)
RGB = np.stack([GRAY >> 8, 255 - (GRAY >> 8), (GRAY >> 8) // 2], axis=2).astype(np.uint8)


def saved(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
def test_lossless_files_come_back(tmp_path: Path, suffix: str) -> None:
    square = RGB[:, :20]
    assert np.array_equal(load_rgb(saved(tmp_path / f"a{suffix}", square), 20), square)


def test_jpeg_and_other_sizes(tmp_path: Path) -> None:
    flat = np.full((40, 60, 3), (10, 120, 200), np.uint8)
    loaded = load_rgb(saved(tmp_path / "a.jpg", flat), 32)
    assert loaded.shape == (32, 32, 3)
    assert loaded.dtype == np.uint8
    assert np.abs(loaded.astype(int) - (10, 120, 200)).max() <= 3


def test_squash_keeps_the_whole_picture(tmp_path: Path) -> None:
    wide = np.zeros((16, 64, 3), np.uint8)
    wide[:, 32:] = 255
    loaded = load_rgb(saved(tmp_path / "a.png", wide), 16)
    assert (loaded[:, :7] == 0).all()
    assert (loaded[:, 9:] == 255).all()


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(load_rgb(saved(tmp_path / "a.png", stripes), 16)[:, 1:-1].astype(int)) <= 2


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA"])
def test_modes_become_rgb_silently(tmp_path: Path, mode: str) -> None:
    notes = Notes()
    black_white = Image.fromarray(((GRAY > 0x8000) * 255).astype(np.uint8)).convert(mode)
    black_white.save(tmp_path / "a.png")
    loaded = load_rgb(tmp_path / "a.png", 20, notes)
    assert set(np.unique(loaded[:5])) == {0}
    assert set(np.unique(loaded[-5:])) == {255}
    assert notes.lines() == ()


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    notes = Notes()
    pixels = np.zeros((20, 20, 4), np.uint8)
    pixels[:10, :, 3] = 255
    loaded = load_rgb(saved(tmp_path / "a.png", pixels), 20, notes)
    assert (loaded[:10] == 0).all()
    assert (loaded[10:] == 255).all()
    assert notes.lines() == (f"1 image (a.png): {Note.ALPHA.value}",)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_gray_keeps_its_high_byte(tmp_path: Path, suffix: str) -> None:
    notes = Notes()
    loaded = load_rgb(saved(tmp_path / f"a{suffix}", GRAY[:, :20].astype(np.uint16)), 20, notes)
    assert np.array_equal(loaded, np.repeat((GRAY[:, :20] >> 8)[:, :, None], 3, axis=2))
    assert notes.lines() == (f"1 image (a{suffix}): {Note.SIXTEEN_BIT.value}",)


def png_of_16_bit_rgb() -> bytes:
    """A 9x9 picture of 16 bits a channel, which Pillow reads but cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = (b"\0" + struct.pack(">HHH", 0x1234, 0x8000, 0xFFFF) * 9) * 9
    header = struct.pack(">IIBBBBB", 9, 9, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, data)
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def test_sixteen_bit_colour_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of_16_bit_rgb())
    notes = Notes()
    assert (load_rgb(tmp_path / "a.png", 9, notes) == (0x12, 0x80, 0xFF)).all()
    assert notes.lines() == (f"1 image (a.png): {Note.SIXTEEN_BIT.value}",)


def test_twelve_bits_in_sixteen_are_noted(tmp_path: Path) -> None:
    notes = Notes()
    load_rgb(saved(tmp_path / "a.png", (GRAY >> 4).astype(np.uint16)), 8, notes)
    assert notes.lines() == (
        f"1 image (a.png): {Note.SIXTEEN_BIT.value}",
        f"1 image (a.png): {Note.NEARLY_BLACK.value}",
    )


def test_cmyk_is_converted_and_noted(tmp_path: Path) -> None:
    Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    notes = Notes()
    loaded = load_rgb(tmp_path / "a.jpg", 8, notes)
    assert np.abs(loaded.astype(int) - (255, 0, 0)).max() <= 3
    assert notes.lines() == (f"1 image (a.jpg): {Note.CMYK.value}",)


def test_the_first_of_several_pages_is_used(tmp_path: Path) -> None:
    pages = [Image.new("L", (9, 9), value) for value in (40, 90)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    notes = Notes()
    assert (load_rgb(tmp_path / "a.tif", 9, notes) == 40).all()
    assert notes.lines() == (f"1 image (a.tif): {Note.PAGES.value}",)


def test_notes_count_images_once_each(tmp_path: Path) -> None:
    notes = Notes()
    paths = [tmp_path / f"{i}.png" for i in range(50)]
    threads = [
        threading.Thread(target=lambda: [notes.add(Note.CMYK, path) for path in paths])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes.lines() == (f"50 images (0.png, ...): {Note.CMYK.value}",)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (6, lambda a: np.rot90(a, -1)),
        (8, lambda a: np.rot90(a)),
    ],
)
def test_exif_orientation_is_applied(
    tmp_path: Path, orientation: int, turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    square = RGB[:, :20]
    path = saved(tmp_path / "a.png", square, exif=exif)
    assert np.array_equal(load_rgb(path, 20), turn(square))
    tall = saved(tmp_path / "b.png", RGB, exif=exif)
    assert image_size(tall) == turn(RGB).shape[1::-1]


def refused(path: Path) -> VadgenError:
    with pytest.raises(VadgenError) as caught:
        load_rgb(path, 32)
    assert path.name in caught.value.message
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(tmp_path / f"a{suffix}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "damaged image" in refused(path).message


def test_what_is_not_an_image_is_refused(tmp_path: Path) -> None:
    for content in (b"hello", b"", b"GIF89a" + bytes(40)):
        (tmp_path / "a.png").write_bytes(content)
        assert "not an image" in refused(tmp_path / "a.png").message


def test_a_tiny_image_is_refused(tmp_path: Path) -> None:
    for shape in ((1, 1, 3), (7, 300, 3)):
        message = refused(saved(tmp_path / "a.png", np.zeros(shape, np.uint8))).message
        assert f"{shape[1]}x{shape[0]}" in message


def test_missing_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    assert "no such image" in refused(tmp_path / "a.png").message
    (tmp_path / "folder.png").mkdir()
    assert "cannot read" in refused(tmp_path / "folder.png").message
    if os.geteuid() != 0:
        path = saved(tmp_path / "b.png", RGB)
        path.chmod(0)
        assert "cannot read" in refused(path).message


@pytest.mark.parametrize("mode", ["I", "F"])
def test_images_of_unknown_range_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (20, 20)).save(tmp_path / "a.tif")
    assert "32 bits" in refused(tmp_path / "a.tif").message


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "too large" in refused(saved(tmp_path / "a.png", RGB)).message


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), suffix=st.sampled_from(["png", "jpeg", "tiff", "bmp"]))
def test_damaged_bytes_give_a_picture_or_an_error(
    tmp_path: Path, data: st.DataObject, suffix: str
) -> None:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, suffix)
    content = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert load_rgb(path, 16).shape == (16, 16, 3)
    except VadgenError as error:
        assert path.name in error.message


@pytest.mark.parametrize("value", [1, 255])
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_masks_are_binary_and_nearest(tmp_path: Path, value: int, mode: str) -> None:
    pixels = np.zeros((20, 40), np.uint8)
    pixels[:10, 20:] = value
    Image.fromarray(pixels).convert(mode).save(tmp_path / "a.png")
    mask = load_mask(tmp_path / "a.png", (40, 20), 10)
    assert mask.dtype == np.bool_
    expected = np.zeros((10, 10), bool)
    expected[:5, 5:] = True
    assert np.array_equal(mask, expected)


def test_sixteen_bit_masks_keep_small_values(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.full((20, 20), 3, np.uint16))
    assert load_mask(path, (20, 20), 8).all()


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a_mask.png", np.zeros((20, 30), np.uint8))
    with pytest.raises(VadgenError, match=r"a_mask.png is 30x20, its image 20x30 pixels"):
        load_mask(path, (20, 30), 8)


@pytest.mark.parametrize("n", [0, 1, 7, 8])
def test_batches_keep_the_order(tmp_path: Path, n: int) -> None:
    paths = [saved(tmp_path / f"{i}.png", np.full((8, 8, 3), i * 10, np.uint8)) for i in range(n)]
    batches = list(iter_batches(paths, 8, 3))
    assert [len(batch) for batch in batches] == [3] * (n // 3) + [n % 3] * (n % 3 > 0)
    values = [int(image[0, 0, 0]) for batch in batches for image in batch]
    assert values == [i * 10 for i in range(n)]


def test_batches_are_read_only_as_far_as_the_next(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", RGB)
    reader = iter_batches([path] * 4 + [tmp_path / "missing.png"], 8, 2)
    next(reader)
    next(reader)
    with pytest.raises(VadgenError, match="missing.png"):
        next(reader)


def test_batches_can_be_left_early(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", RGB)
    reader = iter_batches([path] * 50, 8, 5)
    next(reader)
    reader.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_a_region_of_interest_is_what_is_brighter_than_half(tmp_path: Path) -> None:
    values = np.zeros((7, 9), np.uint8)
    values[2:5, 1:4] = 1  # as some programs number their labels
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(load_roi(tmp_path / "a.png"), values == 1)
    Image.fromarray(values * 255).save(tmp_path / "b.bmp")
    assert np.array_equal(load_roi(tmp_path / "b.bmp"), values == 1)
    Image.fromarray(values.astype(np.uint16) * 60000).save(tmp_path / "c.png")
    assert np.array_equal(load_roi(tmp_path / "c.png"), values == 1)
    large = np.kron(values * 255, np.ones((16, 16), np.uint8))
    Image.fromarray(large).save(tmp_path / "d.jpg", quality=60)  # with ringing around the edges
    assert np.array_equal(load_roi(tmp_path / "d.jpg"), large > 0)


def test_transparent_is_no_region_of_interest(tmp_path: Path) -> None:
    white = np.full((6, 6, 4), 255, np.uint8)
    white[:, 3:, 3] = 0
    Image.fromarray(white).save(tmp_path / "a.png")
    mask = load_roi(tmp_path / "a.png")
    assert mask[:, :3].all() and not mask[:, 3:].any()


def test_a_black_region_of_interest_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((6, 6), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(VadgenError, match="black all over"):
        load_roi(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(VadgenError, match="not an image"):
        load_roi(tmp_path / "b.png")
