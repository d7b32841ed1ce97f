"""The pages and what can be sent to them. Every page is whole HTML; the script only spares the reload."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, quote, unquote, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool

from harvester.catalog import Catalog
from harvester.errors import HarvestError
from harvester.geometry import BoxPx
from harvester.records import PANEL_KINDS
from harvester.review.agreement import pair_agreements
from harvester.review.doubt import DOUBTS
from harvester.review.drawing import CannotDraw, PictureCache, draw_thumb
from harvester.review.item import draw_context, load_item, stored_snapshot
from harvester.review.queue import COUNTED_UP_TO, STATES, Filters, Queue, look_up, look_up_doubts
from harvester.review.verdicts import (
    Outdated,
    ReviewRefused,
    Verdict,
    VerdictName,
    committed,
    has_committed,
    save_verdict,
    withdraw_newest,
)

HERE = Path(__file__).parent
GRID = 60
MAX_FORM_BYTES = 64 * 1024
MAX_NAME_CHARACTERS = 80
STATIC = {"review.css": "text/css", "review.js": "text/javascript", "icon.svg": "image/svg+xml"}
KIND_NAMES = {
    "he": "H&E", "ihc": "immunohistochemistry", "other_stain": "another stain", "fluorescence": "fluorescence",
    "cytology": "cytology", "gross": "gross photograph", "radiology": "radiology", "electron": "electron micrograph",
    "gel": "gel or blot", "chart": "chart", "drawing": "drawing", "other": "something else",
}  # fmt: skip
SAID = {"accept": "Accepted", "reject": "Rejected", "correct": "Corrected"}


class Page:
    """What the handlers share: one open catalog, its queue, the pictures drawn last."""

    def __init__(self, catalog: Catalog, queue: Queue, *, reviewer: str, blind: bool) -> None:
        self.catalog = catalog
        self.queue = queue
        self.blind = blind
        self._default_reviewer = reviewer
        self.pictures = PictureCache()
        environment = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        environment.filters["figures"] = significant
        self._templates = Jinja2Templates(env=environment)

    def reviewer(self, request: Request) -> str:
        """Return who is looking: the name set in the page, else the one the command was given."""
        return unquote(request.cookies.get("harvester_reviewer", "")).strip() or self._default_reviewer

    def filters(self, values: Mapping[str, str]) -> Filters:
        return Filters.read(values, blind=self.blind)

    def show(self, request: Request, name: str, *, status: int = 200, message: str = "", **context: Any) -> Response:
        """Render a page; a message left by the page before is said once."""
        reviewer = self.reviewer(request)
        with self.catalog.reading() as connection:
            progress = self.queue.progress(connection, reviewer)
        filters = context.setdefault("filters", self.filters(request.query_params))
        flash = message or unquote(request.cookies.get("harvester_said", ""))
        context |= {
            "reviewer": reviewer,
            "blind": self.blind,
            "progress": progress,
            "flash": flash,
            "is_error": bool(message),
            "states": STATES,
            "doubts": DOUBTS,
            "facets": self.queue.facets,
            "address": lambda path, **extra: address(path, filters, **extra),
        }
        response = self._templates.TemplateResponse(request, name, context, status_code=status)
        response.headers["cache-control"] = "no-store"
        if "harvester_said" in request.cookies:
            response.delete_cookie("harvester_said", httponly=True, samesite="strict")
        return cast(HTMLResponse, response)

    def show_item(self, request: Request, snapshot_id: str, filters: Filters, *, status: int = 200, message: str = "",
                  typed: Mapping[str, str] | None = None) -> Response:  # fmt: skip
        """Render the page of one snapshot; `typed` is what a refused form held."""
        reviewer = self.reviewer(request)
        with self.catalog.reading() as connection:
            item = load_item(connection, snapshot_id, reviewer, blind=self.blind)
            if item is None:
                gone = "There is no such snapshot in this harvest (any more)."
                return self.show(request, "message.html", status=404, message=message or gone, filters=filters)
            beside = {
                name: next(
                    iter(
                        self.queue.page(connection, filters, reviewer, beside=snapshot_id, backwards=name == "previous")
                    ),
                    None,
                )
                for name in ("previous", "next")
            }
            upcoming = look_up(connection, [beside["next"]]) if beside["next"] else {}
        return self.show(
            request,
            "item.html",
            status=status,
            message=message,
            filters=filters,
            item=item,
            row=item.row,
            typed=typed or {},
            beside=beside,
            upcoming=[row["image_sha256"] for row in upcoming.values()],
            kinds=KIND_NAMES,
            said=SAID,
        )


def significant(value: float | None, digits: int = 3) -> str:
    """Return a number to so many significant figures, "–" for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def address(path: str, filters: Filters, **extra: Any) -> str:
    """Return an address of the page that keeps the filters."""
    query = {**{k: v for k, v in extra.items() if v is not None}, **filters.as_query()}
    return f"{path}?{urlencode(query)}" if query else path


