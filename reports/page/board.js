// Rows that do not match the filters are hidden; the choice is in the address of the page.
for (const form of document.querySelectorAll("form[data-filters]")) {
  const rows = [...document.querySelectorAll("table[data-filtered] tbody tr")];
  const fields = [...form.elements].filter((field) => field.name);
  const found = form.querySelector("output");

  const matches = (row, { search = "", kind = "", verification = "", bundles = "" }) =>
    row.dataset.words.toLowerCase().includes(search.trim().toLowerCase()) &&
    (!kind || row.dataset.kind === kind) &&
    (!verification || row.dataset.verdict === verification) &&
    (bundles !== "latest" || row.dataset.latest === "yes");

  const apply = () => {
    const choices = Object.fromEntries(fields.map((field) => [field.name, field.value]));
    for (const row of rows) row.hidden = !matches(row, choices);
    const shown = rows.filter((row) => !row.hidden).length;
    found.textContent = `${shown} of ${rows.length} row${rows.length === 1 ? "" : "s"}`;
    return choices;
  };

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => remember(apply()));
  recall((choices) => {
    for (const field of fields) {
      field.value = choices.get(field.name) ?? "";
      if (field.selectedIndex === -1) field.value = "";
    }
    apply();
  });
}
