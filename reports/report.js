"use strict";

// Tables whose headings sort: numbers from the largest down, words from the first up, gaps always last.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const rows = [...table.tBodies[0].rows];
      const value = (row) => row.cells[column].dataset.value;
      const words = rows.some((row) => value(row) !== "" && Number.isNaN(Number(value(row))));
      const up = head.ariaSort ? head.ariaSort === "descending" : words;
      const order = (a, b) => (words ? value(a).localeCompare(value(b)) : Number(value(a)) - Number(value(b)));
      rows.sort((a, b) => (value(a) === "") - (value(b) === "") || (up ? order(a, b) : order(b, a)));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      table.tBodies[0].append(...rows);
    });
  });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((details) => (details.open = true)));

const data = JSON.parse(document.getElementById("gallery-data").textContent);
const section = document.getElementById("gallery");
const grid = section.querySelector(".gallery");
const controls = section.querySelector(".controls");
const dialog = section.querySelector("dialog");
const where = (...parts) => parts.join();
const cells = new Map(data.cells.map(([method, concept, prompt, strength, ...rest]) => [where(method, concept, prompt, strength), rest]));
const steered = data.methods.map((_, k) => k).filter((k) => k !== data.unsteered);
const zero = data.strengths.indexOf(0);
const shownPrompts = data.prompts.map((_, k) => k).filter((k) => data.prompts[k].shown);
const full = data.steps.findIndex((k) => data.strengths[k] === 1);
const state = { step: full >= 0 ? full : Math.max(0, data.steps.length - 1), prompt: shownPrompts[0] ?? 0 };
const columns = ["unsteered", ...steered];

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function short(text, length = 80) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

// At strength 0 no method changes an image, so any method's picture is the unsteered one.
function look(concept, column) {
  const strength = column === "unsteered" ? zero : data.steps[state.step];
  const methods = column !== "unsteered" ? [column] : data.unsteered >= 0 ? [data.unsteered] : steered;
  const found = methods.map((method) => cells.get(where(method, concept, state.prompt, strength))).find(Boolean);
  const [image, problem, scores] = found ?? [-1, -1, []];
  return { source: data.images[image], problem: problem < 0 ? "not planned" : data.problems[problem], scores, strength: data.strengths[strength] ?? 0 };
}

function named(column) {
  const head = grid.querySelector(`.heads [data-method="${column}"] .method`);
  return head ? head.cloneNode(true) : make("span", { className: "method", textContent: "unsteered" });
}

function words(column) {
  return column === "unsteered" ? "unsteered" : data.methods[column];
}

function signed(value) {
  return (value > 0 ? "+" : "") + value.toFixed(3).replace("-", "−");
}

function picture(found, alt) {
  if (!found.source) return make("span", { className: "gap", textContent: short(found.problem, 200), title: short(found.problem, 500) });
  const image = make("img", { alt, decoding: "async" });
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth <= 128));
  image.src = found.source;
  return image;
}

function paint(tile, concept, column) {
  const found = look(concept, column);
  const text = data.concepts[concept].text;
  const gain = column === "unsteered" || found.scores[0] == null ? "" : signed(found.scores[0]);
  const alt = `${words(column)}, ${short(text)}, strength ${found.strength}${gain && `, concept gain ${gain}`}`;
  tile.frame.replaceChildren(picture(found, alt));
  tile.caption.replaceChildren(named(column), make("span", { className: "gain", textContent: gain }));
  tile.button.setAttribute("aria-label", found.source ? `Enlarge: ${alt}` : `${alt}: ${short(found.problem, 200)}`);
}

const rows = data.concepts.map((concept, k) => {
  if (!concept.shown) return null;
  const heading = make("h3", {}, make("span", { className: "clamp", textContent: concept.text, title: short(concept.text, 500) }), make("small", { textContent: concept.kind }));
  const row = make("div", { className: "row" }, heading);
  const tiles = columns.map((column) => {
    const frame = make("span", { className: "frame" });
    const caption = make("span", { className: "caption" });
    const button = make("button", { type: "button", className: "tile" }, frame, caption);
    button.addEventListener("click", () => enlarge(k, column));
    row.append(button);
    return { button, frame, caption, column };
  });
  grid.append(row);
  return { row, tiles, concept, number: k };
}).filter(Boolean);

function update() {
  const kind = controls.elements.kind.value;
  const text = controls.elements.text.value.trim().toLowerCase();
  let visible = 0;
  for (const { row, tiles, concept, number } of rows) {
    row.hidden = (kind !== "" && concept.kind !== kind) || !`${concept.id} ${concept.text} ${concept.kind}`.toLowerCase().includes(text);
    if (row.hidden) continue;
    visible += 1;
    for (const tile of tiles) paint(tile, number, tile.column);
  }
  const strength = data.strengths[data.steps[state.step]] ?? 0;
  controls.querySelector("output").textContent = strength;
  controls.elements.strength.value = state.step;
  controls.elements.strength.setAttribute("aria-valuetext", `strength ${strength}`);
  section.querySelector(".found").textContent = `${visible} of ${data.concepts.length} concepts`;
}

let opened = null;

function enlarge(concept, column) {
  opened = { concept, column };
  const found = look(concept, column);
  const sides = column === "unsteered" ? ["unsteered"] : ["unsteered", column];
  const figures = sides.map((side) => make("figure", {}, picture(look(concept, side), `${words(side)}, large`), make("figcaption", {}, named(side))));
  dialog.querySelector(".pair").replaceChildren(...figures);
  const { text, kind } = data.concepts[concept];
  const prompt = data.prompts[state.prompt];
  const scores = data.metrics.map((metric, k) => [metric, found.scores[k] == null ? "—" : k === 0 ? signed(found.scores[k]) : found.scores[k].toFixed(3)]);
  const facts = [["Method", words(column)], ["Concept", `${text} (${kind})`], ["Prompt", prompt.text], ["Seed", prompt.seed], ["Strength", found.strength], ...scores];
  dialog.querySelector("dl").replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
  if (!dialog.open) dialog.showModal();
}

function step(by) {
  state.step = Math.min(data.steps.length - 1, Math.max(0, state.step + by));
  update();
}

dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("keydown", (event) => {
  const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const up = { ArrowDown: -1, ArrowUp: 1 }[event.key];
  if (!across && !up) return;
  event.preventDefault();
  if (up) step(up);
  const next = columns.indexOf(opened.column) + (across ?? 0);
  enlarge(opened.concept, columns[(next + columns.length) % columns.length]);
});

const promptImages = new Map();
for (const k of shownPrompts) {
  const { text } = data.prompts[k];
  const nth = (promptImages.get(text) ?? 0) + 1;
  promptImages.set(text, nth);
  controls.elements.prompt.append(make("option", { value: k, textContent: short(text, 60) + (nth > 1 ? ` · image ${nth}` : "") }));
}
for (const kind of new Set(rows.map(({ concept }) => concept.kind))) controls.elements.kind.append(make("option", { value: kind, textContent: short(kind, 40) }));
controls.elements.strength.max = data.steps.length - 1;
controls.elements.strength.parentElement.hidden = data.steps.length < 2;
controls.elements.prompt.parentElement.hidden = shownPrompts.length < 2;
controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("input", () => {
  state.step = Number(controls.elements.strength.value);
  state.prompt = Number(controls.elements.prompt.value);
  update();
});
grid.style.setProperty("--columns", columns.length);
grid.classList.toggle("many", columns.length > 9);
controls.hidden = rows.length === 0;
if (rows.length) update();
else grid.replaceChildren(make("p", { className: "empty", textContent: "No images yet." }));
