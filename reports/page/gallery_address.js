// The gallery's choices in the page's address, by their names, and those of numbers by the words that the page shows.
const NAMES = { step: "s", metric: "score", order: "order", by: "by", prompt: "prompt", kind: "kind", text: "search", shown: "rows" };
const WORDS = { step: data.steps.map(({ label }) => label), metric: data.metric_names, by: methods.map(words), prompt: data.prompts.map((_, k) => `${k + 1}`) };

function keep(push = false) {
  const choices = { pic: opened && `${data.concepts[opened.concept].id},${words(opened.method)}` };
  for (const [key, name] of Object.entries(NAMES)) choices[name] = state[key] === defaults[key] ? null : WORDS[key]?.[state[key]] ?? state[key];
  remember(choices, { place: "gallery", push });
}

function follow(choices) {
  state.shown = Math.max(PAGE, Number(choices.get(NAMES.shown)) || 0);
  for (const key of Object.keys(NAMES).filter((each) => each !== "shown")) {
    const text = choices.get(NAMES[key]);
    const value = text === null ? defaults[key] : WORDS[key]?.indexOf(text) ?? text;
    form[key].value = value;
    state[key] = form[key].value === String(value) ? value : defaults[key]; // a control refuses what it does not offer
    form[key].value = state[key];
  }
  draw();
  const [, id, method] = choices.get("pic")?.match(/^(.*),([^,]*)$/s) ?? [];
  const concept = data.concepts.findIndex((each) => each.id === id);
  if (concept >= 0) reveal(concept, methods.findIndex((each) => words(each) === method), "tile");
  else dialog.close();
}

if (data.concepts.length) {
  controls.hidden = false;
  recall(follow);
} else grid.replaceChildren(make("p", { className: "empty", textContent: "No images yet." }));
