// Pairs of pictures that are picked for a study with people: a list that is seen, undone, emptied and saved as a file.
class StudyPairs {
  // `changed` is called after each step.
  constructor(section, source, changed) {
    this.section = section;
    this.source = source;
    this.changed = changed;
    this.steps = []; // what was there before each step
    this.first = null; // a picture that waits for the other one of its pair
    this.pairs = [];
    this.isSaved = true;
    this.turn = Promise.resolve();
    this.button("undo").addEventListener("click", () => this.undo());
    this.button("empty").addEventListener("click", () => this.step({ pairs: [] }, "The list is empty."));
    this.button("save").addEventListener("click", () => this.save());
    window.addEventListener("beforeunload", (event) => {
      if (!this.isSaved) event.preventDefault();
    });
    this.show("Take two pictures of one prompt, seed and concept in words: by two methods, or by one at two strengths.");
  }
  static label({ method, strength }) {
    return method === "none" ? "unsteered" : `${method} at ${strength}`;
  }
  static key(subject, ...sides) {
    return JSON.stringify([subject.prompt, subject.seed, subject.concept.words, ...sides.map(StudyPairs.label).sort()]);
  }
  button(name) {
    return this.section.querySelector(`[data-pairs-${name}]`);
  }
  isFirst(subject, side) {
    return Boolean(this.first) && StudyPairs.key(subject, side) === StudyPairs.key(this.first.subject, this.first.side);
  }
  // Take a picture: the first of a pair, or the one that makes the pair, one after the other.
  take(subject, side) {
    this.turn = this.turn.catch(() => {}).then(() => this.takeNow(subject, side));
    return this.turn;
  }
  async takeNow(subject, side) {
    const { first } = this;
    const label = StudyPairs.label(side);
    if (this.isFirst(subject, side)) return this.step({ first: null }, `${label} is not taken any more.`);
    if (!first || StudyPairs.key(subject) !== StudyPairs.key(first.subject)) {
      const before = first ? " The one before was of another prompt, seed or concept." : "";
      return this.step({ first: { subject, side } }, `Taken: ${label}. Take the other picture of the pair.${before}`);
    }
    const key = StudyPairs.key(subject, first.side, side);
    if (this.pairs.some((pair) => pair.key === key)) return this.step({ first: null }, "This pair is on the list.");
    try {
      const line = await this.source.pair(subject, [first.side, side]);
      const pair = { key, line, ...JSON.parse(line) };
      const [one, other] = pair.pictures;
      const same = one.png === other.png ? " Its pictures are identical." : "";
      this.step({ first: null, pairs: [...this.pairs, pair] }, `Pair ${this.pairs.length + 1} is on the list: ${StudyPairs.label(one)}, and ${StudyPairs.label(other)}.${same}`);
    } catch (error) {
      if (!(error instanceof PlayProblem)) throw error;
      this.show(error.message);
    }
  }
  step(change, message) {
    const { first, pairs } = this;
    this.steps.push({ first, pairs });
    Object.assign(this, change);
    this.isSaved = this.pairs === pairs ? this.isSaved : !this.pairs.length;
    this.show(message);
  }
  undo() {
    const { pairs } = this;
    Object.assign(this, this.steps.pop());
    this.isSaved = this.pairs === pairs ? this.isSaved : !this.pairs.length;
    const taken = this.first ? ` Taken: ${StudyPairs.label(this.first.side)}.` : "";
    this.show(`Undone; pairs on the list: ${this.pairs.length}.${taken}`);
  }
  save() {
    const link = Object.assign(document.createElement("a"), { download: "pairs.jsonl" });
    link.href = URL.createObjectURL(new Blob(this.pairs.map(({ line }) => `${line}\n`), { type: "application/jsonl" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    this.isSaved = true;
    this.show("Saved as pairs.jsonl. For a study of them: htbench study export pairs.jsonl");
  }
  show(message) {
    const wasHere = this.section.contains(document.activeElement);
    this.section.querySelector("[data-pairs-status]").textContent = message;
    this.section.querySelector("[data-pairs-list]").replaceChildren(...this.pairs.map((pair, k) => this.item(pair, k)));
    this.button("undo").disabled = !this.steps.length;
    this.button("empty").disabled = this.button("save").disabled = !this.pairs.length;
    this.changed();
    // a button that is gone or disabled once it was pressed leaves the focus to the heading
    const now = document.activeElement;
    if (wasHere && (now.disabled || !this.section.contains(now))) this.section.querySelector("h2").focus();
  }
  item(pair, k) {
    const pictures = pair.pictures.map(({ png }) => Object.assign(document.createElement("img"), { src: `data:image/png;base64,${png}`, alt: "" }));
    const text = document.createElement("span");
    text.textContent = `${pair.prompt}, ${pair.words}, seed ${pair.seed}: ${pair.pictures.map(StudyPairs.label).join(", ")}`;
    const remove = Object.assign(document.createElement("button"), { type: "button", textContent: "Remove" });
    remove.setAttribute("aria-label", `Remove pair ${k + 1}`);
    remove.addEventListener("click", () => this.step({ pairs: this.pairs.filter((each) => each !== pair) }, `Pair ${k + 1} is removed.`));
    const item = document.createElement("li");
    item.append(...pictures, text, remove);
    return item;
  }
}
