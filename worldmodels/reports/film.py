"""Videos of an agent that drives: panels side by side as MP4, or a small GIF."""

import io
import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.storage import write_bytes

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
WIDTH, HEIGHT, PANEL, TOP = 832, 352, 192, 28
STRIP = (WIDTH, 256)
BLUE, GREY, INK = (60, 110, 200), (225, 225, 225), (20, 20, 20)


class Shot(NamedTuple):
    """One moment of a drive: `seen`, Gymnasium's picture, uint8 [96, 96, 3]; `observation`,
    `reconstruction` and `expected`, M's prediction of it, uint8 [64, 64, 3]; `mu` [Z]; `action`
    [3]; `score`, the return so far; the number of the step."""

    seen: np.ndarray
    observation: np.ndarray
    reconstruction: np.ndarray
    expected: np.ndarray
    mu: np.ndarray
    action: np.ndarray
    score: float
    step: int


class Film:
    """An H.264 file of `size` (width, height) that appears once it is whole; a context manager.

    Raises UserError if there is no ffmpeg that works, or the file cannot be written.
    """

    def __init__(self, path: Path, frames_per_second: float, size: tuple[int, int]):
        self.path, self.part = path, path.with_name(f".part.{path.name}")
        self.frames = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from error
        self.writer = imageio_ffmpeg.write_frames(
            str(self.part),
            size,
            fps=frames_per_second,
            codec="libx264",
            quality=None,
            macro_block_size=8,
            ffmpeg_log_level="error",
            output_params=["-crf", "26", "-threads", "1", "-fflags", "+bitexact"],
        )
        try:
            self.writer.send(None)  # starts ffmpeg
        except (RuntimeError, OSError) as error:  # none is found, or it cannot be run
            raise self._failure(error) from None

    def __enter__(self) -> "Film":
        return self

    def add(self, picture: np.ndarray) -> None:
        """Add a frame, uint8 [height, width, 3]."""
        try:
            self.writer.send(np.ascontiguousarray(picture))
        except OSError as error:
            raise self._failure(error) from None
        self.frames += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.writer.close()
            if kind is None and count_frames(self.part) != self.frames:
                raise self._failure("it is not whole")
            if kind is None:
                os.replace(self.part, self.path)
        except OSError as problem:
            raise self._failure(problem) from None
        finally:
            self.part.unlink(missing_ok=True)

    def _failure(self, reason: object) -> UserError:
        first_line = str(reason).splitlines()[0]
        return UserError(
            f"{self.path}: the video could not be written ({first_line}): is the disk full, or "
            "ffmpeg missing or broken? IMAGEIO_FFMPEG_EXE may name another one"
        )


def write_gif(path: Path, pictures: list[np.ndarray], width: int, milliseconds: int) -> None:
    """Write uint8 [h, w, 3] pictures, `milliseconds` each, as a GIF `width` wide in 64 colours."""
    height = round(pictures[0].shape[0] * width / pictures[0].shape[1])
    frames = [
        Image.fromarray(picture).resize((width, height), Image.Resampling.BOX)
        for picture in pictures
    ]
    palette = frames[len(frames) // 2].quantize(64, Image.Quantize.MEDIANCUT)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    content = io.BytesIO()
    indexed[0].save(
        content, "GIF", save_all=True, append_images=indexed[1:], duration=milliseconds, loop=0
    )
    write_bytes(path, content.getvalue())


def count_frames(path: Path) -> int:
    """The number of frames of a video; 0 for a file that is not one."""
    try:
        return imageio_ffmpeg.count_frames_and_secs(str(path))[0]
    except (RuntimeError, OSError):
        return 0


def compose(shot: Shot) -> np.ndarray:
    """The frame uint8 [HEIGHT, WIDTH, 3] of a shot."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    panels = [
        ("CarRacing, 96x96", shot.seen),
        ("V is given, 64x64", shot.observation),
        ("V reconstructs", shot.reconstruction),
        ("M had expected", shot.expected),
    ]
    _draw_panels(image, pen, font, panels)
    _bars(pen, font, shot)
    return np.asarray(image)


def strip(panels: list[tuple[str, np.ndarray]], caption: str) -> np.ndarray:
    """The frame uint8 [height, width, 3], of the size STRIP, of four titled pictures."""
    image = Image.new("RGB", STRIP, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    _draw_panels(image, pen, font, panels)
    pen.text((16, 228), caption, INK, font)
    return np.asarray(image)


def _draw_panels(
    image: Image.Image, pen: ImageDraw.ImageDraw, font: Font, panels: list[tuple[str, np.ndarray]]
) -> None:
    for index, (title, pixels) in enumerate(panels):
        left = 16 + index * (PANEL + 10)
        pen.text((left, 8), title, INK, font)
        scaled = Image.fromarray(pixels).resize((PANEL, PANEL), Image.Resampling.NEAREST)
        image.paste(scaled, (left, TOP))


def _bars(pen: ImageDraw.ImageDraw, font: Font, shot: Shot) -> None:
    middle, left = 290, 16
    pen.text((left, 230), f"mu of the {len(shot.mu)} latents", INK, font)
    width = 480 / len(shot.mu)
    pen.line((left, middle, left + 480, middle), GREY)
    for index, value in enumerate(shot.mu):
        x, height = left + index * width, float(np.clip(value, -3, 3)) * 13
        pen.rectangle(
            (x + 1, min(middle, middle - height), x + width - 2, max(middle, middle - height)),
            BLUE,
        )
    left = 520
    pen.text((left, 230), f"step {shot.step}   score {shot.score:.0f}", INK, font)
    for row, (name, value, low) in enumerate(
        zip(("steering", "gas", "brake"), shot.action, (-1, 0, 0))
    ):
        y, x0, span = 256 + 26 * row, left + 70, 200
        zero = x0 + span * (0 - low) / (1 - low)
        tip = x0 + span * (float(value) - low) / (1 - low)
        pen.text((left, y), name, INK, font)
        pen.rectangle((x0, y, x0 + span, y + 14), GREY)
        pen.rectangle((min(zero, tip), y, max(zero, tip), y + 14), BLUE)
