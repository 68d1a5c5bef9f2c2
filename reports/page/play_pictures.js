// Where the page's pictures come from: the server that it was loaded from, or the page itself.
const playFacts = JSON.parse(document.getElementById("play-facts").textContent);

class PlayProblem extends Error {}

// Pictures by prompt, seed, method, concepts and strengths, the oldest ones dropped first.
class KeptPictures {
  constructor(mostLetters) {
    this.mostLetters = mostLetters;
    this.letters = 0;
    this.entries = new Map();
  }
  static key(view, method, point) {
    const acting = view.concepts.map((concept, k) => [concept.words, concept.picture, point[k]]).filter((each) => each[2] !== 0);
    return JSON.stringify([view.prompt, view.seed, acting.length ? method : "none", acting]);
  }
  get(view, method, point) {
    return this.entries.get(KeptPictures.key(view, method, point));
  }
  put(view, method, point, picture) {
    const key = KeptPictures.key(view, method, point);
    const known = this.entries.get(key);
    if (known) this.drop(key);
    this.entries.set(key, { ...known, ...picture });
    this.letters += picture.address.length;
    while (this.letters > this.mostLetters && this.entries.size > 1) this.drop(this.entries.keys().next().value);
  }
  drop(key) {
    this.letters -= this.entries.get(key).address.length;
    this.entries.delete(key);
  }
}

class Server {
  constructor() {
    this.tab = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    this.number = 0;
    this.abort = new AbortController();
  }
  // Later requests make earlier ones stale, here and at the server.
  next() {
    this.abort.abort();
    this.abort = new AbortController();
    this.number += 1;
    return { number: this.number, signal: this.abort.signal };
  }
  async pictures(view, points, { scores, turn }) {
    const concepts = view.concepts.map(({ words, picture }) => ({ words, picture }));
    const asked = { prompt: view.prompt, seed: view.seed, concepts, methods: view.methods, points, scores };
    const found = await this.post("pictures", { tab: this.tab, number: turn.number, view: asked }, "json", turn.signal);
    return found && found.rows;
  }
  async fit(method, { words, picture }) {
    return this.post("fit", { method, concept: { words, picture } }, "json");
  }
  async reference(file) {
    return (await this.request("reference", file, "application/octet-stream", "json")).picture;
  }
  async file(view, points, format) {
    const concepts = view.concepts.map(({ words, picture }) => ({ words, picture }));
    const asked = { prompt: view.prompt, seed: view.seed, concepts, methods: view.methods, points };
    return this.post("file", { view: asked, format }, "blob");
  }
  async pair({ prompt, seed, concept: { words, picture } }, sides) {
    return this.post("pair", { prompt, seed, concept: { words, picture }, sides }, "text");
  }
  post(path, value, read, signal) {
    return this.request(path, JSON.stringify(value), "application/json", read, signal);
  }
  // The body of the reply, read as "json", "text" or "blob"; null if it is stale.
  async request(path, body, type, read, signal) {
    let problem;
    try {
      const reply = await fetch(path, { method: "POST", headers: { "Content-Type": type }, body, signal });
      if (reply.status === 409) return null;
      if (reply.ok) return await reply[read]();
      problem = await reply.text();
    } catch (error) {
      if (error.name === "AbortError") return null;
      problem = "The server does not answer; is htbench play still running?";
    }
    throw new PlayProblem(problem);
  }
}

// All pictures of a demo are in the page.
class Demo {
  constructor(element) {
    const { strengths, pictures, scores } = JSON.parse(element.textContent);
    Object.assign(this, { strengths, stored: pictures, scores });
  }
  next() {
    return {};
  }
  async pictures(view, points) {
    const [{ words }] = view.concepts;
    return ["none", ...view.methods].map((method) => {
      const keys = points.map(([strength]) => JSON.stringify(strength === 0 || method === "none" ? [view.prompt, view.seed] : [view.prompt, view.seed, method, words, strength]));
      const found = keys.map((key) => this.stored[key]);
      const scores = keys.map((key) => this.scores[key] || []);
      return {
        method, pictures: method === "none" ? found.slice(0, 1) : found, note: "", needs_fit: false,
        presence: scores.map((pair) => pair[0]), preservation: scores.map((pair) => pair[1]),
        learning_seconds: (this.scores.seconds || {})[method] || 0, image_seconds: 0,
      };
    });
  }
}
