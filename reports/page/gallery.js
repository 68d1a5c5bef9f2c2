const read = (id) => JSON.parse(document.getElementById(id).textContent);
const data = read("gallery-data");
const source = read("gallery-source");
const section = document.getElementById("gallery");
const [heat, grid, dialog, more] = [".heat", ".gallery", "dialog", ".more"].map((name) => section.querySelector(name));
const controls = section.querySelector(".controls");
const form = controls.elements;
const MISSING = 65535;
const PAGE = 24; // rows of pictures that are shown at once

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function short(text, length = 80) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

// Scores and cells are packed as whole numbers, least significant byte first.
function unpack(Numbers, text) {
  return new Numbers(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

function score(packed, concept, column, metric) {
  const steps = column < 0 ? MISSING : packed[(concept * data.columns.length + column) * data.metrics.length + metric];
  const [low, step] = data.scales[metric];
  return steps === MISSING ? null : low + steps * step;
}

const signed = (metric) => metric === 0;
function figure(value, metric) {
  if (value == null) return "—";
  const text = value.toFixed(2).replace(/^(-?)0\./, "$1.").replace("-", "−");
  return signed(metric) && value > 0 ? `+${text}` : text;
}

// One shard holds all cells of a prompt and seed. A page in one file has them all, others load those that they show.
const means = unpack(Uint16Array, data.means);
const shards = new Map();
const arrivals = new Map();
globalThis.htbench = (number, shard) => arrivals.get(number)(shard);

function load(number) {
  const inline = document.getElementById(`shard-${number}`);
  if (inline) return Promise.resolve(JSON.parse(inline.textContent));
  return new Promise((resolve, reject) => {
    arrivals.set(number, resolve);
    document.head.append(make("script", { src: `data/${number}.js`, onerror: reject }));
  });
}

const asked = new Map();
function shardOf(number) {
  if (!asked.has(number)) asked.set(number, load(number).then(
    (shard) => ({ ...shard, broken: shard.broken ?? {}, cells: unpack(Int32Array, shard.cells), scores: unpack(Uint16Array, shard.scores) }),
    () => ({ lost: `data/${number}.js is not there beside this page` }),
  ));
  return asked.get(number);
}

function want(number) {
  if (shards.has(number)) return;
  shards.set(number, null);
  shardOf(number).then((shard) => shards.set(number, shard)).then(draw);
}

// Methods are numbered as they are steered with, -1 is no method; at strength 0 none changes an image.
const UNSTEERED = -1;
const methods = data.steered.map((_, method) => method);
const defaults = { step: data.full, metric: 0, order: "plan", by: -1, prompt: 0, kind: "", text: "", shown: PAGE };
const state = { ...defaults };

function columnOf(method, step = state.step) {
  return method === UNSTEERED ? data.unsteered : data.steps[step]?.columns[method] ?? -1;
}

function look(concept, method, step = state.step) {
  return cellOf(shards.get(state.prompt), concept, columnOf(method, step));
}

function cellOf(shard, concept, column) {
  if (!shard || shard.lost || column < 0) return { problem: shard?.lost ?? (shard ? "not planned" : ""), scores: data.metrics.map(() => null), column };
  const scores = data.metrics.map((_, metric) => score(shard.scores, concept, column, metric));
  const number = shard.cells[concept * data.columns.length + column];
  if (number < 0) return { problem: shard.problems[-1 - number], scores, column };
  const name = shard.images[number];
  if (shard.broken[number] || !name) return { problem: shard.broken[number] ?? "cannot be read", scores, column };
  return { name, address: source.pictures + name, scores, column };
}

function words(method) {
  return method === UNSTEERED ? "unsteered" : data.methods[data.steered[method]];
}

function named(method) {
  const head = grid.querySelector(`.heads [data-method="${data.steered[method]}"] .method`);
  return head ? head.cloneNode(true) : make("span", { className: "method", textContent: words(method) });
}

function strengthOf(step) {
  return data.steps[step]?.label ?? "0";
}

function gap(problem) {
  return make("span", { className: "gap", textContent: short(problem, 200), title: short(problem, 500) });
}

function image(address, alt) {
  const element = make("img", { alt, decoding: "async", loading: "lazy" });
  element.addEventListener("load", () => element.classList.toggle("small", element.naturalWidth <= 128));
  element.addEventListener("error", () => element.replaceWith(gap("the picture cannot be shown")), { once: true });
  element.src = address;
  return element;
}

// An image that is there is given another address, so that it does not flicker.
function put(frame, found, alt) {
  const [old] = frame.children;
  if (!found.address) frame.replaceChildren(gap(found.problem));
  else if (old?.tagName === "IMG") Object.assign(old, { alt, src: old.getAttribute("src") === found.address ? old.src : found.address });
  else frame.replaceChildren(image(found.address, alt));
}

// Which concepts are shown, and in which order.
function effect(concept, method = state.by) {
  const wanted = method === -1 ? methods : [method];
  const known = wanted.map((each) => score(means, concept, columnOf(each), state.metric)).filter((value) => value != null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

function spread(concept) {
  const known = methods.map((method) => effect(concept, method)).filter((value) => value != null);
  return known.length > 1 ? Math.max(...known) - Math.min(...known) : null;
}

function chosen() {
  const text = state.text.trim().toLowerCase();
  const all = data.concepts.map((_, concept) => concept).filter((concept) => {
    const { id, kind, text: name } = data.concepts[concept];
    return (state.kind === "" || kind === state.kind) && `${id} ${name} ${kind}`.toLowerCase().includes(text);
  });
  if (state.order === "plan") return all;
  const keys = new Map(all.map((concept) => [concept, state.order === "spread" ? spread(concept) : effect(concept)]));
  const up = state.order === "low" ? 1 : -1;
  const known = all.filter((concept) => keys.get(concept) != null).sort((a, b) => up * (keys.get(a) - keys.get(b)));
  if (state.order === "ends") return known.length > 10 ? [...known.slice(0, 5), ...known.slice(-5)] : known;
  return [...known, ...all.filter((concept) => keys.get(concept) == null)];
}

// Numbers: darker is further from 0, or nearer the best where no score is below 0.
function drawHeat(concepts) {
  const values = concepts.map((concept) => methods.map((method) => effect(concept, method)));
  const known = values.flat().filter((value) => value != null);
  const [low, high] = [known.reduce((a, b) => Math.min(a, b), Infinity), known.reduce((a, b) => Math.max(a, b), -Infinity)];
  const far = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const share = (value) => (signed(state.metric) ? Math.abs(value) / far : high > low ? (value - low) / (high - low) : 1);
  const rows = concepts.map((concept, k) => {
    const { text } = data.concepts[concept];
    const button = make("button", { type: "button", textContent: short(text, 60), title: short(text, 500) });
    button.addEventListener("click", () => enlarge(concept, best(values[k]), "heat"));
    const cells = values[k].map((value) => {
      const cell = make("td", { textContent: figure(value, state.metric), className: value == null ? "none" : value < 0 && signed(state.metric) ? "below" : "above" });
      cell.dataset.value = value ?? "";
      if (value != null) cell.style.setProperty("--share", share(value).toFixed(3));
      return cell;
    });
    const head = make("th", { scope: "row" }, button);
    head.dataset.value = text;
    const row = make("tr", {}, head, ...cells);
    row.dataset.concept = concept;
    row.classList.toggle("cut", cut(concepts, k));
    return row;
  });
  heat.querySelector("tbody").replaceChildren(...rows);
  heat.querySelector("h3 small").textContent = `${data.metrics[state.metric].toLowerCase()} at strength ${strengthOf(state.step)}`;
  const [from, to] = heat.querySelectorAll(".scale > span");
  from.textContent = known.length ? figure(signed(state.metric) ? -far : low, state.metric) : "";
  to.textContent = known.length ? figure(signed(state.metric) ? far : high, state.metric) : "";
  heat.querySelector(".scale").classList.toggle("both", signed(state.metric));
}

// Between the best and the worst there is a line.
function cut(concepts, k) {
  return state.order === "ends" && concepts.length === 10 && k === 5;
}

function best(values) {
  return values.reduce((top, value, k) => (value != null && (values[top] == null || value > values[top]) ? k : top), 0);
}

heat.querySelector("tbody").addEventListener("click", ({ target }) => {
  const cell = target.closest("td");
  if (cell) enlarge(Number(cell.parentElement.dataset.concept), cell.cellIndex - 1, "heat");
});

// Pictures: a row a concept, made when it is first shown.
const rows = new Map();

function rowOf(concept) {
  if (rows.has(concept)) return rows.get(concept);
  const { text, kind } = data.concepts[concept];
  const heading = make("h4", {}, make("span", { className: "clamp", textContent: text, title: short(text, 500) }), make("small", { textContent: kind }));
  const row = make("div", { className: "row" }, heading);
  const tiles = [UNSTEERED, ...methods].map((method) => {
    const frame = make("span", { className: "frame" });
    const gain = make("span", { className: "gain" });
    const button = make("button", { type: "button", className: "tile" }, frame, make("span", { className: "caption" }, named(method), " ", gain));
    button.addEventListener("click", () => enlarge(concept, method, "tile"));
    row.append(button);
    return { button, frame, gain, method };
  });
  rows.set(concept, { row, tiles });
  return rows.get(concept);
}

function paint(concept, { button, frame, gain, method }) {
  const found = look(concept, method);
  const value = method === UNSTEERED && signed(state.metric) ? null : found.scores[state.metric];
  gain.textContent = value == null ? "" : figure(value, state.metric);
  const told = value == null ? "" : `, ${data.metrics[state.metric].toLowerCase()} ${gain.textContent}`;
  const what = `${short(data.concepts[concept].text)}${method === UNSTEERED ? "" : `, strength ${strengthOf(state.step)}`}`;
  put(frame, found, `${words(method)}, ${what}${told}`);
  const seen = [words(method), gain.textContent].filter(Boolean).join(" "); // what can be read comes first, for those who speak to the page
  button.setAttribute("aria-label", `${seen}: ${found.address ? `enlarge ${what}` : `${what}: ${short(found.problem, 200)}`}`);
}

function drawPictures(concepts) {
  want(state.prompt);
  const shown = concepts.slice(0, state.shown);
  for (const concept of shown) for (const tile of rowOf(concept).tiles) paint(concept, tile);
  const wanted = shown.map((concept, k) => {
    const { row } = rowOf(concept);
    row.classList.toggle("cut", cut(concepts, k));
    return row;
  });
  const there = [...grid.querySelectorAll(".row")];
  if (wanted.length !== there.length || wanted.some((row, k) => row !== there[k])) {
    there.forEach((row) => row.remove());
    grid.append(...wanted);
  }
  more.hidden = concepts.length <= state.shown;
  more.textContent = `Show ${Math.min(PAGE, concepts.length - state.shown)} more of ${concepts.length - state.shown}`;
}

let concepts = [];
const nothing = make("p", { className: "empty", hidden: true });
controls.after(nothing);

function draw() {
  concepts = chosen();
  drawHeat(concepts);
  drawPictures(concepts);
  controls.querySelector("output").textContent = strengthOf(state.step);
  form.step.setAttribute("aria-valuetext", `strength ${strengthOf(state.step)}`);
  form.by.parentElement.hidden = state.order === "plan" || state.order === "spread";
  section.querySelector(".found").textContent = `${concepts.length} of ${data.concepts.length} concepts`;
  nothing.hidden = concepts.length > 0;
  nothing.textContent = `No concept${state.kind && ` of kind “${state.kind}”`} matches “${short(state.text.trim())}”.`;
  heat.hidden = concepts.length === 0 || methods.length === 0;
  grid.hidden = concepts.length === 0;
  if (dialog.open) fill();
}

let waiting = false;

function soon() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}

more.addEventListener("click", () => {
  const next = concepts[state.shown];
  state.shown += PAGE;
  draw();
  keep();
  rowOf(next).tiles[0].button.focus();
});

// One picture in full size.
let opened = null;

function enlarge(concept, method, from) {
  const push = !dialog.open;
  reveal(concept, method, from);
  keep(push);
}

function reveal(concept, method, from) {
  opened = { concept, method, from };
  if (!dialog.open) dialog.showModal();
  fill();
}

function large(concept, method) {
  const found = look(concept, method);
  const alt = `${words(method)}, large`;
  const frame = make("div", { className: "large" });
  put(frame, found, alt);
  const [picture] = frame.children;
  if (source.originals && found.name?.endsWith(".webp")) {
    const whole = image(source.originals + found.name.replace(/webp$/, "png"), alt);
    whole.addEventListener("load", () => picture.replaceWith(whole), { once: true });
    whole.loading = "eager";
  }
  return make("figure", {}, frame, make("figcaption", {}, named(method)));
}

function fill() {
  const { concept, method } = opened;
  const { text, kind } = data.concepts[concept];
  const prompt = data.prompts[state.prompt];
  const found = look(concept, method);
  const strength = method === UNSTEERED ? "0" : data.columns[found.column]?.[1] ?? strengthOf(state.step);
  const sides = method === UNSTEERED ? [UNSTEERED] : [UNSTEERED, method];
  const scores = data.metrics.map((metric, k) => [metric, figure(found.scores[k], k)]);
  const facts = [["Method", words(method)], ["Kind", kind], ["Prompt", prompt.text], ["Seed", prompt.seed], ["Strength", strength], ...scores];
  dialog.querySelector("#picture-title").textContent = short(text, 300);
  dialog.querySelector(".told").textContent = `${words(method)}, strength ${strength}, ${data.metrics[0].toLowerCase()} ${figure(found.scores[0], 0)}`;
  dialog.querySelector(".pair").replaceChildren(...sides.map((side) => large(concept, side)));
  dialog.querySelector("dl").replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
  const [strengths, others] = dialog.querySelectorAll(".strip");
  strengths.hidden = method === UNSTEERED || data.steps.length < 2;
  fillStrip(strengths, data.steps.map((step, k) => ({ found: look(concept, method, k), label: step.label, current: k === state.step, choose: () => stepTo(k) })));
  const choose = (each) => () => enlarge(concept, each, opened.from);
  fillStrip(others, [UNSTEERED, ...methods].map((each) => ({ found: look(concept, each), label: words(each), current: each === method, choose: choose(each) })));
}

// Buttons stay where they are, so that the one in focus keeps it.
function fillStrip(strip, items) {
  while (strip.children.length > items.length) strip.lastChild.remove();
  while (strip.children.length < items.length) strip.append(make("button", { type: "button" }, make("span", { className: "frame" }), make("span", { className: "label" })));
  items.forEach(({ found, label, current, choose }, k) => {
    const button = strip.children[k];
    put(button.children[0], found, "");
    button.children[1].textContent = label;
    button.toggleAttribute("aria-current", current);
    if (current) button.setAttribute("aria-current", "true");
    button.onclick = choose;
  });
}

function stepTo(step) {
  state.step = Math.min(data.steps.length - 1, Math.max(0, step));
  form.step.value = state.step;
  draw();
  keep();
}

dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => {
  if (dialog.open) return; // opened again meanwhile
  const row = opened.from === "heat" ? heat.querySelector(`[data-concept="${opened.concept}"] button`) : null;
  (row ?? rows.get(opened.concept)?.tiles.find(({ method }) => method === opened.method)?.button)?.focus();
  opened = null;
  if (shown.choices.has("pic")) keep();
});
dialog.addEventListener("keydown", (event) => {
  const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const up = { ArrowDown: -1, ArrowUp: 1 }[event.key];
  const along = { PageUp: -1, PageDown: 1 }[event.key];
  if (!across && !up && !along) return;
  event.preventDefault();
  if (up) stepTo(state.step + up);
  if (across) enlarge(opened.concept, ((opened.method + 1 + across + methods.length + 1) % (methods.length + 1)) - 1, opened.from);
  if (along) enlarge(concepts[(concepts.indexOf(opened.concept) + along + concepts.length) % concepts.length], opened.method, opened.from);
});

// The controls.
function options(select, names) {
  select.append(...names.map(([value, text]) => make("option", { value, textContent: short(text, 60) })));
}

const nth = new Map();
options(form.metric, data.metrics.map((name, k) => [k, name]));
options(form.by, methods.map((method) => [method, words(method)]));
options(form.kind, [...new Set(data.concepts.map(({ kind }) => kind))].map((kind) => [kind, kind]));
options(form.prompt, data.prompts.map(({ text }, k) => {
  nth.set(text, (nth.get(text) ?? 0) + 1);
  return [k, short(text, 50) + (nth.get(text) > 1 ? ` · image ${nth.get(text)}` : "")];
}));
form.step.max = data.steps.length - 1;
form.step.parentElement.hidden = data.steps.length < 2;
form.prompt.parentElement.hidden = data.prompts.length < 2;
form.kind.parentElement.hidden = new Set(data.concepts.map(({ kind }) => kind)).size < 2;
controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("input", ({ target }) => {
  state[target.name] = target.name in WORDS ? Number(target.value) : target.value;
  if (target.name !== "step" && target.name !== "metric") state.shown = PAGE;
  keep();
  soon();
});
addEventListener("beforeprint", () => grid.querySelectorAll("img").forEach((each) => (each.loading = "eager")));

section.style.setProperty("--columns", methods.length + 1);
grid.classList.toggle("many", methods.length > 8);
section.querySelector(".source").textContent = source.note;
section.querySelector(".source").hidden = !source.note;
