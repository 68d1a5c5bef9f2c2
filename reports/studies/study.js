"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const asked = new URLSearchParams(location.search);
  const columns = ["study", "sheet", "rater", "position", "item", "choice", "rt_ms", "time"];
  const isPair = data.task === "pairs" || data.task === "strength", isSet = data.task === "best", isOne = !isPair && !isSet;
  const back = { b: "back", B: "back", Backspace: "back" };
  const keys = isPair ? { 1: "left", ArrowLeft: "left", 2: "right", ArrowRight: "right", 3: "tie", 4: "skip", ...back }
    : { ...Object.fromEntries(data.answers.map((answer, index) => [index + 1, answer])), ...(data.task === "yes-no" ? { y: "yes", Y: "yes", n: "no", N: "no" } : {}), 0: "skip", ...back };
  const choices = isPair ? ["left", "right", "tie", "skip"] : [...data.answers, "skip"];
  const slots = isPair ? ["left", "right"] : isSet ? data.answers : ["only"], typicalSeconds = 8;
  const served = data.served || null;
  const person = asked.get("PROLIFIC_PID") || asked.get("rater") || "";
  const store = served ? `htbench ${data.study} ${location.pathname}` : `htbench ${data.study} ${asked.get("sheet") || ""} ${person}`;
  let state = { rater: "", sheet: 0, answers: [] };
  let shownAt = 0, ready = false, current = 0;

  const problem = (text) => { at("problem").textContent = text; at("problem").hidden = !text; };
  const keep = () => { try { localStorage.setItem(store, JSON.stringify(state)); return true; } catch { return false; } };
  const save = () => { if (!keep() && !served) problem("This browser keeps nothing: do not close or reload the page."); };
  const recall = () => { try { return JSON.parse(localStorage.getItem(store)); } catch { return null; } };
  const only = (id) => { for (const part of ["start", "practice", "trial", "end"]) at(part).hidden = part !== id; };
  const sheet = () => data.sheets[served ? 0 : state.sheet - 1];
  const drawn = () => {
    if (served) return served.sheet;
    const wanted = Number(asked.get("sheet"));
    if (Number.isInteger(wanted) && wanted >= 1 && wanted <= data.sheets.length) return wanted;
    return 1 + crypto.getRandomValues(new Uint32Array(1))[0] % data.sheets.length;
  };

  // The index of the first trial without an answer.
  const place = () => {
    const given = new Set(state.answers.map((one) => one.position));
    let index = 0;
    while (given.has(index + 1)) index++;
    return index;
  };

  const given = (index) => state.answers.find((one) => one.position === index + 1);
  const minutes = (seconds) => { const number = Math.max(1, Math.round(seconds / 60)); return `about ${number} ${number === 1 ? "minute" : "minutes"}`; };

  // The question with the words of a trial emphasised in the place of {prompt} and {concept}.
  function ask(trial) {
    if (trial.check) return at("question").replaceChildren(data.instruction.replace("SIDE", trial.check));
    const parts = data.question.split(/(\{prompt\}, \{concept\}|\{prompt\}|\{concept\})/);
    at("question").replaceChildren(...parts.map((part, index) => {
      if (index % 2 === 0) return part;
      const words = document.createElement("em");
      words.textContent = part.replace("{prompt}", () => trial.prompt).replace("{concept}", () => trial.concept);
      return words;
    }));
  }

  const files = (trial) => `${trial.left} ${trial.right}`.trim().split(" ");

  const make = (tag, facts, ...children) => { const node = Object.assign(document.createElement(tag), facts); node.append(...children); return node; };
  const keyed = (id, words, key, ...before) => make("button", { type: "button", id }, ...before, make("span", {}, words, ...(key === null ? [] : [" ", make("kbd", {}, String(key))])));
  const scale = (prefix) => data.answers.map((answer, index) => data.task === "rating" ? keyed(`${prefix}${answer}`, `${answer}: ${data.labels[index]}`, null) : keyed(`${prefix}${answer}`, data.labels[index], index + 1));

  // The pictures, answers and words of a task that is no choice between left and right.
  function prepare() {
    const most = data.answers[0] === "yes" ? "yes" : data.answers[data.answers.length - 1];
    if (data.task === "strength") { at("practice-question").textContent = "In which of the two pictures is it stronger:"; at("practice-words").textContent = "in red"; }
    if (isPair) return;
    at("pair").hidden = true;
    for (const side of ["left", "right"]) { at(side).remove(); at(`enlarge-${side}`).remove(); }
    const image = (slot) => make("img", { id: `${slot}-picture`, alt: isSet ? `Picture ${slot}` : "The picture" });
    at("pictures").className = isSet ? "pair" : "one";
    at("pictures").append(...(isSet ? slots.map((slot) => keyed(slot, `Picture ${slot}`, slot, image(slot))) : [image("only")]));
    at("pictures").hidden = false;
    at("enlarging").append(...slots.map((slot) => make("button", { type: "button", id: `enlarge-${slot}` }, isSet ? `Enlarge ${slot}` : "Enlarge")));
    at("skip-key").textContent = "0";
    at("hint").textContent = `Click ${isSet ? "a picture" : "an answer"}, or press its number; 0 cannot say, B back. You can stop at any time, and continue later on this page.`;
    if (isSet) { at("practice-question").textContent = "Which picture looks most like"; return; }
    document.title = at("heading").textContent = "Judge pictures";
    at("scale").append(...scale(""));
    at("scale").hidden = false;
    at("practice-question").textContent = data.task === "rating" ? "How much does the picture look like" : "Does the picture show";
    at("practice-left").hidden = true;
    at("practice-right").disabled = true;
    at("practice-right").querySelector("span").hidden = true;
    at("practice-scale").append(...scale("practice-"));
    at("practice-scale").hidden = false;
    at("practice-state").textContent = "Click the answer that fits, or press its key.";
    for (const answer of data.answers) at(`practice-${answer}`).addEventListener("click", () => rate(answer, most));
  }

  function rate(answer, most) {
    const fits = answer === most;
    at("practice-state").textContent = fits ? "That is how it works." : "It is a red circle, so the picture fits. Try again.";
    for (const each of data.answers) at(`practice-${each}`).setAttribute("aria-pressed", String(each === answer));
    at("go").hidden = !fits;
    if (fits) at("go").focus();
  }

  function tellTimeLeft(left) {
    const times = state.answers.slice(-20).map((one) => one.rt_ms).sort((one, other) => one - other);
    at("remaining").textContent = times.length < 5 ? "" : `${minutes(left * (times[times.length >> 1] / 1000 + 0.5))} left`;
  }

  function show(index = place()) {
    const trials = sheet();
    if (index >= trials.length) return finish();
    const trial = trials[index], before = given(index);
    current = index;
    ready = false;
    only("trial");
    at("count").textContent = `${index + 1} of ${trials.length}`;
    at("bar").max = trials.length;
    at("bar").value = state.answers.length;
    tellTimeLeft(trials.length - state.answers.length);
    ask(trial);
    at("concept").textContent = trial.concept;
    at("idea").hidden = !data.concept;
    at("prompt").textContent = trial.prompt;
    at("tie").hidden = !data.ties;
    at("back").disabled = index === 0;
    at("forward").hidden = !before;
    for (const id of choices) {
      at(id).disabled = true;
      at(id).setAttribute("aria-pressed", String(Boolean(before) && before.choice === id));
    }
    const loading = files(trial).map((file, index) => {
      const picture = at(`${slots[index]}-picture`);
      picture.src = `pictures/${file}`;
      return picture.decode();
    });
    Promise.all(loading).then(() => {
      if (current !== index || at("trial").hidden) return;
      problem("");
      for (const id of choices) at(id).disabled = false;
      for (const slot of slots) { const picture = at(`${slot}-picture`); picture.className = picture.naturalWidth < picture.clientWidth ? "coarse" : ""; }
      shownAt = performance.now();
      ready = true;
    }, () => {
      problem("A picture could not be loaded. Check your connection: it is tried again, and nothing is lost.");
      setTimeout(() => { if (current === index && !ready) show(index); }, 3000);
    });
    const next = trials[index + 1];
    if (next) for (const file of files(next)) new Image().src = `pictures/${file}`;
  }

  // A changed answer has the time that its pair was shown in all.
  function answer(choice) {
    if (choice === "back") { if (current > 0) show(current - 1); return; }
    if (!ready || (choice === "tie" && !data.ties)) return;
    const position = current + 1, before = given(current);
    if (before && before.choice === choice) return show();
    const rt_ms = Math.round(performance.now() - shownAt) + (before ? before.rt_ms : 0);
    state.answers = state.answers.filter((one) => one !== before);
    state.answers.push({ item: sheet()[current].item, choice, rt_ms, position, time: new Date().toISOString(), revision: before ? before.revision + 1 : 0 });
    state.answers.sort((one, other) => one.position - other.position);
    save();
    if (served) server.send();
    show();
  }

  function goBackFromEnd() { if (!state.over) show(sheet().length - 1); }

  function table() {
    const cell = (value) => /[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
    const rows = state.answers.map((one) => ({ ...one, study: data.study, sheet: state.sheet, rater: state.rater }));
    return [columns, ...rows.map((row) => columns.map((name) => cell(row[name])))].map((row) => row.join(",")).join("\r\n") + "\r\n";
  }

  // Answers can be changed until the person says that they have finished.
  function finish() {
    only("end");
    at("review").hidden = Boolean(state.over);
    at("over").hidden = !state.over;
    if (!state.over) return;
    at("code").textContent = state.rater;
    at("save").href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    at("save").download = `answers-${data.study.slice(0, 6)}-${state.sheet}.csv`;
    if (data.done) at("done").href = data.done;
    if (served) return finishServed();
    at("done").hidden = !data.done;
    if (data.post) post();
  }

  function finishServed() {
    const waiting = server.unsent().length > 0;
    at("save").hidden = !waiting;
    at("done").hidden = waiting || !data.done;
    at("state").textContent = waiting ? "Saving your answers …" : "Your answers are saved. You may close this page.";
    if (!waiting && data.post) post();
  }

  function post() {
    if (state.sent) return;
    if (!served) at("state").textContent = "Sending your answers …";
    fetch(data.post, { method: "POST", headers: { "Content-Type": "text/csv" }, body: table() }).then((reply) => {
      if (!reply.ok) throw new Error(String(reply.status));
      state.sent = true;
      save();
      if (!served) at("state").textContent = "Your answers were sent. You may close this page.";
    }).catch(() => { if (!served) at("state").textContent = "Your answers could not be sent. Save them, and send the file to whoever invited you; or reload the page to try again."; });
  }

  // The server has an answer when its reply names the answer's position and revision.
  const server = served && (() => {
    const visit = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const saved = new Map((served.session ? served.session.answers : []).map((one) => [one.position, one.revision]));
    const most = 100, waits = [1, 2, 4, 8, 15];
    let busy = false, isNoted = false, isOver = false, failures = 0;
    const unsent = () => state.answers.filter((one) => !(saved.get(one.position) >= one.revision));
    const refusals = {
      403: "This link is no longer valid. Ask whoever invited you for a new one.",
      409: "Somebody else has begun with this link. Ask whoever invited you for one of your own.",
      410: "Your answers were withdrawn, and nothing of them is kept.",
    };

    async function send() {
      if (busy || isOver || (isNoted && !unsent().length)) return;
      busy = true;
      let wait = 0;
      try {
        const reply = await fetch("answers", {
          method: "POST", headers: { "Content-Type": "application/json" }, keepalive: true,
          body: JSON.stringify({ visit, rater: state.rater, answers: unsent().slice(0, most) }),
        });
        if (reply.ok) accept(await reply.json());
        else if (reply.status in refusals || reply.status === 400) refuse(reply.status, await reply.text());
        else throw new Error(String(reply.status));
        failures = 0;
      } catch {
        wait = waits[Math.min(failures++, waits.length - 1)];
        if (failures > 1) problem(at("start").hidden ? "The server does not answer. Your answers are kept in this browser and sent as soon as it does; you can go on." : "The server does not answer. Trying again …");
      }
      busy = false;
      if (wait) setTimeout(send, 1000 * wait);
      else send();
    }

    function accept(reply) {
      if (failures > 1) problem("");
      isNoted = true;
      for (const [position, revision] of Object.entries(reply.saved)) saved.set(Number(position), revision);
      state.rater = reply.rater;
      save();
      if (!at("start").hidden) practise();
      else if (!at("end").hidden && state.over) finishServed();
    }

    function refuse(status, text) {
      isOver = true;
      problem(refusals[status] || text);
      if (status === 410) try { localStorage.removeItem(store); } catch { /* nothing is kept */ }
      only("");
    }

    return { send, unsent };
  })();

  function begin() {
    state = { rater: served ? "" : at("person").value.trim(), sheet: drawn(), answers: [] };
    if (served) { state.rater = person.slice(0, 100); return server.send(); }
    if (!state.rater) return;
    save();
    practise();
  }

  function practise() { only("practice"); }

  function tryOut(side) {
    const fits = side === "right";
    at("practice-state").textContent = fits ? "That is how it works." : "Here the right picture fits better. Try again.";
    at("practice-right").setAttribute("aria-pressed", String(fits));
    at("go").hidden = !fits;
    if (fits) at("go").focus();
  }

  at("start").addEventListener("submit", (event) => { event.preventDefault(); begin(); });
  prepare();
  for (const id of [...choices, "back"]) at(id).addEventListener("click", () => answer(id));
  at("forward").addEventListener("click", () => show());
  at("return").addEventListener("click", goBackFromEnd);
  at("finish").addEventListener("click", () => { state.over = true; save(); finish(); });
  at("go").addEventListener("click", () => show());
  for (const side of ["left", "right"]) at(`practice-${side}`).addEventListener("click", () => tryOut(side));
  for (const slot of slots) {
    at(`enlarge-${slot}`).addEventListener("click", () => {
      if (!ready) return;
      at("zoomed").src = at(`${slot}-picture`).src;
      at("zoomed").alt = at(`${slot}-picture`).alt;
      at("zoom").showModal();
    });
  }
  for (const id of ["zoomed", "close"]) at(id).addEventListener("click", () => at("zoom").close());
  document.addEventListener("keydown", (event) => {
    if (at("zoom").open || event.repeat || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    const choice = keys[event.key];
    if (!at("trial").hidden) answer(choice);
    else if (!at("practice").hidden && isOne && data.answers.includes(choice)) at(`practice-${choice}`).click();
    else if (!at("practice").hidden && isSet && (choice === "1" || choice === "2")) tryOut(choice === "1" ? "left" : "right");
    else if (!at("practice").hidden && (choice === "left" || choice === "right")) tryOut(choice);
    else if (!at("end").hidden && choice === "back") goBackFromEnd();
    else return;
    event.preventDefault();
  });

  // What the server has comes first; answers that it lacks are taken from this browser.
  function resume() {
    const before = recall(), own = served && served.session;
    if (!served) return before && before.rater && data.sheets[before.sheet - 1] ? before : null;
    if (own && person && person !== own.rater) return null;
    const local = before && before.rater && (!own || own.rater === before.rater) ? before.answers : [];
    if (!own && !local.length) return null;
    const merged = new Map(own ? own.answers.map((one) => [one.position, one]) : []);
    for (const one of local) if (!merged.has(one.position) || merged.get(one.position).revision < one.revision) merged.set(one.position, one);
    const answers = [...merged.values()].sort((one, other) => one.position - other.position);
    return { rater: own ? own.rater : before.rater, sheet: served.sheet, answers, sent: before ? before.sent : false, over: before ? before.over : false };
  }

  function tellLength() {
    const number = Math.max(...data.sheets.map((trials) => trials.length));
    at("length").textContent = `${number} ${number === 1 ? data.noun.replace(/s\b/, "") : data.noun}, ${minutes(number * typicalSeconds)}.`;
  }

  const before = resume();
  if (before) { state = before; show(); if (served) server.send(); }
  else if (served && served.session) problem("Somebody else has begun with this link. Ask whoever invited you for one of your own.");
  else { at("person").value = person; at("person-label").hidden = at("person").disabled = Boolean(served); only("start"); tellLength(); }
})();
