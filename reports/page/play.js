// The page of `htbench play`, and of a demo made by it.
{
  const root = document.querySelector("[data-play]");
  const find = (name) => root.querySelector(`[data-${name}]`);
  const demoData = document.getElementById("play-demo");
  const demo = demoData ? new Demo(demoData) : null;
  const source = demo || new Server();
  const kept = new KeptPictures(2 ** 26);
  const status = find("status");
  const STEPS = demo ? demo.strengths : Array.from({ length: 31 }, (_, k) => Math.round((k - 10) * 10) / 100);
  const MANY = 2; // strengths of a slider that are asked for at once
  const PAUSE = demo ? 0 : 150; // milliseconds without a change, after which further pictures are made
  const undoable = [];
  const fitting = new Set();
  let state = null;
  let pairs = null; // for a study; a demo has none
  let moving = 0; // the concept whose slider was moved last
  let shown = "";

  const random = (list) => list[Math.floor(Math.random() * list.length)];
  const methodOf = (name) => playFacts.methods.find((method) => method.name === name);
  const point = () => state.concepts.map((concept) => concept.strength);
  const pointsAlong = (strengths) => strengths.map((strength) => point().map((own, k) => (k === moving ? strength : own)));
  const concept = (words, strength = 1) => ({ words, picture: "", name: "", strength });
  const surprising = () => ({
    prompt: random(playFacts.prompts),
    seed: demo ? random(playFacts.seeds) : Math.floor(Math.random() * 1000),
    concepts: [concept(random(playFacts.examples))],
    methods: state ? state.methods : playFacts.shown_methods,
  });

  // The state is in the address, so that a link leads back to it; pictures that were dropped are not.
  const fromAddress = () => {
    const fields = new URLSearchParams(location.hash.slice(1));
    if (!fields.get("prompt")) return null;
    const strengths = fields.getAll("strength").map(Number);
    const concepts = fields.getAll("concept").slice(0, playFacts.most_concepts).map((words, k) => concept(words, Number.isFinite(strengths[k]) ? Math.max(-1, Math.min(2, strengths[k])) : 1));
    const methods = fields.getAll("method").filter(methodOf);
    const seed = Number(fields.get("seed"));
    const whole = { prompt: fields.get("prompt"), seed: Number.isSafeInteger(seed) && seed >= 0 ? seed : 0, concepts, methods: methods.length ? methods : playFacts.shown_methods };
    if (!demo) return whole.concepts.length ? whole : { ...whole, concepts: [concept(random(playFacts.examples))] };
    const isMade = playFacts.prompts.includes(whole.prompt) && playFacts.examples.includes(concepts[0] && concepts[0].words) && playFacts.seeds.includes(whole.seed);
    return isMade ? { ...whole, concepts: [concepts[0]] } : null;
  };
  const toAddress = () => {
    const fields = new URLSearchParams({ prompt: state.prompt, seed: state.seed });
    for (const each of state.concepts) {
      if (each.picture) continue;
      fields.append("concept", each.words);
      fields.append("strength", each.strength);
    }
    for (const method of state.methods) fields.append("method", method);
    return `#${fields}`;
  };

  const change = (edit, { undo = true } = {}) => {
    if (undo) {
      undoable.push(structuredClone(state));
      if (undoable.length > 200) undoable.shift();
    }
    edit(state);
    find("undo").disabled = !undoable.length;
    history.replaceState(null, "", toAddress());
    show();
    refresh();
  };

  // First the picture at the slider's place, then, after a pause, those of all its places, the nearest first.
  let begun = 0;
  const refresh = async () => {
    const own = ++begun;
    const turn = source.next();
    const view = structuredClone(state);
    const missing = (points) => points.filter((each) => view.methods.some((method) => !kept.get(view, method, each)?.scored));
    try {
      const now = point();
      if (!view.methods.every((method) => kept.get(view, method, now)) && !(await ask(view, [now], { scores: false, turn }))) return;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      if (own !== begun) return;
      const here = now[moving] ?? 0;
      const around = [...STEPS].sort((a, b) => Math.abs(a - here) - Math.abs(b - here));
      const wanted = missing([now, ...(view.concepts.length ? pointsAlong(around) : [])]);
      for (let k = 0; k < wanted.length; k += MANY) {
        if (!(await ask(view, wanted.slice(k, k + MANY), { scores: true, turn })) || own !== begun) return;
      }
      status.textContent = "";
    } catch (error) {
      if (!(error instanceof PlayProblem)) throw error;
      if (own === begun) status.textContent = error.message;
    }
  };

  // Keep the pictures of these points; false if they are stale.
  const ask = async (view, points, { scores, turn }) => {
    const rows = await source.pictures(view, points, { scores, turn });
    if (!rows) return false;
    status.textContent = "";
    for (const row of rows) {
      const at = row.method === "none" ? [view.concepts.map(() => 0)] : points;
      at.forEach((each, k) => {
        if (!row.pictures[k]) return;
        const { learning_seconds: learning, image_seconds: seconds } = row;
        const picture = { address: row.pictures[k], presence: row.presence[k], preservation: row.preservation[k], learning, scored: scores };
        if (seconds) picture.seconds = seconds;
        if (!scores) delete picture.scored, delete picture.presence, delete picture.preservation;
        kept.put(view, row.method, each, picture);
      });
      notes.set(row.method, row.note);
      if (row.needs_fit) fit(row.method, view.concepts);
    }
    show();
    return true;
  };

  const notes = new Map();
  const fits = new Map();
  // Ask after a fit until it is done, then for its pictures.
  const fit = async (method, concepts) => {
    const key = JSON.stringify([method, concepts.map(({ words, picture }) => [words, picture])]);
    if (fitting.has(key)) return;
    fitting.add(key);
    try {
      for (const each of concepts) {
        for (;;) {
          const found = await source.fit(method, each);
          if (found.state === "failed") throw new PlayProblem(found.problem);
          if (found.state === "done") break;
          fits.set(method, found);
          show();
          await new Promise((resolve) => setTimeout(resolve, 300));
          const wanted = JSON.stringify(state.concepts.map(({ words, picture }) => [words, picture]));
          if (!state.methods.includes(method) || wanted !== JSON.stringify(JSON.parse(key)[1])) return;
        }
      }
      fits.delete(method);
      refresh();
    } catch (error) {
      if (!(error instanceof PlayProblem)) throw error;
      fits.delete(method);
      notes.set(method, error.message);
      show();
    } finally {
      fitting.delete(key);
    }
  };

  const seconds = (value) => (value < 0.00005 ? "under 0.1 ms" : value < 0.0095 ? `${(1000 * value).toFixed(1)} ms` : value < 1 ? `${Math.round(1000 * value)} ms` : `${value.toFixed(1)} s`);
  const element = (tag, values = {}, children = []) => {
    const made = Object.assign(document.createElement(tag), values);
    made.append(...children);
    return made;
  };

  const figures = new Map();
  const figure = (method) => {
    if (!figures.has(method)) {
      const [after, before] = ["after", "before"].map((name) => element("img", { className: name, alt: "" }));
      const frame = element("div", { className: "play-frame" }, [after, before]);
      const caption = element("figcaption");
      after.addEventListener("load", () => frame.classList.toggle("small", after.naturalWidth <= 256));
      const name = method === "none" ? "unsteered" : method;
      const take = element("button", { type: "button", textContent: "Take for a pair" });
      take.setAttribute("aria-label", `Take for a pair: ${name}`);
      take.addEventListener("click", () => pairs.take(subject(), side(method)));
      figures.set(method, { after, before, frame, caption, take, all: element("figure", {}, [element("h2", { textContent: name }), frame, caption, ...(demo ? [] : [take])]) });
    }
    return figures.get(method);
  };

  // Put what is kept on the page; a picture that is not there yet leaves the last one with a mark.
  const show = () => {
    const zero = state.concepts.map(() => 0);
    const plain = kept.get(state, "none", zero);
    const methods = ["none", ...state.methods];
    if (shown !== methods.join()) find("pictures").replaceChildren(...methods.map((method) => figure(method).all));
    shown = methods.join();
    for (const method of methods) {
      const { after, before, frame, caption, take } = figure(method);
      const picture = kept.get(state, method, method === "none" ? zero : point());
      const note = method === "none" ? "" : fits.has(method) ? "" : notes.get(method) || "";
      frame.classList.toggle("behind", !picture && !note);
      if (picture && after.src !== picture.address) after.src = picture.address;
      after.hidden = !after.src || (!picture && Boolean(note || fits.has(method)));
      if (plain && before.src !== plain.address) before.src = plain.address;
      before.hidden = !plain || after.hidden;
      after.alt = `${state.prompt}, ${method === "none" ? "unsteered" : `${method} at ${point().join(" and ")}`}`;
      caption.replaceChildren(...described(method, picture, note));
      take.disabled = !picture || !isForPairs();
      take.setAttribute("aria-pressed", Boolean(pairs?.isFirst(subject(), side(method))));
    }
  };

  // A pair of a study has one concept, in words.
  const isForPairs = () => state.concepts.length === 1 && !state.concepts[0].picture;
  const subject = () => structuredClone({ prompt: state.prompt, seed: state.seed, concept: state.concepts[0] });
  const side = (method) => ({ method, strength: method === "none" ? 0 : state.concepts[0].strength });
  const described = (method, picture, note) => {
    const fitNow = fits.get(method);
    if (fitNow && !picture) {
      const about = fitNow.expected ? ` of about ${seconds(fitNow.expected)}` : "";
      const bar = element("progress", { max: 1 });
      bar.setAttribute("aria-label", `Fit of ${method}`);
      if (fitNow.expected) bar.value = Math.min(0.99, fitNow.seconds / fitNow.expected);
      return [`${fitNow.state}: ${seconds(fitNow.seconds)}${about}`, bar];
    }
    if (note) return [note];
    if (!picture) return [];
    const parts = [];
    if (picture.presence !== undefined && picture.presence !== null) parts.push(`presence ${picture.presence.toFixed(2)}`);
    if (picture.preservation !== undefined && method !== "none") parts.push(`kept ${picture.preservation.toFixed(2)}`);
    const times = [];
    if (picture.learning && method !== "none") times.push(`${seconds(picture.learning)} to learn`);
    if (picture.seconds) times.push(`${seconds(picture.seconds)} a picture`);
    return [parts.join(", "), element("br"), times.join(", ")];
  };

  // The fields of the concepts; rebuilt only when their number or kind changes, to keep the focus.
  let built = "";
  const buildConcepts = () => {
    const kinds = state.concepts.map((each) => each.picture).join() + state.concepts.length;
    if (built !== kinds) {
      find("concepts").replaceChildren(...state.concepts.map(conceptField));
      built = kinds;
    }
    state.concepts.forEach((each, k) => {
      const [words, slider, output] = ["words", "strength", "value"].map((name) => document.getElementById(`${name}-${k}`));
      if (words && words.value !== each.words) words.value = each.words;
      slider.value = each.strength;
      output.value = each.strength;
      slider.setAttribute("aria-valuetext", `strength ${each.strength}`);
    });
  };
  const conceptField = (each, k) => {
    const name = state.concepts.length > 1 ? `Concept ${k + 1}` : "Concept";
    const label = element("label", { textContent: name });
    let field;
    if (each.picture) {
      field = element("img", { src: each.name, alt: "The picture of the concept" });
    } else if (demo) {
      field = element("select", { id: `words-${k}` }, playFacts.examples.map((text) => element("option", { textContent: text, value: text })));
    } else {
      field = element("input", { id: `words-${k}`, maxLength: 300, autocomplete: "off", spellcheck: false });
      field.setAttribute("list", "examples");
    }
    if (!each.picture) {
      label.htmlFor = field.id;
      field.addEventListener("input", () => change((now) => (now.concepts[k].words = field.value)));
    }
    const slider = element("input", { type: "range", id: `strength-${k}`, min: STEPS[0], max: STEPS.at(-1), step: "any" });
    const output = element("output", { id: `value-${k}` });
    output.setAttribute("for", slider.id);
    const size = STEPS[1] - STEPS[0];
    const snap = (value) => STEPS.reduce((best, step) => (Math.abs(step - value) < Math.abs(best - value) ? step : best));
    slider.step = size;
    slider.addEventListener("pointerdown", () => (moving = k));
    slider.addEventListener("focus", () => {
      if (moving !== k) {
        moving = k;
        refresh();
      }
    });
    let isDragged = false;
    slider.addEventListener("input", () => {
      const undo = !isDragged;
      isDragged = true;
      moving = k;
      change((now) => (now.concepts[k].strength = snap(Number(slider.value))), { undo });
      buildConcepts();
    });
    slider.addEventListener("change", () => (isDragged = false));
    const strength = element("p", {}, [element("label", { htmlFor: slider.id }, ["Strength ", output]), slider]);
    const remove = element("button", { type: "button", textContent: "Remove", disabled: state.concepts.length < 2 });
    remove.addEventListener("click", () => {
      moving = 0;
      change((now) => now.concepts.splice(k, 1));
      build();
      (document.getElementById("words-0") || document.getElementById("strength-0")).focus();
    });
    const group = element("fieldset", { className: "play-concept" }, [element("p", {}, [label, field]), strength, ...(demo ? [] : [remove])]);
    group.setAttribute("aria-label", name);
    return group;
  };
  const build = () => {
    const [prompt, seed] = ["prompt", "seed"].map((name) => document.getElementById(name));
    if (prompt.value !== state.prompt) prompt.value = state.prompt;
    if (seed.value !== String(state.seed)) seed.value = state.seed;
    for (const box of find("methods").querySelectorAll("input")) box.checked = state.methods.includes(box.value);
    if (find("add")) find("add").disabled = state.concepts.length >= playFacts.most_concepts;
    buildConcepts();
  };

  const addPicture = async (file) => {
    try {
      const picture = await source.reference(file);
      const address = await new Promise((resolve) => {
        const reader = new FileReader();
        reader.addEventListener("load", () => resolve(reader.result));
        reader.readAsDataURL(file);
      });
      moving = 0;
      change((now) => {
        now.concepts = [{ words: "", picture, name: address, strength: 1 }];
        if (!now.methods.some((method) => methodOf(method).reads.includes("image"))) now.methods = playFacts.shown_for_pictures;
      });
      build();
      status.textContent = "";
    } catch (error) {
      if (!(error instanceof PlayProblem)) throw error;
      status.textContent = error.message;
    }
  };

  const list = () => [...new Set([0, 0.25, 0.5, 0.75, 1, state.concepts[0].strength])].sort((a, b) => a - b);
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const texts = {
    link: () => new URL(toAddress(), location.href).href,
    command: () => [
      "htbench steer",
      ...(playFacts.model === "emoji" ? [] : [`--model ${quoted(playFacts.model)}`]),
      ...state.methods.map((method) => `--method ${quoted(method)}`),
      ...state.concepts.map((each) => `--concept ${quoted(each.words)}`),
      `--prompt ${quoted(state.prompt)} --seed ${state.seed}`,
      `--strength ${state.concepts.length > 1 ? point().join() : list().join()}`,
    ].join(" "),
    python: () => {
      const words = state.concepts.map((each) => JSON.stringify(each.words));
      const several = words.length > 1;
      const strengths = several ? `(${point().join(", ")})` : list().join(", ");
      const calls = state.methods.map((method) => `    htbench.steer(${JSON.stringify(state.prompt)}, ${several ? `[${words.join(", ")}]` : words}, method=${JSON.stringify(method)}, strengths=[${strengths}], seed=${state.seed}, model=${JSON.stringify(playFacts.model)}),`);
      return ["import htbench", "", "pictures = [", ...calls, "]"].join("\n");
    },
  };
  const copy = async (kind) => {
    if (state.concepts.some((each) => each.picture)) {
      status.textContent = "This takes concepts in words; a dropped picture stays on this machine.";
      return;
    }
    const text = texts[kind]();
    try {
      await navigator.clipboard.writeText(text);
      status.textContent = "Copied.";
    } catch {
      status.textContent = text;
    }
  };
  const save = async (format) => {
    const strengths = [0, 0.25, 0.5, 0.75, 1];
    try {
      const blob = await source.file(state, pointsAlong(strengths), format);
      const link = element("a", { href: URL.createObjectURL(blob), download: `htbench.${format}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    } catch (error) {
      if (!(error instanceof PlayProblem)) throw error;
      status.textContent = error.message;
    }
  };

  // What is on the page from the start.
  const options = (id, values) => document.getElementById(id)?.replaceChildren(...values.map((value) => element("option", { value, textContent: value })));
  options(demo ? "prompt" : "prompts", playFacts.prompts);
  if (demo) options("seed", playFacts.seeds);
  else root.append(element("datalist", { id: "examples" }, playFacts.examples.map((value) => element("option", { value }))));
  find("methods").replaceChildren(...playFacts.methods.map((method) => {
    const box = element("input", { type: "checkbox", value: method.name });
    box.addEventListener("change", () => {
      const chosen = playFacts.methods.map((each) => each.name).filter((name) => (name === method.name ? box.checked : state.methods.includes(name)));
      if (chosen.length) change((now) => (now.methods = chosen));
      else box.checked = true;
    });
    return element("label", { title: method.summary }, [box, ` ${method.name}`]);
  }));
  document.getElementById("prompt").addEventListener("input", (event) => change((now) => (now.prompt = event.target.value.trim())));
  document.getElementById("seed").addEventListener("input", (event) => {
    const seed = Number(event.target.value);
    if (Number.isSafeInteger(seed) && seed >= 0) change((now) => (now.seed = seed));
  });
  find("surprise").addEventListener("click", () => {
    moving = 0;
    change((now) => {
      Object.assign(now, surprising());
      if (!now.methods.some((method) => methodOf(method).reads.includes("text"))) now.methods = playFacts.shown_methods;
    });
    build();
  });
  find("undo").addEventListener("click", () => {
    moving = 0;
    change((now) => Object.assign(now, undoable.pop()), { undo: false });
    build();
  });
  find("add")?.addEventListener("click", () => {
    change((now) => now.concepts.push(concept(random(playFacts.examples))));
    moving = state.concepts.length - 1;
    build();
    document.getElementById(`words-${moving}`).select();
  });
  find("picture")?.addEventListener("change", (event) => event.target.files[0] && addPicture(event.target.files[0]));
  if (!demo) {
    root.addEventListener("dragover", (event) => {
      event.preventDefault();
      root.classList.add("dropping");
    });
    root.addEventListener("dragleave", () => root.classList.remove("dropping"));
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      root.classList.remove("dropping");
      if (event.dataTransfer.files[0]) addPicture(event.dataTransfer.files[0]);
    });
  }
  const view = root.querySelector(".play-view");
  root.querySelectorAll("[name=mode]").forEach((box) => box.addEventListener("change", () => {
    view.dataset.mode = box.value;
    root.querySelector(".play-wipe").hidden = box.value !== "wipe";
  }));
  document.getElementById("wipe").addEventListener("input", (event) => view.style.setProperty("--wipe", `${event.target.value}%`));
  root.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", () => copy(button.dataset.copy)));
  root.querySelectorAll("[data-save]").forEach((button) => button.addEventListener("click", () => save(button.dataset.save)));
  window.addEventListener("hashchange", () => {
    const found = fromAddress();
    if (!found) return;
    change((now) => Object.assign(now, found));
    build();
  });

  state = fromAddress() || surprising();
  if (!demo) pairs = new StudyPairs(find("pairs"), source, show);
  root.hidden = false;
  build();
  show();
  refresh();
}
