for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const old = head.getAttribute("aria-sort");
    const down = old === "none" ? !head.classList.contains("text") : old === "ascending";
    heads.forEach(other => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = head.classList.contains("text") ? (a, b) => a.localeCompare(b)
      : (a, b) => number(a) - number(b);
    const rows = [...table.tBodies[0].rows].sort((a, b) =>
      (down ? -1 : 1) * compare(value(a), value(b)));
    table.tBodies[0].append(...rows);
  }));
}
function number(text) { const x = parseFloat(text); return Number.isNaN(x) ? -Infinity : x; }
