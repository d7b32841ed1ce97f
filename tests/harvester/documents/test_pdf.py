from __future__ import annotations

import io

import numpy as np
import pymupdf
import pytest
from PIL import Image

from harvester.documents.figures import extract_figures
from harvester.documents.pdf import PdfPage, read_document
from harvester.errors import MalformedArticle
from harvester.geometry import BoxPt, RgbImage
from harvester.records import Figure
from harvester.settings import DocumentSettings
from tests.harvester.documents.drawn import Drawing, put, text, tissue

SETTINGS = DocumentSettings()


def figure_of(drawing: Drawing, settings: DocumentSettings = SETTINGS) -> Figure:
    figures, skips = extract_figures("A.1", drawing.bytes(), None, {}, settings)
    assert len(figures) == 1, (figures, skips)
    return figures[0]


def one_page(drawing: Drawing) -> PdfPage:
    return read_document(drawing.bytes(), SETTINGS).page(0)


def reference(drawing: Drawing, box: BoxPt, width_px: int) -> RgbImage:
    """The page as PyMuPDF's own documented call paints it, about `width_px` wide in the box."""
    with pymupdf.open(stream=drawing.bytes(), filetype="pdf") as document:
        zoom = width_px / box.width
        pixmap = document[0].get_pixmap(matrix=pymupdf.Matrix(zoom, zoom), clip=pymupdf.Rect(box.as_tuple()))
        return np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.h, pixmap.w, 3)


def mean_difference(a: RgbImage, b: RgbImage) -> float:
    height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    return float(np.abs(a[:height, :width].astype(int) - b[:height, :width].astype(int)).mean())


def lone(image: str, drawing: Drawing, number: int) -> Drawing:
    drawing.page(put(image, 100, 100, 300, 200) + text(100, 320, "Figure 1: A picture."), {image: number})
    return drawing


def test_tiles_become_one_picture_again() -> None:
    whole = tissue(320, 240, 1)
    d, content, names = Drawing(), "", {}
    for row in range(4):
        for column in range(4):
            name = f"T{row}{column}"
            names[name] = d.image(whole[row * 60 : row * 60 + 60, column * 80 : column * 80 + 80])
            content += put(name, 100 + column * 80, 100 + row * 60, 80, 60)
    d.page(content + text(100, 360, "Figure 1: Tiles."), names)

    figure = figure_of(d)

    assert np.array_equal(figure.pixels, whole)
    assert (len(figure.parts), figure.pixels_from) == (1, "pdf")


def test_strips_of_unequal_height_become_one_picture_again() -> None:
    whole, d, content, names, top = tissue(300, 240, 2), Drawing(), "", {}, 0
    for i, height in enumerate((100, 90, 50)):
        names[f"S{i}"] = d.image(whole[top : top + height])
        content += put(f"S{i}", 100, 100 + top, 300, height)
        top += height
    d.page(content + text(100, 360, "Figure 1: Strips."), names)

    assert np.array_equal(figure_of(d).pixels, whole)


