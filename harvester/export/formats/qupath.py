"""QuPath: an OME-TIFF with its pixel size for each image, boxes as GeoJSON beside it, and a project that lists them.

The project names its images below an address that exists nowhere; QuPath finds them at the same place relative to the
project file (its UriUpdater), so that the folder can be moved and tells nobody where it was made. A project has no
place for boxes but Java's own serialised objects, so they come as GeoJSON with a script that reads them in.

Sources: the OME model (2016-06) for TIFF; RFC 7946 and QuPath's manual, "Exporting annotations", for GeoJSON; QuPath's
`DefaultProject` for the fields of a project.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any
from xml.sax.saxutils import quoteattr

import tifffile

from harvester.export.columns import image_stem
from harvester.export.formats.writer import Writer
from harvester.export.pictures import decode

PROJECT_NAME = "project.qpproj"
ENTRIES_NAME = "entries.part"
BASE = "file:/moved/dataset/"
"""Where the project says that it was; QuPath looks for images relative to where it is."""
TILE_PX = 256

_SCRIPT = """// Automate > Show script editor, open this file, Run > Run for project: reads the boxes in and saves them.
def server = getCurrentServer()
def image = new File(new URI(server.getURIs()[0].toString()))
def boxes = new File(image.getPath().replaceAll(/\\.ome\\.tif$/, '.geojson'))
if (boxes.exists()) {
    clearAllObjects()
    importObjectsFromFile(boxes.getPath())
    setImageType('BRIGHTFIELD_H_E')
}
"""
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class QuPathWriter(Writer):
    """`images/NAME.ome.tif` and `images/NAME.geojson`, `project.qpproj`, `scripts/import_boxes.groovy`."""

    def add(self, record: Mapping[str, Any], png: bytes) -> None:
        """Write one image with its box and its entry in the project."""
        stem = image_stem(record)
        name = f"images/{stem}.ome.tif"
        self.workplace.write(name, ome_tiff(png, record, f"{stem}.ome.tif"))
        boxes = json.dumps(geojson(record), indent=1) + "\n"
        self.workplace.write(f"images/{stem}.geojson", boxes.encode())
        self._list(record, name)
        number = self.state["n_images"] = self.state.get("n_images", 0) + 1
        self.workplace.append(ENTRIES_NAME, json.dumps(_entry(number, record, name, stem)) + "\n")

    def finish(self) -> None:
        """Put the entries into one project."""
        with self.workplace.path(PROJECT_NAME).open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(self._project())
        self.workplace.hash_file(PROJECT_NAME)
        classes = {"pathClasses": [{"name": "H&E", "color": -3394611}]}
        self.workplace.write("classifiers/classes.json", (json.dumps(classes) + "\n").encode())
        self.workplace.write("scripts/import_boxes.groovy", _SCRIPT.encode())
        self.workplace.drop(ENTRIES_NAME)

    def _project(self) -> Iterator[str]:
        head = {
            "version": "0.5.1",
            "createTimestamp": 0,
            "modifyTimestamp": 0,
            "uri": f"{BASE}{PROJECT_NAME}",
            "lastID": self.state.get("n_images", 0),
        }
        yield json.dumps(head)[:-1] + ', "images": [\n'
        for number, line in enumerate(self.workplace.lines(ENTRIES_NAME)):
            yield ("" if number == 0 else ",\n") + line.rstrip("\n")
        yield "\n]}\n"


def _entry(number: int, record: Mapping[str, Any], name: str, stem: str) -> dict[str, Any]:
    shown = ("snapshot_id", "mpp_um", "mpp_lo_um", "mpp_hi_um", "magnification_x", "magnification_source", "agreement",
             "split", "citation", "licence_code", "licence_url", "article_url")  # fmt: skip
    return {
        "serverBuilder": {
            "builderType": "uri",
            "providerClassName": "qupath.lib.images.servers.bioformats.BioFormatsServerBuilder",
            "uri": f"{BASE}{name}",
            "args": ["--series", "0"],
        },
        "entryID": number,
        "randomizedName": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{stem}#name")),
        "imageName": stem,
        "description": record["caption"],
        "metadata": {key: str(record[key]) for key in shown if record[key] not in (None, "")},
    }


def geojson(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the H&E region as a feature collection; coordinates are pixels of the image, origin top left."""
    w, h = record["width_px"], record["height_px"]
    ring = [[0, 0], [w, 0], [w, h], [0, h], [0, 0]]
    measured = ("mpp_um", "mpp_lo_um", "mpp_hi_um", "magnification_x", "he_score")
    feature = {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, image_stem(record))),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "annotation",
            "name": f"{record['figure_label']} {record['panel_label']}".strip() or record["snapshot_id"],
            "classification": {"name": "H&E", "color": [204, 51, 205]},
            "isLocked": True,
            "measurements": {name: record[name] for name in measured if record[name] is not None},
            "metadata": {"snapshot_id": record["snapshot_id"], "caption": record["caption"]},
        },
    }
    return {"type": "FeatureCollection", "features": [feature]}


def ome_tiff(png: bytes, record: Mapping[str, Any], name: str) -> bytes:
    """Return a PNG's pixels as an OME-TIFF in tiles, losslessly; the same pixels and labels give the same bytes."""
    pixels = decode(png)
    mpp_um = record["mpp_um"]
    per_cm = None if mpp_um is None else (1e4 / mpp_um, 1e4 / mpp_um)
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer, ome=False) as file:
        file.write(
            pixels,
            photometric="rgb",
            tile=(TILE_PX, TILE_PX),
            compression="zlib",
            description=_ome_xml(pixels.shape[1], pixels.shape[0], record, name).encode(),
            metadata=None,
            software=False,
            resolution=per_cm,
            resolutionunit=None if per_cm is None else "CENTIMETER",
        )
    return buffer.getvalue()


def _ome_xml(width: int, height: int, record: Mapping[str, Any], name: str) -> str:
    mpp_um = record["mpp_um"]
    size = "" if mpp_um is None else "".join(
        f' PhysicalSize{axis}="{mpp_um!r}" PhysicalSize{axis}Unit="&#181;m"' for axis in "XY"
    )  # fmt: skip
    words = f"{record['caption']} {record['citation']} {record['licence_code']} {record['licence_url']}"
    description = quoteattr(_NOT_XML.sub("\ufffd", words))[1:-1].replace('"', "&quot;")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:schemaLocation="http://www.openmicroscopy.org/Schemas/OME/2016-06'
        ' http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd">'
        f'<Image ID="Image:0" Name={quoteattr(name)}><Description>{description}</Description>'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" Interleaved="true" SignificantBits="8"'
        f' BigEndian="false" SizeX="{width}" SizeY="{height}" SizeC="3" SizeZ="1" SizeT="1"{size}>'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/>'
        "</Pixels></Image></OME>"
    )
