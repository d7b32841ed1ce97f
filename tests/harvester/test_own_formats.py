"""Pictures of every format people have, from `add` to the pixels the stages see, and what of their metadata leaves."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from harvester.catalog import Catalog
from harvester.export.dataset import export_dataset
from harvester.export.request import FORMATS, ExportRequest
from harvester.fetch.store import Store
from harvester.magnification import read_rgb
from harvester.pipeline.add import add, find_articles
from harvester.pipeline.read import ArticleJob, encode_png, read_figures
from harvester.records import Figure
from harvester.settings import AnnotateSettings
from tests.hagnifinder.drawn import draw_tissue
from tests.harvester.small_harvest import make_estimate, make_result, save_model, store_png

PIXELS = draw_tissue(96, 120, seed=3)
SECRET = "Jane Doe, born 1950"


def by_pillow(kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = SECRET
    if kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        options |= {"exif": exif}
    if kind == "JPEG":
        options |= {"comment": SECRET.encode()}
    Image.fromarray(PIXELS).convert(mode).save(file, kind, **options)
    return file.getvalue()


def by_tifffile(dtype: type = np.uint8, *, bigtiff: bool = False, **options: object) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=bigtiff) as tiff:
        stored = PIXELS.astype(dtype) * (257 if dtype is np.uint16 else 1)
        tiff.write(stored.astype(dtype), photometric="rgb", description=SECRET, **options)
        tiff.write(255 - PIXELS, photometric="rgb")
    return file.getvalue()


FILES = {
    "plain.png": by_pillow("PNG"),
    "palette.png": by_pillow("PNG", "P"),
    "alpha.png": by_pillow("PNG", "RGBA"),
    "photo.jpg": by_pillow("JPEG", quality=95),
    "press.jpeg": by_pillow("JPEG", "CMYK", quality=95),
    "plain.bmp": by_pillow("BMP"),
    "lossless.webp": by_pillow("WEBP", lossless=True),
    "lossless.jp2": by_pillow("JPEG2000"),
    "lzw.tif": by_pillow("TIFF", compression="tiff_lzw"),
    "deep.tiff": by_tifffile(np.uint16),
    "tiled.tif": by_tifffile(tile=(64, 64), compression="zlib"),
    "big.btf": by_tifffile(bigtiff=True, tile=(64, 64)),
}
ABOUT = {"palette.png": 60, "photo.jpg": 30, "press.jpeg": 40}
"""Grey levels that a format which loses something may be off; every other one gives the very pixels."""


def heic() -> bytes:
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(PIXELS)).save(file, quality=95)
    return file.getvalue()


def taken(tmp_path, files: dict[str, bytes]) -> Catalog:
    (tmp_path / "scans").mkdir()
    for name, data in files.items():
        (tmp_path / "scans" / name).write_bytes(data)
    articles, n_ignored = find_articles([tmp_path / "scans"])
    assert (len(articles), n_ignored) == (len(files), 0)
    catalog = Catalog.open(tmp_path / "mine", create=True)
    catalog.finish_run(catalog.start_run("add", {}), 0)
    add(articles, catalog, Store(catalog.root), licence_code="own")
    return catalog


def pixels_of(catalog: Catalog) -> dict[str, np.ndarray]:
    """What the stages see, by file name."""
    seen = {}
    for row in catalog.rows("select article_id, title from article"):
        job = ArticleJob(catalog.root, catalog.article_files(row["article_id"], catalog.root), AnnotateSettings())
        for figure in read_figures(job):
            seen[row["title"]] = figure.pixels
    return seen


def test_pictures_of_every_format_reach_the_stages(tmp_path):
    with taken(tmp_path, FILES) as catalog:
        seen = pixels_of(catalog)

    assert set(seen) == set(FILES)
    for name, pixels in seen.items():
        assert pixels.shape == PIXELS.shape, name
        far = np.abs(pixels.astype(int) - PIXELS)
        assert np.percentile(far, 99) <= ABOUT.get(name, 0), name


def test_heic_reaches_the_stages_where_its_reader_is_installed(tmp_path):
    with taken(tmp_path, {"phone.heic": heic()}) as catalog:
        (pixels,) = pixels_of(catalog).values()

    assert pixels.shape == PIXELS.shape
    assert np.median(np.abs(pixels.astype(int) - PIXELS)) < 6


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_picture_cut_short_leaves_the_others_unharmed(tmp_path, name):
    cut = {f"cut-{name}": FILES[name][: len(FILES[name]) // 3], "plain.png": FILES["plain.png"]}
    with taken(tmp_path, cut) as catalog:
        seen = pixels_of(catalog)

    assert set(seen) == {"plain.png"}


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_written_inside_a_file_leaves_in_any_format(tmp_path, kind):
    holding = {name: data for name, data in FILES.items() if SECRET.encode() in data}
    assert len(holding) >= 8
    with taken(tmp_path, holding) as catalog:
        save_model(catalog)
        figures = {}
        for number, row in enumerate(catalog.rows("select article_id, title from article")):
            article_id, pixels = row["article_id"], read_rgb(holding[row["title"]])
            figure = Figure(f"{article_id}/f1", "1", "", None, 2, None, np.resize(pixels, (200, 300, 3)), "pdf")
            figures[article_id] = [figure]
            png = encode_png(pixels[6 * number :, 9 * number :][:24, :24])
            catalog.save_result(
                make_result(article_id, [store_png(catalog.root, png)]), [make_estimate(f"{article_id}/f1/a/s1")]
            )
        request = ExportRequest(kind, keep_duplicates=True)
        export_dataset(catalog, tmp_path / "set", request, read_figures=lambda article_id: figures[article_id])

    written = [path for path in (tmp_path / "set").rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if b"Jane Doe" in path.read_bytes()]
