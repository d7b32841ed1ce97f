"""The README's picture of a report: its head and its first snapshots, as Chromium shows them.

harvester demo --out demo-harvest
harvester report demo-harvest
python -m tests.harvester.report.picture demo-harvest/report.html docs/images/report.png
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH_PX, HEAD_PX, SHEET_PX = 1080, 1000, 520
MAX_BYTES = 300_000


def screenshot(page: Path, out: Path, height_px: int) -> Image.Image:
    subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--window-size={WIDTH_PX},{height_px}", f"--screenshot={out}", page.absolute().as_uri()),
        ],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return Image.open(out).convert("RGB")


def main() -> None:
    page, out = Path(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        head = screenshot(page, Path(folder) / "head.png", HEAD_PX)
        # the same page, with everything before the snapshots hidden
        html = page.read_text("utf-8").replace(
            "</style>", "header, section:not([aria-labelledby=kept]) { display: none } h2 { margin-top: 1rem }</style>"
        )
        cut = Path(folder) / "kept.html"
        cut.write_text(html, "utf-8")
        sheet = screenshot(cut, Path(folder) / "sheet.png", SHEET_PX)
    both = Image.new("RGB", (WIDTH_PX, HEAD_PX + SHEET_PX), "white")
    both.paste(head, (0, 0))
    both.paste(sheet, (0, HEAD_PX))
    both.quantize(128, dither=Image.Dither.FLOYDSTEINBERG).save(out, optimize=True)
    if out.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{out} has {out.stat().st_size:,} bytes, above {MAX_BYTES:,}")


if __name__ == "__main__":
    main()
