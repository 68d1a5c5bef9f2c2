"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const asked = new URLSearchParams(location.search);
  const columns = ["study", "sheet", "rater", "position", "item", "choice", "rt_ms", "time"];
  const keys = { 1: "left", ArrowLeft: "left", 2: "right", ArrowRight: "right", 3: "tie", 4: "skip" };
  const store = `htbench ${data.study} ${asked.get("sheet") || ""} ${asked.get("PROLIFIC_PID") || asked.get("rater") || ""}`;
  let state = { rater: "", sheet: 0, answers: [] };
  let shownAt = 0, ready = false;

  const keep = () => { try { localStorage.setItem(store, JSON.stringify(state)); } catch { at("problem").textContent = "This browser keeps nothing: do not close or reload the page."; at("problem").hidden = false; } };
  const recall = () => { try { return JSON.parse(localStorage.getItem(store)); } catch { return null; } };
  const only = (id) => { for (const part of ["start", "trial", "end"]) at(part).hidden = part !== id; };
  const sheet = () => data.sheets[state.sheet - 1];
  const drawn = () => {
    const wanted = Number(asked.get("sheet"));
    if (Number.isInteger(wanted) && wanted >= 1 && wanted <= data.sheets.length) return wanted;
    return 1 + crypto.getRandomValues(new Uint32Array(1))[0] % data.sheets.length;
  };

  function show() {
    const trials = sheet(), number = state.answers.length;
    if (number >= trials.length) return finish();
    const trial = trials[number];
    ready = false;
    only("trial");
    at("count").textContent = `${number + 1} of ${trials.length}`;
    at("bar").max = trials.length;
    at("bar").value = number;
    at("question").textContent = trial.check ? data.instruction.replace("SIDE", trial.check) : data.question;
    at("concept").textContent = trial.concept;
    at("idea").hidden = !data.concept;
    at("prompt").textContent = trial.prompt;
    at("tie").hidden = !data.ties;
    for (const id of ["left", "right", "tie", "skip"]) at(id).disabled = true;
    const loading = ["left", "right"].map((side) => {
      const picture = at(`${side}-picture`);
      picture.src = `pictures/${trial[side]}`;
      return picture.decode();
    });
    Promise.all(loading).then(() => {
      if (state.answers.length !== number) return;
      at("problem").hidden = true;
      for (const id of ["left", "right", "tie", "skip"]) at(id).disabled = false;
      shownAt = performance.now();
      ready = true;
    }, () => { at("problem").textContent = "A picture could not be loaded. Check your connection and reload the page: nothing is lost."; at("problem").hidden = false; });
    const next = trials[number + 1];
    if (next) for (const side of ["left", "right"]) new Image().src = `pictures/${next[side]}`;
  }

  function answer(choice) {
    if (!ready || (choice === "tie" && !data.ties)) return;
    const position = state.answers.length + 1;
    state.answers.push({ item: sheet()[position - 1].item, choice, rt_ms: Math.round(performance.now() - shownAt), position, time: new Date().toISOString() });
    keep();
    show();
  }

  function table() {
    const cell = (value) => /[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
    const rows = state.answers.map((one) => ({ ...one, study: data.study, sheet: state.sheet, rater: state.rater }));
    return [columns, ...rows.map((row) => columns.map((name) => cell(row[name])))].map((row) => row.join(",")).join("\r\n") + "\r\n";
  }

  function finish() {
    only("end");
    at("save").href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    at("save").download = `answers-${data.study.slice(0, 6)}-${state.sheet}.csv`;
    if (data.done) { at("done").href = data.done; at("done").hidden = false; }
    if (!data.post || state.sent) return;
    at("state").textContent = "Sending your answers …";
    fetch(data.post, { method: "POST", headers: { "Content-Type": "text/csv" }, body: table() }).then((reply) => {
      if (!reply.ok) throw new Error(String(reply.status));
      state.sent = true;
      keep();
      at("state").textContent = "Your answers were sent. You may close this page.";
    }).catch(() => { at("state").textContent = "Your answers could not be sent. Save them, and send the file to whoever invited you; or reload the page to try again."; });
  }

  at("start").addEventListener("submit", (event) => {
    event.preventDefault();
    state = { rater: at("person").value.trim(), sheet: drawn(), answers: [] };
    if (!state.rater) return;
    keep();
    show();
  });
  for (const id of ["left", "right", "tie", "skip"]) at(id).addEventListener("click", () => answer(id));
  document.addEventListener("keydown", (event) => {
    if (at("trial").hidden || event.repeat || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    answer(keys[event.key]);
  });

  const before = recall();
  if (before && before.rater && data.sheets[before.sheet - 1]) { state = before; show(); }
  else { at("person").value = asked.get("PROLIFIC_PID") || asked.get("rater") || ""; only("start"); }
})();
