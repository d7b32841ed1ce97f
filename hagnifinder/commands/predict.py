"""`hagnifinder predict`: names to answers, printed as they come. Heavy imports happen inside."""

from __future__ import annotations

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

from hagnifinder.commands.folder import Judged, judge_together, parse_known
from hagnifinder.commands.results import STDIN as _STDIN
from hagnifinder.commands.results import OmeCopies, Overlays, QuPathScript, Table
from hagnifinder.commands.say import fail, load, printable, say
from hagnifinder.scale import round_significant

if TYPE_CHECKING:
    from hagnifinder.predict import Estimate
    from hagnifinder.preprocess import RgbImage
    from hagnifinder.read import ReadPicture
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
_AGREED_FACTOR = 1.5
"""How far a file's own value may lie from an estimate without an interval."""
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
@click.option(
    "--csv-layout",
    type=click.Choice(["full", "wsi-mpp"]),
    default="full",
    show_default=True,
    help="All fields, or the two columns wsi,mpp that slide-tiling tools take.",
)
@click.option(
    "--qupath-script",
    "qupath_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a Groovy script that sets the pixel sizes in the project open in QuPath.",
)
@click.option(
    "--write-ome",
    "ome_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also write OME-TIFF copies that know their pixel size into this folder; no EXIF is copied.",
)
@click.option("--same-camera", is_flag=True, help="One microscope took all: judge the pictures together.")
@click.option(
    "--known",
    multiple=True,
    metavar="FILE=MPP",
    help="With --same-camera: the µm per pixel of one of the pictures; may be repeated.",
)
@click.option("--files-from", type=click.Path(allow_dash=True), help="Names, one a line, from a file; - from a pipe.")
@click.option("--model", default="default", show_default=True, help="A shipped model's name, or a weights file.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def predict(
    paths: Sequence[str],
    as_json: bool,
    csv_path: Path | None,
    overlay_folder: Path | None,
    csv_layout: str,
    qupath_path: Path | None,
    ome_folder: Path | None,
    same_camera: bool,
    known: Sequence[str],
    files_from: str | None,
    model: str,
    device: str,
) -> None:
    """Estimate the scale of pictures: files, folders of them, quoted patterns, or - for one picture's bytes.

    \b
    hagnifinder predict scans/ 'more/**/*.jpg' --json > scale.jsonl
    hagnifinder predict scans/ --same-camera --known scans/a.jpg=0.25
    """
    if not paths and files_from is None:
        raise click.UsageError("Name a picture, a folder, a pattern, or - for standard input.")
    if [*paths, files_from].count(_STDIN) > 1:
        raise click.UsageError("Standard input can be read once: as a picture or as a list of names.")
    if known and not same_camera:
        raise click.UsageError("--known says something of the other pictures only with --same-camera.")
    if csv_layout != "full" and csv_path is None:
        raise click.UsageError("--csv-layout needs --csv FILE.")
    known_um = parse_known(known)
    from hagnifinder.stream import answer_stream

    predictor = load(model, device)
    with ExitStack() as stack:
        try:
            table = script = None
            if csv_path:
                table = Table(stack.enter_context(csv_path.open("w", newline="", encoding="utf-8")), csv_layout)
            if qupath_path:
                script = QuPathScript(stack.enter_context(qupath_path.open("w", encoding="utf-8")))
            for folder in filter(None, (overlay_folder, ome_folder)):
                folder.mkdir(parents=True, exist_ok=True)
            listed = None
            if files_from is not None:
                listed = sys.stdin.buffer if files_from == _STDIN else stack.enter_context(Path(files_from).open("rb"))
        except (OSError, ValueError) as error:
            fail(_about(error))
        sources = _Sources(paths, listed)
        progress = _Progress()
        findings = 0
        copies: list[Overlays | OmeCopies] = []
        copies += [Overlays(overlay_folder)] if overlay_folder else []
        copies += [OmeCopies(ome_folder)] if ome_folder else []
        try:
            stream = progress.counted(answer_stream(predictor, sources))
            for item in judge_together(stream, known_um) if same_camera else stream:
                judged = item if isinstance(item, Judged) else _alone(item)
                answer = judged.answer
                if answer.estimate is None or answer.picture is None:
                    progress.hide()
                    sources.bad(answer.error)
                    continue
                row = _row(answer.name, answer.picture, answer.estimate, predictor.model_id) | judged.joint
                progress.hide()
                if row["file_agrees"] is False:
                    findings += 1
                    say(_finding(row))
                if as_json:
                    click.echo(json.dumps(row, ensure_ascii=False))
                else:
                    _print_row(row, head=progress.n_good == 0)
                progress.n_good += 1
                if table:
                    table.write(row)
                if script:
                    script.write(row)
                if copies:
                    rgb = answer.rgb if answer.rgb is not None else sources.again(answer.name)
                    for copy in copies:
                        if answer.picture.is_slide and isinstance(copy, OmeCopies):
                            say(f"{answer.name} is a whole slide: no OME-TIFF copy of it is written.")
                        else:
                            copy.write(answer.name, rgb, answer.estimate)
            if table:
                table.close()
            for name in script.close() if script else []:
                say(f"{name} is left out of the script: two pictures of this name differ in pixel size.")
        except BrokenPipeError:
            # Whoever read our answers has enough: leave without a word, and without Python's at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            progress.hide()
            say(f"Stopped after {progress.n_good:,} pictures: {_about(error)}")
            sys.exit(1)
        progress.hide()
    if findings:
        say(f"{findings:,} of {progress.n_good:,} files say another pixel size than their picture, as named above.")
    if sources.n_bad:
        others = "the others are above" if progress.n_good else "there is no other"
        say(f"{sources.n_bad:,} could not be read; {others}.")
    if not progress.n_good:
        if not sources.n_bad:
            say("There is no picture in what was given.")
        sys.exit(2)


