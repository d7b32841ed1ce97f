// Keys, drawing on the snapshot, and pages without a reload. Everything also works without this script, but for drawing.
"use strict";

const $ = (id) => document.getElementById(id);
let busy = false;
let tool = null; // {kind: "line" | "box", ends: [[x, y], [x, y]], active: 0 | 1}, in pixels of the snapshot

function say(words, isError = false) {
  $("said").className = isError ? "error" : "";
  $("said").textContent = words;
}

// pages

async function show(address, options = {}, push = true) {
  if (busy) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(address, { credentials: "same-origin", ...options });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.querySelector("main")) throw new Error(page.body.textContent);
    for (const name of ["header", "main"]) document.querySelector(name).replaceWith(page.querySelector(name));
    document.title = page.title;
    const told = page.getElementById("said");
    say(told.textContent, told.classList.contains("error"));
    if (push && answer.ok) history.pushState(null, "", answer.url);
    prepare();
    $("title").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  } catch (error) {
    const lost = error instanceof TypeError ? "harvester does not answer; is it still running? Nothing was saved." : error.message;
    say(lost, true);
  } finally {
    busy = false;
    document.body.removeAttribute("aria-busy");
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-swap]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  show(link.href);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method === "dialog") return;
  event.preventDefault();
  const values = new URLSearchParams(new FormData(form, event.submitter));
  if (form.method === "get") {
    for (const [name, value] of [...values]) if (!value) values.delete(name);
    show(`${form.getAttribute("action")}?${values}`);
  } else {
    show(form.getAttribute("action"), { method: "POST", body: values });
  }
});

window.addEventListener("popstate", () => show(location.href, {}, false));

// keys

const focusOn = { c: "magnification_x", k: "kind", l: "panel_label", n: "note" };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $("help").open) return;
  const inField = event.target.closest("input, select, textarea");
  if (event.key === "Escape") {
    if (tool) { tool = null; draw(); }
    if (inField) $("title").focus({ preventScroll: true });
    return;
  }
  if (inField || localStorage.getItem("harvester-keys") === "off") {
    if (!(tool && event.target === $("stage"))) return;
  }
  if (tool && event.target === $("stage") && steer(event)) return event.preventDefault();
  if (event.key === "?") { event.preventDefault(); openHelp(); return; }
  if (event.key === "/" && $("filters")) {
    event.preventDefault();
    $("filters").open = true;
    $("filters").querySelector("input, select").focus();
    return;
  }
  if (event.repeat) return;
  const field = $(focusOn[event.key]);
  if (field) { event.preventDefault(); field.focus(); field.select?.(); return; }
  const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (target && !target.disabled) { event.preventDefault(); target.click(); }
});

function openHelp() {
  $("single-keys").checked = localStorage.getItem("harvester-keys") !== "off";
  $("help").showModal();
}

$("single-keys").addEventListener("change", (event) => {
  localStorage.setItem("harvester-keys", event.target.checked ? "on" : "off");
});

// drawing: a line over a known length, or another box

const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function size() {
  const data = $("stage").dataset;
  return { width: +data.width, height: +data.height, x0: +data.x0, y0: +data.y0 };
}

// what is shown, in pixels of the snapshot: itself, or the whole panel round it
function view() {
  const { width, height, x0, y0 } = size();
  const data = $("stage").dataset;
  return data.whole ? [-x0, -y0, +data.panelWidth, +data.panelHeight] : [0, 0, width, height];
}

function showWhole(isWhole) {
  const [stage, picture] = [$("stage"), $("picture")];
  picture.dataset.snapshot ??= picture.getAttribute("src");
  if (isWhole) stage.dataset.whole = "yes"; else delete stage.dataset.whole;
  picture.src = isWhole ? picture.dataset.panel : picture.dataset.snapshot;
  $("overlay").setAttribute("viewBox", view().join(" "));
  $("whole").setAttribute("aria-pressed", isWhole);
  say(isWhole ? "The whole panel, drawn from the page; the snapshot is outlined." : "The snapshot.");
}

function start(kind, ends) {
  const { width, height } = size();
  tool = { kind, ends: ends ?? [[width * 0.25, height * (kind === "line" ? 0.5 : 0.25)], [width * 0.75, height * (kind === "line" ? 0.5 : 0.75)]], active: 1 };
  $("stage").focus();
  draw();
}

function steer(event) {
  if (event.key === " ") { tool.active = 1 - tool.active; draw(); return true; }
  if (event.key === "Enter") { (tool.kind === "line" ? $("length_um") : document.querySelector('#verdict button[value="correct"]')).focus(); return true; }
  const step = steps[event.key];
  if (!step) return false;
  const by = event.shiftKey ? 20 : 1;
  move(tool.active, tool.ends[tool.active].map((value, axis) => value + by * step[axis]));
  return true;
}

function move(end, [x, y]) {
  const [left, top, width, height] = view();
  tool.ends[end] = [Math.min(Math.max(x, left), left + width), Math.min(Math.max(y, top), top + height)];
  draw();
}