def test_pictures_that_touch_but_do_not_continue_each_other_stay_apart() -> None:
    d = Drawing()
    names = {"A": d.image(tissue(200, 150, 3)), "B": d.image(255 - tissue(200, 150, 4) // 2)}
    d.page(put("A", 100, 100, 200, 150) + put("B", 300, 100, 200, 150) + text(100, 270, "Figure 1: Two."), names)

    figure = figure_of(d)

    assert len(figure.parts) == 2
    assert figure.pixels.shape == (150, 400, 3)


def test_cmyk_samples_and_renders_have_the_same_colours() -> None:
    d = Drawing()
    lone("A", d, d.image(np.dstack([tissue(300, 200, 5), tissue(300, 200, 6)[..., 0] // 4])))

    figure = figure_of(d)

    assert figure.pixels_from == "pdf"
    assert mean_difference(figure.pixels, reference(d, BoxPt(100, 100, 400, 300), 300)) < 1.0


def test_inverted_cmyk_jpeg_of_photoshop_has_the_same_colours_as_its_render() -> None:
    d = Drawing()
    samples = np.dstack([tissue(300, 200, 5), tissue(300, 200, 6)[..., 0] // 3])
    lone("A", d, d.jpeg(255 - samples, "/DeviceCMYK", "CMYK", "/Decode[1 0 1 0 1 0 1 0]"))

    figure = figure_of(d)

    assert mean_difference(figure.pixels, reference(d, BoxPt(100, 100, 400, 300), 300)) < 1.0


def test_indexed_and_one_bit_and_grey_samples() -> None:
    indexed, d = tissue(300, 200, 7)[..., 0] % 4, Drawing()
    palette = np.array([[250, 240, 250], [220, 120, 180], [120, 60, 150], [40, 20, 80]], np.uint8)
    lone("A", d, d.image(indexed, f"[/Indexed/DeviceRGB 3<{palette.tobytes().hex()}>]"))
    assert np.array_equal(figure_of(d).pixels, palette[indexed])

    bits, d = tissue(303, 200, 8)[..., 0] > 150, Drawing()
    lone("A", d, d.image(bits, bits=1))
    assert np.array_equal(figure_of(d).pixels[..., 1], bits * 255)

    grey, d = tissue(300, 200, 9)[..., 1], Drawing()
    lone("A", d, d.image(grey))
    assert np.array_equal(figure_of(d).pixels, np.dstack([grey] * 3))


def test_sixteen_bits_and_jpeg2000() -> None:
    deep, d = np.linspace(0, 65535, 60000).reshape(200, 300).astype(">u2"), Drawing()
    head = "/Type/XObject/Subtype/Image/Width 300/Height 200/BitsPerComponent 16/ColorSpace/DeviceGray"
    lone("A", d, d.flate(head, deep.tobytes()))
    assert np.abs(figure_of(d).pixels[..., 0].astype(int) - deep.astype(int) // 257).max() <= 1

    buffer, d = io.BytesIO(), Drawing()
    Image.fromarray(tissue(300, 200, 4)).save(buffer, "JPEG2000")
    head = "/Type/XObject/Subtype/Image/Width 300/Height 200/Filter/JPXDecode"
    lone("A", d, d.stream(head, buffer.getvalue()))
    assert np.array_equal(figure_of(d).pixels, tissue(300, 200, 4))


def test_an_opaque_soft_mask_changes_nothing_and_a_real_one_is_painted() -> None:
    picture = tissue(300, 200, 1)
    d = Drawing()
    mask = d.image(np.full((200, 300), 255, np.uint8))
    lone("A", d, d.image(picture, extra=f"/SMask {mask} 0 R"))
    assert np.array_equal(figure_of(d).pixels, picture)

    d, half = Drawing(), np.full((200, 300), 255, np.uint8)
    half[:, :150] = 0
    mask = d.image(half)
    lone("A", d, d.image(picture, extra=f"/SMask {mask} 0 R"))
    figure = figure_of(d)
    assert figure.pixels_from == "render"
    assert figure.pixels.shape == picture.shape
    assert (figure.pixels[:, :148] == 255).all()
    assert mean_difference(figure.pixels[:, 152:], picture[:, 152:]) < 1.0


def test_what_a_clip_hides_is_cut_off_in_whole_samples() -> None:
    picture, d = tissue(300, 200, 2), Drawing()
    content = "q 150 520 200 130 re W n " + put("A", 100, 100, 300, 200) + "Q " + text(100, 320, "Figure 1: Clipped.")
    d.page(content, {"A": d.image(picture)})

    figure = figure_of(d)

    assert np.array_equal(figure.pixels, picture[50:180, 50:250])
    assert figure.page_box is not None
    assert figure.page_box.iou(BoxPt(150, 150, 350, 280)) > 0.99


def test_a_form_with_its_own_box_clips_too() -> None:
    picture, d = tissue(300, 200, 3), Drawing()
    image = d.image(picture)
    form = d.flate(
        f"/Type/XObject/Subtype/Form/BBox[0 0 200 100]/Resources<</XObject<</A {image} 0 R>>>>",
        b"q 300 0 0 200 0 0 cm /A Do Q",
    )
    d.page("q 1 0 0 1 100 500 cm /F1 Do Q " + text(100, 320, "Figure 1: In a form."), {"F1": form})

    assert np.array_equal(figure_of(d).pixels, picture[100:, :200])


def test_a_round_clip_is_painted() -> None:
    d = Drawing()
    circle = "q 250 700 m 330 700 330 500 250 500 c 170 500 170 700 250 700 c W n "
    d.page(
        circle + put("A", 100, 100, 300, 200) + "Q " + text(100, 320, "Figure 1: Round."),
        {"A": d.image(tissue(300, 200, 3) // 2)},
    )

    figure = figure_of(d)

    assert figure.pixels_from == "render"
    assert (figure.pixels[0, 0] == 255).all()


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_boxes_are_those_of_the_displayed_page(rotate: int) -> None:
    """Crop box off the origin and rotation: the box found is where PyMuPDF's own render shows the picture."""
    d = Drawing()
    d.page(put("A", 150, 200, 200, 150) + text(150, 370, "Figure 1: Somewhere."), {"A": d.image(np.zeros((150, 200), np.uint8))},  # noqa: E501
           box=(-20, 10, 620, 790), extra=f"/CropBox[30 60 560 780]/Rotate {rotate}")  # fmt: skip

    box = figure_of(d).page_box

    with pymupdf.open(stream=d.bytes(), filetype="pdf") as document:
        pixmap = document[0].get_pixmap()
        dark = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.h, pixmap.w, 3)[..., 0] < 128
    rows, columns = np.flatnonzero(dark.sum(1) > 100), np.flatnonzero(dark.sum(0) > 100)
    assert box is not None
    assert box.as_tuple() == pytest.approx((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), abs=1.1)


def test_a_slightly_turned_picture_is_painted() -> None:
    d = Drawing()
    d.page(
        "q 295 52 -35 197 120 500 cm /A Do Q " + text(100, 330, "Figure 1: Askew."), {"A": d.image(tissue(300, 200, 3))}
    )

    assert figure_of(d).pixels_from == "render"


def test_renders_stay_below_their_limit() -> None:
    d = Drawing()
    names = {"A": d.image(tissue(900, 600, 1)), "B": d.image(tissue(900, 600, 2))}
    d.page(put("A", 100, 100, 200, 133) + put("B", 320, 100, 200, 133) + text(100, 260, "Figure 1: Two."), names)

    figure = figure_of(d, DocumentSettings(max_render_px=100_000))

    assert figure.pixels.shape[0] * figure.pixels.shape[1] <= 101_000
    assert figure.parts[0].pixels.shape == (600, 900, 3)


def test_a_decompression_bomb_is_left_out_with_a_reason() -> None:
    d = Drawing()
    lone("A", d, d.image(tissue(300, 200, 1)))

    figures, skips = extract_figures("A.1", d.bytes(), None, {}, DocumentSettings(max_raster_px=50_000))

    assert (figures, [s.reason for s in skips]) == ([], ["image_too_large"])


def test_a_damaged_picture_does_not_stop_the_others() -> None:
    d = Drawing()
    head = "/Type/XObject/Subtype/Image/Width 300/Height 200/BitsPerComponent 8/ColorSpace/DeviceRGB/Filter/DCTDecode"
    broken, good = d.stream(head, b"\xff\xd8 this is no JPEG"), d.image(tissue(300, 200, 1))
    content = put("X", 100, 50, 300, 200) + text(100, 265, "Figure 1: Broken.")
    content += put("A", 100, 350, 300, 200) + text(100, 565, "Figure 2: Whole.")
    d.page(content, {"X": broken, "A": good})

    figures, _ = extract_figures("A.1", d.bytes(), None, {}, SETTINGS)

    assert "A.1/f2" in [f.figure_id for f in figures]
    assert np.array_equal(figures[-1].pixels, tissue(300, 200, 1))


def test_a_page_of_thousands_of_paths_takes_seconds_at_most() -> None:
    rng = np.random.default_rng(1)
    marks = "".join(f"{x:.1f} {y:.1f} 2 2 re f\n" for x, y in rng.uniform((100, 300), (500, 700), (20_000, 2)))
    d = Drawing()
    d.page(marks + text(100, 520, "Figure 1: A scatter plot."))

    figure = figure_of(d)

    assert figure.page_box is not None
    assert figure.page_box.iou(BoxPt(100, 98, 502, 500)) > 0.97


def bad(content: bytes) -> str:
    with pytest.raises(MalformedArticle) as caught:
        read_document(content, SETTINGS)
    assert str(caught.value).endswith(".")
    return caught.value.reason


def test_what_is_no_readable_pdf_says_why() -> None:
    whole = lone("A", d := Drawing(), d.image(tissue(60, 40))).bytes()
    with pymupdf.open(stream=whole, filetype="pdf") as document:
        locked = document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="secret", owner_pw="owner")
        open_to_read = document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, owner_pw="owner")

    assert bad(b"") == "pdf_empty"
    assert bad(b"\r\n \0") == "pdf_empty"
    assert bad(b"<!DOCTYPE html><html><body>404</body></html>") == "not_a_pdf"
    assert bad(b"PK\x03\x04 a zip") == "not_a_pdf"
    assert bad(b"%PDF-1.4\n%%EOF") == "pdf_damaged"
    assert bad(b"%PDF-1.4\n<html>Just a moment...</html>") == "pdf_damaged"
    assert bad(locked) == "pdf_encrypted"
    assert len(extract_figures("A.1", open_to_read, None, {}, SETTINGS)[0]) == 1


def test_ten_thousand_pages_are_refused_before_they_are_read() -> None:
    d = Drawing()
    for _ in range(10_000):
        d.pages.append(d.add(b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"))

    assert bad(d.bytes()) == "too_many_pages"


def test_a_truncated_pdf_gives_what_is_left_or_one_clear_error() -> None:
    whole = lone("A", d := Drawing(), d.image(tissue(300, 200))).bytes()

    for share in (0.2, 0.5, 0.8, 0.95, 0.99):
        try:
            extract_figures("A.1", whole[: int(len(whole) * share)], None, {}, SETTINGS)
        except MalformedArticle as error:
            assert error.reason == "pdf_damaged"


def test_nothing_is_written_to_the_terminal(capfd) -> None:
    whole = lone("A", d := Drawing(), d.image(tissue(300, 200))).bytes()
    extract_figures("A.1", whole.replace(b"/FlateDecode", b"/FlateDecodX"), None, {}, SETTINGS)

    assert capfd.readouterr() == ("", "")