def _alone(answer: Answer) -> Judged:
    return Judged(answer, {})


class _Sources:
    """What to judge, one after the other; says at once what is missing."""

    def __init__(self, paths: Sequence[str], listed: IO[bytes] | None) -> None:
        self.paths, self.listed = paths, listed
        self.n_bad = 0
        self.stdin = b""

    def again(self, name: str) -> RgbImage:
        """Read a picture that was let go; raises OSError when it is no longer what it was."""
        from hagnifinder.errors import ImageError
        from hagnifinder.read import read_picture

        try:
            return read_picture(self.stdin if name == _STDIN else name).fields[0]
        except ImageError as error:
            raise OSError(None, str(error).rstrip(".")) from error

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
                    self.stdin = data
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

    def counted(self, answers: Iterator[Answer]) -> Iterator[Answer]:
        for answer in answers:
            self.step()
            yield answer

    def hide(self) -> None:
        if self.shown:
            click.echo("\r\033[K", err=True, nl=False)
            self.shown = False


def _row(path: str, picture: ReadPicture, estimate: Estimate, model_id: str) -> dict[str, Any]:
    said = picture.file_size
    known: dict[str, Any] = {
        # A name that is not valid UTF-8 still has to leave as JSON.
        "path": path.encode("utf-8", "replace").decode(),
        "width_px": picture.width_px,
        "height_px": picture.height_px,
        "model": model_id,
        **{field.name: getattr(estimate, field.name) for field in fields(estimate)},
        "whole_slide": picture.is_slide,
        "file_mpp_um": round_significant(said.mpp_um) if said else None,
        "file_says": said.text if said else None,
        "file_objective_x": picture.file_objective_x,
        "file_agrees": _agrees(said.mpp_um, estimate) if said else None,
    }
    return {name: known[name] for name in (*CONTRACT, *(name for name in known if name not in CONTRACT))}


def _agrees(file_um: float, estimate: Estimate) -> bool | None:
    """Whether the file's own value lies in the estimate's interval; None where the estimate should not be used."""
    if estimate.abstained or estimate.mpp_um is None:
        return None
    if estimate.mpp_lo_um is None or estimate.mpp_hi_um is None:
        return 1.0 / _AGREED_FACTOR <= file_um / estimate.mpp_um <= _AGREED_FACTOR
    return estimate.mpp_lo_um <= file_um <= estimate.mpp_hi_um


def _finding(row: dict[str, Any]) -> str:
    interval = f" ({row['mpp_lo_um']:.3g} to {row['mpp_hi_um']:.3g})" if row["mpp_lo_um"] else ""
    return (
        f"{row['path']}: the file says {row['file_mpp_um']:.3g} µm/px ({row['file_says']}), "
        f"its picture looks like {row['mpp_um']:.3g}{interval}."
    )


def _print_row(row: dict[str, Any], *, head: bool) -> None:
    if head:
        click.echo(f"{'µm/px':>8}  {'magnif.':>8}  {'90 % interval':>18}  {'file says':>9}  picture")
    guess = "" if row["mpp_um"] is None else f"{row['mpp_um']:.3g}"
    times = "" if row["mpp_um"] is None else f"{row['magnification_x']:.3g}x"
    interval = f"{row['magnification_lo_x']:.3g}x to {row['magnification_hi_x']:.3g}x" if row["mpp_lo_um"] else ""
    note = f"  (no answer: {row['reason'].replace('_', ' ')})" if row["abstained"] else ""
    own = "" if row["file_mpp_um"] is None else f"{row['file_mpp_um']:.3g}" + " !" * (row["file_agrees"] is False)
    if row.get("joint"):
        alone = "" if row["single_mpp_um"] is None else f", alone {row['single_mpp_um']:.3g}"
        note += "  (known)" if row["known"] else f"  ({row['cluster_x']:g}x objective{alone})"
    elif "joint" in row:
        note += "  (no part of the joint estimate)"
    click.echo(f"{guess:>8}  {times:>8}  {interval:>18}  {own:>9}  {printable(row['path'])}{note}")


def _about(error: Exception) -> str:
    name = getattr(error, "filename", None)
    reason = getattr(error, "strerror", None) or "the name is not a file's name"
    return f"{name} cannot be opened or written: {reason}." if name else f"{reason}."
