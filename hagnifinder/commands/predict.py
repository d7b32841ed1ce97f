"""`hagnifinder predict`: names to answers, printed as they come. Heavy imports happen inside."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from hagnifinder.commands.say import fail, load, say

if TYPE_CHECKING:
    from hagnifinder.predict import Estimate
    from hagnifinder.stream import Answer, Source

CONTRACT = (
    "path",
    "width_px",
    "height_px",
    "mpp_um",
    "magnification_x",
    "magnification_lo_x",
    "magnification_hi_x",
    "abstained",
    "reason",
    "model",
)
"""The fields other programs rely on, first and in this order; the estimate's others follow."""
_STDIN = "-"
_EVERY_S = 30.0
_BLINK_S = 0.25


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines on standard output, an object per picture.")
@click.option("--csv", "csv_path", type=click.Path(dir_okay=False, path_type=Path), help="Also write a CSV file.")
@click.option(
    "--overlay",
    "overlay_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also write each picture with a scale bar of the predicted length into this folder.",
)
@click.option("--files-from", type=click.Path(allow_dash=True), help="Names, one a line, from a file; - from a pipe.")
@click.option("--model", default="default", show_default=True, help="A shipped model's name, or a weights file.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def predict(
    paths: Sequence[str],
    as_json: bool,
    csv_path: Path | None,
    overlay_folder: Path | None,
    files_from: str | None,
    model: str,
    device: str,
) -> None:
    """Estimate the scale of pictures: files, folders of them, quoted patterns, or - for one picture's bytes.

    \b
    hagnifinder predict scans/ 'more/**/*.jpg' --json > scale.jsonl
    """
    if not paths and files_from is None:
        raise click.UsageError("Name a picture, a folder, a pattern, or - for standard input.")
    if [*paths, files_from].count(_STDIN) > 1:
        raise click.UsageError("Standard input can be read once: as a picture or as a list of names.")
    from hagnifinder.stream import answer_stream

    predictor = load(model, device)
    with ExitStack() as stack:
        try:
            table = _Table(stack.enter_context(csv_path.open("w", newline="", encoding="utf-8"))) if csv_path else None
            if overlay_folder:
                overlay_folder.mkdir(parents=True, exist_ok=True)
            listed = None
            if files_from is not None:
                listed = sys.stdin.buffer if files_from == _STDIN else stack.enter_context(Path(files_from).open("rb"))
        except (OSError, ValueError) as error:
            fail(_about(error))
        sources = _Sources(paths, listed)
        progress = _Progress()
        overlays = _Overlays(overlay_folder) if overlay_folder else None
        try:
            for answer in answer_stream(predictor, sources):
                progress.step()
                if answer.estimate is None or answer.rgb is None:
                    progress.hide()
                    sources.bad(answer.error)
                    continue
                row = _row(answer.name, answer.rgb.shape, answer.estimate, predictor.model_id)
                progress.hide()
                if as_json:
                    click.echo(json.dumps(row, ensure_ascii=False))
                else:
                    _print_row(row, head=progress.n_good == 0)
                progress.n_good += 1
                if table:
                    table.write(row)
                if overlays:
                    overlays.write(answer)
            if table:
                table.close()
        except BrokenPipeError:
            # Whoever read our answers has enough: leave without a word, and without Python's at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            progress.hide()
            say(f"Stopped after {progress.n_good:,} pictures: {_about(error)}")
            sys.exit(1)
        progress.hide()
    if sources.n_bad:
        others = "the others are above" if progress.n_good else "there is no other"
        say(f"{sources.n_bad:,} could not be read; {others}.")
    if not progress.n_good:
        if not sources.n_bad:
            say("There is no picture in what was given.")
        sys.exit(2)


