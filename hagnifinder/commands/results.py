"""Where the answers of `hagnifinder predict` go besides the terminal: tables, scripts, copies. Heavy imports inside."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hagnifinder.predict import Estimate
    from hagnifinder.preprocess import RgbImage

STDIN = "-"


class Table:
    """A CSV file that grows row by row.

    The layout "wsi-mpp" has the two columns that slide-tiling tools ask for, the file's name and µm per pixel, and
    leaves out pictures whose guess should not be used.
    """

    def __init__(self, file: IO[str], layout: str = "full") -> None:
        self.file = file
        self.layout = layout
        self.writer: csv.DictWriter[str] | None = None

    def write(self, row: dict[str, Any]) -> None:
        if self.layout == "wsi-mpp":
            row_out: dict[str, Any] = {"wsi": Path(row["path"]).name, "mpp": row["mpp_um"]}
        else:
            row_out = row
        if self.writer is None:
            self.writer = csv.DictWriter(self.file, fieldnames=list(row_out))
            self.writer.writeheader()
        if self.layout == "full" or (row["mpp_um"] is not None and not row["abstained"]):
            self.writer.writerow(row_out)

    def close(self) -> None:
        """Close here, where a full disk can still be told."""
        self.file.close()


class _Names:
    """File names for copies, after the originals; a name that comes again gets a number."""

    def __init__(self, folder: Path, ending: str) -> None:
        self.folder, self.ending = folder, ending
        self.used: dict[str, int] = {}

    def path_for(self, name: str) -> Path:
        stem = "standard-input" if name == STDIN else Path(name).stem
        # A name is 255 bytes at most, and endings are to come.
        stem = os.fsdecode(os.fsencode(stem)[:200])
        self.used[stem] = self.used.get(stem, 0) + 1
        number = "" if self.used[stem] == 1 else f"-{self.used[stem]}"
        return self.folder / f"{stem}{number}{self.ending}"


class Overlays:
    """Pictures with their scale drawn on them."""

    def __init__(self, folder: Path) -> None:
        self.names = _Names(folder, ".scale.png")

    def write(self, name: str, rgb: RgbImage, estimate: Estimate) -> None:
        from PIL import Image

        from hagnifinder.overlay import draw_scale

        Image.fromarray(draw_scale(rgb, estimate)).save(self.names.path_for(name))


class OmeCopies:
    """OME-TIFF copies that know their pixel size: the pixels as judged, lossless, and nothing else of the file.

    No EXIF, no comment and no name of a person is carried over. A picture whose guess should not be used gets no copy.
    """

    def __init__(self, folder: Path) -> None:
        self.names = _Names(folder, ".ome.tif")

    def write(self, name: str, rgb: RgbImage, estimate: Estimate) -> None:
        import tifffile

        if estimate.mpp_um is None or estimate.abstained:
            return
        per_cm = 10_000.0 / estimate.mpp_um
        tifffile.imwrite(
            self.names.path_for(name),
            rgb,
            ome=True,
            photometric="rgb",
            compression="zlib",
            tile=(256, 256),
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
            software="hagnifinder",
            metadata={
                "axes": "YXS",
                "PhysicalSizeX": estimate.mpp_um,
                "PhysicalSizeXUnit": "µm",
                "PhysicalSizeY": estimate.mpp_um,
                "PhysicalSizeYUnit": "µm",
            },
        )


class QuPathScript:
    """A Groovy script that sets the pixel size of the matching images of the project that is open in QuPath."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.sizes: dict[str, float] = {}
        self.twice: set[str] = set()

    def write(self, row: dict[str, Any]) -> None:
        name = Path(row["path"]).name
        if name in self.sizes and self.sizes[name] != row["mpp_um"]:
            self.twice.add(name)
        elif row["mpp_um"] is not None and not row["abstained"]:
            self.sizes[name] = row["mpp_um"]

    def close(self) -> list[str]:
        """Write the script; the names of pictures that are left out, since two of one name differ in size."""
        entries = [
            f"    {_groovy(name)}: {um!r}d," for name, um in sorted(self.sizes.items()) if name not in self.twice
        ]
        self.file.write(_GROOVY.replace("ENTRIES", "\n".join(entries) or "    :"))
        self.file.close()
        return sorted(self.twice)


def _groovy(text: str) -> str:
    """A Groovy string without interpolation, ASCII only: no file name can end it or run as code.

    JSON's escapes are Groovy's, but for the single quote that ends it.
    """
    inner = json.dumps(text)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{inner}'"


_GROOVY = """// Sets the pixel size of the images of the open project, in QuPath 0.4 and later.
// Automate > Script editor, open this file, Run.
def umPerPixel = [
ENTRIES
]
def project = getProject()
if (project == null) {
    println 'Open the project first.'
    return
}
int done = 0
for (entry in project.getImageList()) {
    def names = [entry.getImageName()]
    for (uri in entry.getURIs())
        names << new File(uri.getPath() ?: '').getName()
    def um = names.findResult { umPerPixel[it] }
    if (um == null)
        continue
    def data = entry.readImageData()
    def server = data.getServer()
    def metadata = new qupath.lib.images.servers.ImageServerMetadata.Builder(server.getMetadata())
        .pixelSizeMicrons(um, um)
        .build()
    data.updateServerMetadata(metadata)
    entry.saveImageData(data)
    println entry.getImageName() + ': ' + um + ' um/px'
    done++
}
project.syncChanges()
println done + ' of ' + umPerPixel.size() + ' pixel sizes set.'
"""
