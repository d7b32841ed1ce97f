"""PDFs written object by object, so that every trap of real ones can be set on purpose."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

LOREM = (
    "The tissue was fixed in formalin and embedded in paraffin and sections of four micrometres were cut and stained "
    "with haematoxylin and eosin before two observers read them without knowledge of the outcome of the patients "
)


def tissue(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A smooth pink and violet picture, (H, W, 3) uint8, unlike any other seed's."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 250, (max(3, height // 12), max(3, width // 12), 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@dataclass
class Drawing:
    """A PDF under construction; pages are content streams in PDF coordinates (origin bottom left)."""

    objects: list[bytes] = field(default_factory=lambda: [b"", b""])
    pages: list[int] = field(default_factory=list)

    def add(self, body: bytes) -> int:
        self.objects.append(body)
        return len(self.objects)

    def stream(self, entries: str, data: bytes) -> int:
        return self.add(f"<<{entries}/Length {len(data)}>>stream\n".encode() + data + b"\nendstream")

    def flate(self, entries: str, data: bytes) -> int:
        return self.stream(f"{entries}/Filter/FlateDecode", zlib.compress(data))

    def image(self, pixels: np.ndarray, space: str | None = None, extra: str = "", bits: int = 8) -> int:
        """(H, W) grey, (H, W, 3) RGB or (H, W, 4) CMYK samples, stored without loss."""
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        space = space or {1: "/DeviceGray", 3: "/DeviceRGB", 4: "/DeviceCMYK"}[channels]
        data = np.packbits(pixels.astype(bool), axis=1).tobytes() if bits == 1 else pixels.astype(np.uint8).tobytes()
        head = f"/Type/XObject/Subtype/Image/Width {pixels.shape[1]}/Height {pixels.shape[0]}/BitsPerComponent {bits}"
        return self.flate(f"{head}/ColorSpace {space}{extra}", data)

    def jpeg(self, pixels: np.ndarray, space: str = "/DeviceRGB", mode: str = "RGB", extra: str = "") -> int:
        buffer = io.BytesIO()
        Image.fromarray(pixels, mode).save(buffer, "JPEG", quality=92)
        head = f"/Type/XObject/Subtype/Image/Width {pixels.shape[1]}/Height {pixels.shape[0]}/BitsPerComponent 8"
        return self.stream(f"{head}/ColorSpace {space}/Filter/DCTDecode{extra}", buffer.getvalue())

    def page(
        self, content: str, images: dict[str, int] | None = None, *, box=(0, 0, 600, 800), extra: str = ""
    ) -> None:
        named = "".join(f"/{name} {number} 0 R" for name, number in (images or {}).items())
        stream = self.flate("", content.encode("latin-1"))
        media = " ".join(map(str, box))
        fonts = "".join(
            f"/{n}<</Type/Font/Subtype/Type1/BaseFont/Times-{k}>>" for n, k in (("F", "Roman"), ("B", "Bold"))
        )
        self.pages.append(
            self.add(
                f"<</Type/Page/Parent 2 0 R/MediaBox[{media}]/Contents {stream} 0 R{extra}"
                f"/Resources<</Font<<{fonts}>>/XObject<<{named}>>>>>>".encode()
            )
        )

    def bytes(self) -> bytes:
        self.objects[0] = b"<</Type/Catalog/Pages 2 0 R>>"
        kids = " ".join(f"{n} 0 R" for n in self.pages)
        self.objects[1] = f"<</Type/Pages/Kids[{kids}]/Count {len(self.pages)}>>".encode()
        out, offsets = io.BytesIO(), []
        out.write(b"%PDF-1.7\n")
        for number, body in enumerate(self.objects, 1):
            offsets.append(out.tell())
            out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
        start = out.tell()
        out.write(f"xref\n0 {len(offsets) + 1}\n0000000000 65535 f \n".encode())
        for offset in offsets:
            out.write(f"{offset:010d} 00000 n \n".encode())
        out.write(f"trailer<</Size {len(offsets) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n".encode())
        return out.getvalue()


def put(name: str, x: float, y: float, width: float, height: float, *, page_height: float = 800) -> str:
    """Paint an image with its top left corner at (x, y) from the top."""
    return f"q {width} 0 0 {height} {x} {page_height - y - height} cm /{name} Do Q\n"


def text(x: float, y: float, words: str, size: float = 9, font: str = "F", *, page_height: float = 800) -> str:
    """Set one line with its baseline at y from the top."""
    safe = words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"BT /{font} {size} Tf 1 0 0 1 {x} {page_height - y} Tm ({safe}) Tj ET\n"


def lines(x: float, y: float, rows: list[str], size: float = 9, font: str = "F", *, page_height: float = 800) -> str:
    return "".join(text(x, y + i * size * 1.2, row, size, font, page_height=page_height) for i, row in enumerate(rows))


def prose(x: float, y: float, width: float, n_lines: int, size: float = 10, *, page_height: float = 800) -> str:
    """Running text in a column; about 0.42 em per character."""
    per_line = int(width / (0.42 * size))
    words = LOREM * (1 + n_lines * per_line // len(LOREM) + 1)
    rows = [words[i * per_line : (i + 1) * per_line] for i in range(n_lines)]
    return lines(x, y, rows, size, page_height=page_height)
