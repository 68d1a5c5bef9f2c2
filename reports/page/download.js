// "SVG · CSV" below charts and tables: files that the page itself makes.
{
  const BLANKS = "[\\s\\x00-\\x1f\\x7f\\x85\\u00ad\\u180e\\u200b-\\u200f\\u2060-\\u2064\\ufeff]*";
  const FORMULA = new RegExp(`^'*(?:[\\t\\r]|${BLANKS}[=+\\-@\\u2212\\ufe62\\ufe63\\ufe66\\ufe6b\\uff0b\\uff0d\\uff1d\\uff20])`);
  const NUMBER = /^'*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
  const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "paint-order", "opacity", "font-family", "font-size", "font-weight", "text-anchor"];

  // A text that a spreadsheet would take for a formula gets an apostrophe, as in the files of htbench.
  const csvCell = (value) => {
    const text = value == null || value === "nan" || value === "None" ? "" : String(value);
    const safe = FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const csv = (rows) => rows.map((row) => `${row.map(csvCell).join()}\n`).join("");

  const textOf = (cell) => {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll(".under, .range, svg").forEach((part) => part.remove());
    return copy.textContent.replace(/\s+/g, " ").trim();
  };
  const noteOf = (cell) => [...cell.querySelectorAll(".under")].map((part) => part.textContent.replace(/\s+/g, " ").trim()).join("; ");

  // Headings of columns; those of groups stand before the headings below them.
  const headings = (table) => {
    const grid = [...table.tHead.rows].map(() => []);
    [...table.tHead.rows].forEach((row, down) => {
      for (const cell of row.cells) {
        const column = grid[down].findIndex((text) => text === undefined);
        const start = column < 0 ? grid[down].length : column;
        for (let r = down; r < down + cell.rowSpan; r++) for (let c = start; c < start + cell.colSpan; c++) grid[r][c] = textOf(cell);
      }
    });
    return grid[0].map((_, column) => [...new Set(grid.map((row) => row[column]))].filter(Boolean).join(", "));
  };

  // A cell's value in full precision; its interval and its notes take columns of their own.
  const tableRows = (table) => {
    const rows = [...table.tBodies, ...(table.tFoot ? [table.tFoot] : [])].flatMap((part) => [...part.rows]).map((row) => [...row.cells].flatMap((cell) => [cell, ...Array(cell.colSpan - 1).fill(null)]));
    const columns = headings(table).map((title, k) => {
      const cells = rows.map((row) => row[k] ?? null);
      const value = (cell) => cell?.dataset.value ?? cell?.querySelector("[data-value]")?.dataset.value ?? (cell ? textOf(cell) : "");
      const ends = ["low", "high"].map((end) => [`${title} ${end}`, cells.map((cell) => cell?.querySelector(`[data-${end}]`)?.dataset[end] ?? "")]);
      return [[title, cells.map(value)], ...ends, [`${title} note`, cells.map((cell) => (cell ? noteOf(cell) : ""))]].filter(([, values], part) => part === 0 || values.some(Boolean));
    }).flat();
    return [columns.map(([title]) => title), ...rows.map((_, k) => columns.map(([, values]) => values[k]))];
  };

  // The chart as it is seen in the light colours, without need of this page's style.
  const standAlone = (chart) => {
    const dark = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).filter((rule) => rule.media?.mediaText.includes("prefers-color-scheme: dark"));
    const conditions = dark.map((rule) => rule.media.mediaText);
    dark.forEach((rule) => (rule.media.mediaText = "not all"));
    const copy = chart.cloneNode(true);
    const parts = [...copy.querySelectorAll("*")];
    [...chart.querySelectorAll("*")].forEach((part, k) => {
      const style = getComputedStyle(part);
      if (style.display === "none") parts[k].remove();
      else for (const name of STYLES) parts[k].setAttribute(name, style.getPropertyValue(name));
    });
    dark.forEach((rule, k) => (rule.media.mediaText = conditions[k]));
    const { width, height } = chart.viewBox.baseVal;
    for (const [name, value] of Object.entries({ xmlns: "http://www.w3.org/2000/svg", width, height })) copy.setAttribute(name, value);
    copy.removeAttribute("data-rows");
    copy.insertAdjacentHTML("afterbegin", `<rect width="${width}" height="${height}" fill="#fff"/>`);
    return new XMLSerializer().serializeToString(copy);
  };

  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = `${name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 80)}.${type === "text/csv" ? "csv" : "svg"}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };

  const offer = (after, name, files) => {
    const line = document.createElement("p");
    line.className = "save";
    for (const [label, type, text] of files) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.setAttribute("aria-label", `${label}: save “${name()}”`);
      button.addEventListener("click", () => save(name(), type, text()));
      line.append(...(line.childNodes.length ? [" · ", button] : [button]));
    }
    after.after(line);
  };

  for (const chart of document.querySelectorAll("svg.chart")) {
    offer(chart, () => chart.getAttribute("aria-label"), [
      ["SVG", "image/svg+xml", () => standAlone(chart)],
      ["CSV", "text/csv", () => csv(JSON.parse(chart.dataset.rows))],
    ]);
  }
  for (const table of document.querySelectorAll("table")) {
    const region = table.closest("[role=region]") ?? table;
    const name = () => region.getAttribute("aria-label") ?? document.getElementById(region.getAttribute("aria-labelledby"))?.textContent ?? "table";
    offer(region, name, [["CSV", "text/csv", () => csv(tableRows(table))]]);
  }
}
