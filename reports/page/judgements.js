// Filters of the judgements; the choices are in the page's address.
{
  const form = document.querySelector("#judgements form");
  const entries = [...document.querySelectorAll(".judgement")].map((part) => ({
    part,
    states: part.dataset.states.split(" "),
    methods: JSON.parse(part.dataset.methods),
    words: part.dataset.words.toLowerCase(),
    verdicts: [...part.querySelectorAll(".told-by")],
  }));
  const value = (name) => form.elements[name]?.value ?? "";

  function draw() {
    const [only, method, criterion, judge, search] = ["only", "method", "criterion", "judge", "search"].map(value);
    let found = 0;
    for (const { part, states, methods, words, verdicts } of entries) {
      let said = 0;
      for (const verdict of verdicts) {
        const { judge: by, criterion: on } = verdict.dataset;
        verdict.hidden = Boolean((criterion && on !== criterion) || (judge && by && by !== judge));
        said += !verdict.hidden && Boolean(by);
      }
      part.hidden = Boolean((only && !states.includes(only)) || (method && !methods.includes(method)) || !words.includes(search.trim().toLowerCase()) || !said);
      found += !part.hidden;
    }
    form.querySelector("output").textContent = `${found} of ${entries.length} pairs`;
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    remember({ [target.name]: target.value });
    draw();
  });
  recall((choices) => {
    for (const control of form.elements) {
      if (!control.name) continue;
      control.value = choices.get(control.name) ?? "";
      if (control.selectedIndex === -1) control.value = ""; // an address may name what this run does not have
    }
    draw();
  });
  form.hidden = false;
}