function shape(name, values) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(values)) node.setAttribute(key, value);
  return node;
}

function draw() {
  $("tool").replaceChildren();
  if (!tool) { $("measured").value = ""; return; }
  const [[ax, ay], [bx, by]] = tool.ends;
  const { width, x0, y0 } = size();
  const outline = tool.kind === "line" ? ["line", { x1: ax, y1: ay, x2: bx, y2: by }]
    : ["rect", { x: Math.min(ax, bx), y: Math.min(ay, by), width: Math.abs(ax - bx), height: Math.abs(ay - by) }];
  $("tool").append(shape(outline[0], { ...outline[1], class: "under" }), shape(...outline));
  $("tool").append(shape("circle", { cx: tool.ends[tool.active][0], cy: tool.ends[tool.active][1], r: width / 120 }));
  if (tool.kind === "line") {
    $("measured").value = `Line: ${lineLength().toFixed(1)} px.`;
    measured();
  } else {
    const box = { x0_px: x0 + Math.min(ax, bx), y0_px: y0 + Math.min(ay, by), x1_px: x0 + Math.max(ax, bx), y1_px: y0 + Math.max(ay, by) };
    for (const [name, value] of Object.entries(box)) $(name).value = Math.round(value);
    $("measured").value = `Box: ${Math.round(Math.abs(ax - bx))} by ${Math.round(Math.abs(ay - by))} px.`;
  }
}

const lineLength = () => Math.hypot(tool.ends[0][0] - tool.ends[1][0], tool.ends[0][1] - tool.ends[1][1]);
const readNumber = (field) => parseFloat(field.value.trim().replace(",", "."));

function measured() {
  const length = readNumber($("length_um"));
  if (tool?.kind === "line" && length > 0 && lineLength() > 0) {
    $("magnification_x").value = Number(((10 * lineLength()) / length).toPrecision(4));
    preview();
  }
}

// the scale bar follows the magnification while it is typed
function preview() {
  const x = readNumber($("magnification_x"));
  $("as-mpp").textContent = x > 0 ? `${Number((10 / x).toPrecision(3))} µm/px` : "";
  if (!(x > 0)) return;
  const { width, height } = size();
  const longest = (width * 0.25 * 10) / x;
  const power = 10 ** Math.floor(Math.log10(longest));
  const length = [5, 2, 1].find((step) => step * power <= longest * (1 + 1e-9)) * power;
  const [px, side] = [(length * x) / 10, Math.min(width, height)];
  const [left, top, thick] = [width - 0.04 * side - px, height - 0.055 * side, 0.015 * side];
  const label = shape("text", { x: left + px / 2, y: top - thick * 1.5, "font-size": 0.05 * side, "stroke-width": side / 120, "text-anchor": "middle" });
  label.textContent = length >= 1000 ? `${length / 1000} mm` : `${Number(length.toPrecision(3))} µm`;
  $("bar").classList.remove("off");
  $("bar").replaceChildren(
    shape("rect", { class: "halo", x: left - thick / 2, y: top - thick / 2, width: px + thick, height: thick * 2 }),
    shape("rect", { class: "ink", x: left, y: top, width: px, height: thick }), label);
}

function place(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform($("overlay").getScreenCTM().inverse());
  return [point.x, point.y];
}

function prepare() {
  tool = null;
  $("help-open").addEventListener("click", openHelp);
  const stage = $("stage");
  if (!stage) return;
  let zoom = 1;
  $("zoom").addEventListener("click", () => {
    zoom = zoom === 4 ? 1 : zoom * 2;
    $("sheet").style.width = $("sheet").style.height = `${100 * zoom}%`;
    say(zoom === 1 ? "The whole snapshot." : `Enlarged ${zoom} times.`);
  });
  $("whole").addEventListener("click", () => showWhole(!stage.dataset.whole));
  $("picture").addEventListener("error", () => {
    if (!stage.dataset.whole) return say("The snapshot's file is gone.", true);
    showWhole(false);
    say("The panel cannot be drawn: its file is gone, or it has no place on a page.", true);
  });
  $("measure").addEventListener("click", () => start("line"));
  $("draw-box").addEventListener("click", () => start("box"));
  $("length_um").addEventListener("input", measured);
  $("magnification_x").addEventListener("input", preview);
  $("enlarge")?.addEventListener("click", (event) => {
    const isLarge = document.querySelector(".columns").classList.toggle("figure-large");
    event.currentTarget.setAttribute("aria-pressed", isLarge);
  });
  const context = document.querySelector("#context img");
  const gone = () => {
    const words = document.createElement("p");
    words.className = "quiet";
    words.textContent = context.dataset.gone;
    context.replaceWith(words);
  };
  if (context?.complete && !context.naturalWidth) gone();
  else context?.addEventListener("error", gone);
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const from = place(event);
    start(tool?.kind ?? "line", [from, [...from]]);
    stage.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (tool && stage.hasPointerCapture(event.pointerId)) move(1, place(event));
  });
}

prepare();
