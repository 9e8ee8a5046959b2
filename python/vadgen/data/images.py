"""Pictures and masks from files, as uint8 squares; whatever is converted on the way is noted."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MIN_SIDE = 8
_THREADS = 4
_WITH_ALPHA = ("RGBA", "LA", "PA")
_COLOURED = (*_WITH_ALPHA, "P", "CMYK", "YCbCr")


class Note(Enum):
    """A conversion that the user may want to know of; the value says what was done."""

    SIXTEEN_BIT = "16 bits a channel: the high byte is used"
    NEARLY_BLACK = "16 bits a channel but no value above 4095: nearly black in 8 bits"
    CMYK = "CMYK: converted to RGB without a colour profile"
    ALPHA = "transparent: laid over white"
    PAGES = "several pages: the first is used"


class Notes:
    """Collects conversions over many images and threads, to be reported once each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[Note, dict[Path, None]] = {}

    def add(self, note: Note, path: Path) -> None:
        """Record that `note` holds for the image at `path`; a second time changes nothing."""
        with self._lock:
            self._seen.setdefault(note, {})[path] = None

    def lines(self) -> tuple[str, ...]:
        """One line a kind of conversion: how many images, what was done, one name."""
        with self._lock:
            return tuple(
                f"{len(paths)} image{'s' * (len(paths) > 1)} ({min(paths).name}"
                f"{', ...' * (len(paths) > 1)}): {note.value}"
                for note in Note
                if (paths := self._seen.get(note))
            )


def load_rgb(path: Path, size: int, notes: Notes | None = None) -> NDArray[np.uint8]:
    """Read a picture and squash it to a square.

    The aspect ratio is given up, as is usual for inspection data: every pixel of the picture
    counts, and the same squash happens to every picture of a part. The filter is Pillow's
    antialiased bilinear: fixed-point and so the same on every machine, and without the
    overshoot of LANCZOS, which draws halos at edges that no camera's scaler would show.

    Args:
        path: PNG, JPEG, BMP or TIFF; gray, RGB, palette, CMYK, with or without alpha, 1 to 16
            bits a channel; turned as its EXIF orientation says.
        size: side of the square, pixels.
        notes: collects the conversions that lose something; None if nobody asks.

    Returns:
        uint8 (size, size, 3), RGB.

    Raises:
        VadgenError: missing, unreadable, not an image, truncated, under 8 pixels a side,
            floating-point or 32-bit.
    """
    from PIL import Image

    image = _open(path, notes or Notes())
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture in pixels after turning it by its EXIF orientation.

    Raises:
        VadgenError: as `load_rgb`, but the pixels are not decoded.
    """
    from PIL import ExifTags, Image

    with _reading(path), Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (height, width) if turned else (width, height)


def load_mask(path: Path, size_of_image: tuple[int, int], size: int) -> NDArray[np.bool_]:
    """Read a defect mask and bring it to the square of `load_rgb`; any non-zero value is defect.

    Args:
        path: mask file, any mode; alpha is ignored.
        size_of_image: (width, height) of the picture it belongs to, see `image_size`.
        size: side of the square, pixels (NEAREST).

    Returns:
        bool (size, size), True on the defect.

    Raises:
        VadgenError: as `load_rgb`, or the mask has another size than its picture.
    """
    from PIL import Image, ImageOps

    with _reading(path), Image.open(path, formats=FORMATS) as image:
        turned = ImageOps.exif_transpose(image)
        # "RGB" looks palettes up; other modes keep their numbers, whatever their range.
        pixels = np.asarray(turned.convert("RGB") if turned.mode in _COLOURED else turned)
    defect = pixels != 0
    if defect.ndim == 3:
        defect = defect.any(axis=2)
    height, width = defect.shape
    if (width, height) != size_of_image:
        raise VadgenError(
            f"mask {path} is {width}x{height}, its image "
            f"{size_of_image[0]}x{size_of_image[1]} pixels",
            "a mask must have the size of its image; export it again, or remove it",
        )
    small = Image.fromarray(defect.astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST)
    return np.asarray(small, np.bool_)


def load_roi(path: Path) -> NDArray[np.bool_]:
    """Read the mask of a region of interest: what is brighter than half of its brightest pixel.

    Args:
        path: picture of any mode and size; transparent counts as black.

    Returns:
        bool (height, width), True where the pictures are looked at; at least one is.

    Raises:
        VadgenError: as `load_rgb`, or the mask is black all over.
    """
    from PIL import Image, ImageOps

    with _reading(path), Image.open(path, formats=FORMATS) as image:
        turned = ImageOps.exif_transpose(image)
        if turned.mode in _COLOURED or "transparency" in turned.info:
            black = Image.new("RGBA", turned.size, "black")
            turned = Image.alpha_composite(black, turned.convert("RGBA")).convert("RGB")
        pixels = np.asarray(turned)
    values = pixels.max(axis=2) if pixels.ndim == 3 else pixels
    brightest = values.max()
    if not brightest > 0:
        raise VadgenError(
            f"the region of interest {path} is black all over: nothing is left to look at",
            "paint white what is to be inspected",
        )
    return np.asarray(values > brightest / 2)


def iter_batches(
    paths: Sequence[Path], size: int, batch: int, notes: Notes | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Read pictures in order, decoding the next batch in threads while the last is worked on.

    Memory holds two batches, however many paths there are.

    Args:
        paths: picture files.
        size: side of the squares, pixels.
        batch: pictures a batch; the last batch may be shorter.
        notes: as for `load_rgb`.

    Yields:
        uint8 (n, size, size, 3), n <= batch.

    Raises:
        VadgenError: as `load_rgb`, for the first bad picture in order.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="decode")

    def submit(start: int) -> list[Future[NDArray[np.uint8]]]:
        return [pool.submit(load_rgb, p, size, notes) for p in paths[start : start + batch]]

    try:
        ahead = submit(0)
        for start in range(0, len(paths), batch):
            now, ahead = ahead, submit(start + batch)
            yield np.stack([future.result() for future in now])
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever Pillow throws at a damaged file into a VadgenError."""
    try:
        yield
    except (VadgenError, MemoryError):
        raise
    except Exception as error:  # decoders raise nearly anything: struct.error, KeyError, ...
        raise _explained(path, error) from error


