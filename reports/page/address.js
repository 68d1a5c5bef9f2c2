"use strict";

// The page's address says what is shown, as in #gallery?s=1&score=presence, so that a link, a reload and the browser's
// Back and Forward show the same again. Parts of the page keep their choices in it with `remember` and follow it with `recall`.
const followers = [];
let shown = parseHash();

function parseHash() {
  const [place, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  return { place, choices: new URLSearchParams(query) };
}

function writeHash(push) {
  const query = String(shown.choices).replaceAll("%2F", "/").replaceAll("%2C", ",");
  const hash = shown.place || query ? `#${shown.place}${query && "?"}${query}` : "#";
  if (history.state?.kept && hash === (location.hash || "#")) return;
  try {
    history[push ? "pushState" : "replaceState"]({ ...history.state, kept: true }, "", hash === "#" ? location.href.split("#")[0] : hash);
  } catch {
    // A page inside another one, as in a notebook, has no address of its own.
  }
}

// Keeps choices; one that is null or empty is the default and takes no room. `push` makes a step for the Back button.
function remember(choices, { place = shown.place, push = false } = {}) {
  for (const [name, value] of Object.entries(choices)) {
    if (value == null || value === "") shown.choices.delete(name);
    else shown.choices.set(name, value);
  }
  shown.place = place;
  writeHash(push);
}

// Calls `follow` with the choices in the address, now and whenever the browser goes to another one.
function recall(follow) {
  followers.push(follow);
  follow(shown.choices);
}

function goToPlace() {
  if (shown.place) document.getElementById(shown.place)?.scrollIntoView({ behavior: "instant" });
}

addEventListener("popstate", ({ state }) => {
  const there = parseHash();
  if (state || String(there.choices)) {
    shown = there;
    followers.forEach((follow) => follow(shown.choices));
    if (!state) goToPlace();
  } else shown.place = there.place; // a link to another section: what is shown stays
  writeHash(false);
});
writeHash(false);
if (String(shown.choices) && performance.getEntriesByType("navigation")[0]?.type === "navigate") addEventListener("DOMContentLoaded", goToPlace);