class _Sources:
    """What to judge, one after the other; says at once what is missing."""

    def __init__(self, paths: Sequence[str], listed: IO[bytes] | None) -> None:
        self.paths, self.listed = paths, listed
        self.n_bad = 0

    def bad(self, sentence: str) -> None:
        self.n_bad += 1
        say(f"standard input{sentence[1:]}" if sentence.startswith(f"{_STDIN} ") else sentence)

    def __iter__(self) -> Iterator[Source | tuple[str, Source]]:
        from hagnifinder.images import MAX_BYTES
        from hagnifinder.inputs import Missing, expand, read_names

        for path in self.paths:
            if path == _STDIN:
                data = sys.stdin.buffer.read(MAX_BYTES + 1)
                if len(data) > MAX_BYTES:
                    self.bad(f"Standard input is longer than the {MAX_BYTES:,} bytes we read.")
                else:
                    yield _STDIN, data
                continue
            for found in expand([path]):
                if isinstance(found, Missing):
                    self.bad(found.sentence)
                else:
                    yield found
        if self.listed is not None:
            for found in expand(read_names(self.listed)):
                if isinstance(found, Missing):
                    self.bad(found.sentence)
                else:
                    yield found


class _Progress:
    """How far we are, on standard error: a line that moves on a terminal, one every half minute elsewhere."""

    def __init__(self) -> None:
        self.n, self.n_good = 0, 0
        self.moves = sys.stderr.isatty()
        self.began = self.said = time.monotonic()
        self.shown = False

    def step(self) -> None:
        self.n += 1
        now = time.monotonic()
        if now - self.said < (_BLINK_S if self.moves else _EVERY_S):
            return
        self.said = now
        line = f"{self.n:,} pictures ({60 * self.n / (now - self.began):,.0f}/min)"
        if self.moves:
            click.echo(f"\r{line}\033[K", err=True, nl=False)
            self.shown = True
        else:
            say(line)

    def hide(self) -> None:
        if self.shown:
            click.echo("\r\033[K", err=True, nl=False)
            self.shown = False


class _Table:
    """A CSV file that grows row by row."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.writer: csv.DictWriter[str] | None = None

    def write(self, row: dict[str, Any]) -> None:
        if self.writer is None:
            self.writer = csv.DictWriter(self.file, fieldnames=list(row))
            self.writer.writeheader()
        self.writer.writerow(row)

    def close(self) -> None:
        """Close here, where a full disk can still be told."""
        self.file.close()


class _Overlays:
    """Pictures with their scale drawn on them, named after the originals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.used: dict[str, int] = {}

    def write(self, answer: Answer) -> None:
        from PIL import Image

        from hagnifinder.overlay import draw_scale

        assert answer.rgb is not None and answer.estimate is not None
        stem = "standard-input" if answer.name == _STDIN else Path(answer.name).stem
        # A name is 255 bytes at most, and two endings are to come.
        stem = os.fsdecode(os.fsencode(stem)[:200])
        self.used[stem] = self.used.get(stem, 0) + 1
        number = "" if self.used[stem] == 1 else f"-{self.used[stem]}"
        Image.fromarray(draw_scale(answer.rgb, answer.estimate)).save(self.folder / f"{stem}{number}.scale.png")


def _row(path: str, shape: tuple[int, ...], estimate: Estimate, model_id: str) -> dict[str, Any]:
    known: dict[str, Any] = {
        # A name that is not valid UTF-8 still has to leave as JSON.
        "path": path.encode("utf-8", "replace").decode(),
        "width_px": int(shape[1]),
        "height_px": int(shape[0]),
        "model": model_id,
        **{field.name: getattr(estimate, field.name) for field in fields(estimate)},
    }
    return {name: known[name] for name in (*CONTRACT, *(name for name in known if name not in CONTRACT))}


def _print_row(row: dict[str, Any], *, head: bool) -> None:
    if head:
        click.echo(f"{'µm/px':>8}  {'magnif.':>8}  {'90 % interval':>18}  picture")
    guess = "" if row["mpp_um"] is None else f"{row['mpp_um']:.3g}"
    times = "" if row["mpp_um"] is None else f"{row['magnification_x']:.3g}x"
    interval = f"{row['magnification_lo_x']:.3g}x to {row['magnification_hi_x']:.3g}x" if row["mpp_lo_um"] else ""
    note = f"  (no answer: {row['reason'].replace('_', ' ')})" if row["abstained"] else ""
    # A file's name may hold line breaks and a terminal's commands.
    name = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in row["path"])
    click.echo(f"{guess:>8}  {times:>8}  {interval:>18}  {name}{note}")


def _about(error: Exception) -> str:
    name = getattr(error, "filename", None)
    reason = getattr(error, "strerror", None) or "the name is not a file's name"
    return f"{name} cannot be opened or written: {reason}." if name else f"{reason}."