def make_app(catalog: Catalog, queue: Queue, *, reviewer: str, blind: bool = False) -> FastAPI:
    """Return the application, without the gate that guards it (gate.py)."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    page = Page(catalog, queue, reviewer=reviewer, blind=blind)

    @app.exception_handler(HarvestError)
    async def refuse(request: Request, error: Exception) -> Response:
        status = 422 if isinstance(error, ReviewRefused) else 503
        return await run_in_threadpool(page.show, request, "message.html", status=status, message=str(error))

    @app.get("/")
    def home() -> Response:
        return RedirectResponse("/queue", 303)

    @app.get("/queue")
    def first(request: Request) -> Response:
        filters = page.filters(request.query_params)
        with catalog.reading() as connection:
            ids = queue.page(connection, filters, page.reviewer(request))
        if not ids:
            return page.show(request, "message.html")
        return page.show_item(request, ids[0], filters)

    @app.get("/item")
    def item(request: Request, id: str = "") -> Response:
        return page.show_item(request, id, page.filters(request.query_params))

    @app.get("/grid")
    def grid(request: Request, after: str | None = None, before: str | None = None) -> Response:
        filters, who = page.filters(request.query_params), page.reviewer(request)
        with catalog.reading() as connection:
            # one more than is shown tells whether there is another page that way
            is_back = before is not None
            found = queue.page(connection, filters, who, beside=before or after, backwards=is_back, limit=GRID + 1)
            has_more, ids = len(found) > GRID, found[-GRID:] if is_back else found[:GRID]
            behind = bool(before or after)
            if behind and ids:
                edge = ids[-1] if is_back else ids[0]
                behind = bool(queue.page(connection, filters, who, beside=edge, backwards=not is_back))
            ends = {"previous": has_more, "next": behind} if is_back else {"previous": behind, "next": has_more}
            rows, doubts = look_up(connection, ids), look_up_doubts(connection, ids)
            hidden = set(ids) - committed(connection, ids, who) if page.blind else set()
            n = queue.count(connection, filters, who)
        counted = f"more than {COUNTED_UP_TO:,}" if n > COUNTED_UP_TO else f"{n:,}"
        return page.show(
            request,
            "grid.html",
            filters=filters,
            rows=rows,
            reasons=doubts,
            hidden=hidden,
            counted=counted,
            n=n,
            ids=ids,
            ends=ends,
        )

    @app.get("/progress")
    def progress(request: Request) -> Response:
        # in a blind review this would tell what others said
        pairs = () if blind else pair_agreements(catalog)
        return page.show(request, "progress.html", pairs=pairs, said=SAID)

    @app.get("/picture/{sha256}")
    def picture(sha256: str) -> Response:
        return _picture(sha256, lambda path: FileResponse(path, media_type="image/png"))

    @app.get("/thumb/{sha256}")
    def thumb(sha256: str) -> Response:
        def draw(path: Path) -> Response:
            return _jpeg(page.pictures.get(("thumb", sha256), lambda: draw_thumb(path)))

        return _picture(sha256, draw)

    def _picture(sha256: str, show: Callable[[Path], Response]) -> Response:
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            return Response("This is no name of a picture.", 404, media_type="text/plain")
        try:
            response = show(stored_snapshot(catalog.root, sha256))
        except CannotDraw as error:
            return Response(str(error), 404, media_type="text/plain")
        # named by its content: what lies under a name never changes
        response.headers["cache-control"] = "private, max-age=86400, immutable"
        return response

    @app.get("/figure")
    def figure(request: Request, id: str = "") -> Response:
        return _drawn(request, id, panel_only=False)

    @app.get("/panel")
    def panel(request: Request, id: str = "") -> Response:
        return _drawn(request, id, panel_only=True)

    def _drawn(request: Request, id: str, *, panel_only: bool) -> Response:
        with catalog.reading() as connection:
            if blind and not has_committed(connection, id, page.reviewer(request)):
                return Response("Hidden until you have committed yourself.", 403, media_type="text/plain")
            try:
                data = page.pictures.get(
                    ("panel" if panel_only else "figure", id),
                    lambda: draw_context(connection, catalog.root, id, panel_only=panel_only),
                )
            except CannotDraw as error:
                return Response(str(error), 404, media_type="text/plain")
        return _jpeg(data)

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in STATIC:
            return Response("There is no such file.", 404, media_type="text/plain")
        return FileResponse(HERE / "static" / name, media_type=STATIC[name], headers={"cache-control": "no-cache"})

    @app.get("/favicon.ico")
    def favicon() -> Response:
        return static("icon.svg")

    @app.post("/review")
    async def review(request: Request) -> Response:
        return await run_in_threadpool(_review, request, await _form(request))

    def _review(request: Request, form: dict[str, str]) -> Response:
        filters, who = page.filters(form), page.reviewer(request)
        snapshot_id = form.get("id", "")
        try:
            verdict = read_verdict(form, who)
            if blind and verdict.verdict == "accept":
                with catalog.reading() as connection:
                    if not has_committed(connection, snapshot_id, who):
                        raise ReviewRefused("Blind review: give a magnification or reject first.")
            with catalog.reading() as connection:
                was_hidden = blind and not has_committed(connection, snapshot_id, who)
                # looked up before the verdict moves the row to another place of the queue
                following = queue.page(connection, filters, who, beside=snapshot_id)
            save_verdict(catalog, verdict, seen=form.get("seen") or None, blind=blind)
        except Outdated as error:
            return page.show_item(request, snapshot_id, filters, status=409, message=str(error), typed=form)
        except ReviewRefused as error:
            return page.show_item(request, snapshot_id, filters, status=422, message=str(error), typed=form)
        told = f"{SAID[verdict.verdict]}: {snapshot_id}."
        if was_hidden:
            return _go(address("/item", filters, id=snapshot_id), f"{told} The witnesses are shown now.")
        if not following:
            return _go(address("/queue", filters), told)
        return _go(address("/item", filters, id=following[0]), told)

    @app.post("/undo")
    async def undo(request: Request) -> Response:
        form = await _form(request)
        filters = page.filters(form)
        snapshot_id = await run_in_threadpool(withdraw_newest, catalog, page.reviewer(request))
        if snapshot_id is None:
            return _go(address("/item", filters, id=form.get("id", "")), "There is nothing of yours to take back.")
        return _go(address("/item", filters, id=snapshot_id), f"Taken back: your verdict on {snapshot_id}.")

    @app.post("/reviewer")
    async def rename(request: Request) -> Response:
        form = await _form(request)
        name = " ".join(form.get("name", "").split())[:MAX_NAME_CHARACTERS]
        back = address("/item", page.filters(form), id=form["id"]) if form.get("id") else "/queue"
        response = _go(back, f"You are now {name}." if name else "You have your first name again.")
        response.set_cookie("harvester_reviewer", quote(name), httponly=True, samesite="strict", max_age=31_536_000)
        return response

    return app


def read_verdict(form: Mapping[str, str], reviewer: str) -> Verdict:
    """Read the form of the item page.

    Raises:
        ReviewRefused: when a field is no number, no kind or no verdict.
    """
    name, kind = form.get("verdict", ""), form.get("kind", "")
    if name not in SAID:
        raise ReviewRefused("Say accept, reject or correct.")
    if kind and kind not in PANEL_KINDS:
        raise ReviewRefused("There is no such kind of picture.")
    is_correction = name == "correct"
    return Verdict(
        snapshot_id=form.get("id", ""),
        verdict=cast(VerdictName, name),
        reviewer=reviewer,
        magnification_x=_magnification(form) if is_correction else None,
        note=form.get("note", "").strip() or None,
        kind=kind if is_correction and kind else None,
        panel_label=(form.get("panel_label", "").strip()[:20] or None) if is_correction else None,
        box=_box(form) if is_correction else None,
    )


def _number(words: str, what: str) -> float:
    try:
        return float(words.strip().rstrip("x×X").strip().replace(",", "."))
    except ValueError as error:
        raise ReviewRefused(f"{what} is {words[:40]!r}: give a number.") from error


def _magnification(form: Mapping[str, str]) -> float | None:
    words = form.get("magnification_x", "").strip()
    return _number(words, "The magnification") if words else None


def _box(form: Mapping[str, str]) -> BoxPx | None:
    words = [form.get(name, "").strip() for name in ("x0_px", "y0_px", "x1_px", "y1_px")]
    if not any(words):
        return None
    numbers = [_number(word, "A corner of the box") for word in words]
    if not all(abs(number) < 10**6 for number in numbers):
        raise ReviewRefused("The box reaches beyond the panel.")
    try:
        return BoxPx(*(round(number) for number in numbers))
    except ValueError as error:
        raise ReviewRefused("The box is empty: its right edge must lie right of its left, its bottom below.") from error


async def _form(request: Request) -> dict[str, str]:
    """Read a small form.

    Raises:
        ReviewRefused: when it is larger than a person can have typed.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            raise ReviewRefused("What was sent is too long.")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _go(where: str, said: str) -> RedirectResponse:
    response = RedirectResponse(where, 303)
    response.set_cookie("harvester_said", quote(said[:500]), httponly=True, samesite="strict", max_age=60)
    return response


def _jpeg(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})
