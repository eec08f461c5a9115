"use strict";
// Tables with data-sortable sort by a press on a heading; data-csv adds their download. Without it they are plain tables.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], original = [...body.rows];
  const text = (row, column) => row.cells[column].textContent.trim();
  heads.forEach((head, column) => {
    if ("plain" in head.dataset) return;
    const button = document.createElement("button");
    button.className = "sort";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const order = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] || "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (order !== "none") head.setAttribute("aria-sort", order);
      const sign = order === "descending" ? -1 : 1, compare = new Intl.Collator(undefined, { numeric: true }).compare;
      const rank = (row) => (text(row, column) === "" ? 1 : 0);
      const sorted = (one, other) => rank(one) - rank(other) || sign * compare(text(one, column), text(other, column));
      body.append(...(order === "none" ? original : [...original].sort(sorted)));
    });
  });
  const columns = heads.flatMap((head, column) => ("plain" in head.dataset ? [] : [column]));
  const cell = (value) => `"${value.replace(/^[=+@]|^-(?![\d.])/, "'$&").replaceAll('"', '""')}"`;
  const lines = () => [columns.map((column) => heads[column].textContent.trim()), ...[...body.rows].map((row) => columns.map((column) => text(row, column)))];
  if (!table.dataset.csv) continue;
  const link = document.createElement("a");
  link.className = "button";
  link.textContent = "Download as CSV";
  link.download = table.dataset.csv;
  link.href = "#";
  link.addEventListener("click", () => {
    const csv = lines().map((line) => line.map(cell).join(",")).join("\r\n");
    link.href = URL.createObjectURL(new Blob(["\ufeff", csv, "\r\n"], { type: "text/csv" }));
  });
  table.parentElement.before(link);
}
