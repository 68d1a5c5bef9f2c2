// Tables whose headings sort: numbers from the largest down, words from the first up, gaps always last.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const rows = [...table.tBodies[0].rows];
      const value = (row) => {
        const cell = row.cells[column];
        const text = cell?.dataset.value ?? cell?.textContent.trim() ?? "";
        return text === "nan" || text === "None" ? "" : text;
      };
      const words = rows.some((row) => value(row) !== "" && Number.isNaN(Number(value(row))));
      const up = head.ariaSort ? head.ariaSort === "descending" : words;
      const order = (a, b) => (words ? value(a).localeCompare(value(b)) : Number(value(a)) - Number(value(b)));
      rows.sort((a, b) => (value(a) === "") - (value(b) === "") || (up ? order(a, b) : order(b, a)));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      table.tBodies[0].append(...rows);
    });
  });
}

// Methods chosen in a legend, or pointed at there, are shown alone in every chart.
{
  let chosen = new Set();
  const drawn = document.querySelectorAll(".chart [data-series]");
  const entries = document.querySelectorAll(".legend [data-series]");

  const show = (names) => {
    for (const part of drawn) {
      part.classList.toggle("dim", names.size > 0 && !names.has(part.dataset.series));
      part.classList.toggle("lit", names.has(part.dataset.series));
    }
  };

  for (const entry of entries) {
    const name = entry.dataset.series;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...entry.childNodes);
    entry.append(button);
    button.addEventListener("click", () => {
      if (!chosen.delete(name)) chosen.add(name);
      remember({ methods: [...chosen].join() });
      press();
    });
    button.addEventListener("pointerenter", () => show(new Set([...chosen, name])));
    button.addEventListener("pointerleave", () => show(chosen));
  }

  const press = () => {
    for (const entry of entries) entry.firstChild.ariaPressed = chosen.has(entry.dataset.series);
    show(chosen);
  };

  recall((choices) => {
    chosen = new Set(choices.get("methods")?.split(",") ?? []);
    press();
  });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((details) => (details.open = true)));