def _explained(path: Path, error: Exception) -> VadgenError:
    from PIL import Image, UnidentifiedImageError

    match error:
        case FileNotFoundError():
            return VadgenError(f"no such image: {path}", "check the path")
        case UnidentifiedImageError():
            return VadgenError(
                f"not an image: {path}",
                "PNG, JPEG, BMP and TIFF are read; remove the file or export it again",
            )
        case Image.DecompressionBombError():
            return VadgenError(
                f"image too large: {path} ({error})",
                "scale it down; the network sees a few hundred pixels a side",
            )
        case OSError(strerror=str(reason)):
            return VadgenError(f"cannot read {path}: {reason}", "check the file's permissions")
    return VadgenError(
        f"damaged image: {path} ({error})",
        "the file is cut off or of a kind that is not read; export it again, or remove it",
    )


def _open(path: Path, notes: Notes) -> Image.Image:
    """Decode a picture, turned and as 8-bit RGB at its own size."""
    from PIL import Image, ImageOps

    with _reading(path), Image.open(path, formats=FORMATS) as image:
        if min(image.size) < MIN_SIDE:
            raise VadgenError(
                f"{path} is {image.width}x{image.height} pixels",
                f"an image needs at least {MIN_SIDE} pixels a side; remove it or export it again",
            )
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            notes.add(Note.PAGES, path)
        # Pillow narrows 16-bit colour while decoding: only the raw mode still tells.
        sixteen = image.format in ("PNG", "TIFF") and ";16" in str(image.tile)
        turned = ImageOps.exif_transpose(image)
        if sixteen or turned.mode.startswith("I;16"):
            notes.add(Note.SIXTEEN_BIT, path)
            if turned.mode.startswith("I"):
                return _high_byte(turned, path, notes)
        if turned.mode in ("I", "F"):
            raise VadgenError(
                f"{path} has 32 bits a pixel, whose black and white are not known",
                "export it with 8 or 16 bits a channel",
            )
        if turned.mode == "CMYK":
            notes.add(Note.CMYK, path)
        if turned.mode in _WITH_ALPHA or "transparency" in turned.info:
            return _over_white(turned.convert("RGBA"), path, notes)
        return turned.convert("RGB")


def _high_byte(image: Image.Image, path: Path, notes: Notes) -> Image.Image:
    """16-bit gray to RGB: v >> 8, the same for every image, so that exposure stays comparable."""
    from PIL import Image

    values = np.asarray(image).astype(np.int32)
    if values.max() < 4096:
        notes.add(Note.NEARLY_BLACK, path)
    return Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8)).convert("RGB")


def _over_white(image: Image.Image, path: Path, notes: Notes) -> Image.Image:
    """RGBA composed over white, as viewers show it."""
    from PIL import Image

    if image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    notes.add(Note.ALPHA, path)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
