// The run may still go on: as soon as the page that is served differs from this one, it is read anew, at the same place.
let version = null;

async function check() {
  if (dialog.open || document.visibilityState === "hidden") return;
  const answer = await fetch("version", { cache: "no-store" }).catch(() => null);
  if (!answer?.ok) return;
  const now = await answer.text();
  version ??= now;
  if (now === version) return;
  const open = [...document.querySelectorAll("details")].map((details) => details.open);
  const above = [...document.querySelectorAll("main [id]")].filter((part) => part.getBoundingClientRect().height > 0 && part.getBoundingClientRect().top < 120).pop();
  const place = above ? { id: above.id, top: above.getBoundingClientRect().top } : { id: "", top: -scrollY };
  history.scrollRestoration = "manual";
  history.replaceState({ ...history.state, open, place }, "");
  location.reload();
}

history.state?.open?.forEach((open, k) => {
  const details = document.querySelectorAll("details")[k];
  if (details) details.open = open;
});
if (history.state?.place) {
  const { id, top } = history.state.place;
  const part = id ? document.getElementById(id) : document.body;
  if (part) scrollBy({ top: part.getBoundingClientRect().top - top, behavior: "instant" });
}
setInterval(check, 2000);
check();
