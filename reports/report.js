"use strict";

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
      const value = (row) => row.cells[column].dataset.value;
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
