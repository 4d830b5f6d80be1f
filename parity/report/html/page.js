"use strict";
// Tables sort by their header's buttons and can be searched. Without this script they are whole.
(() => {
  const said = document.getElementById("said");

  const key = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.v === undefined) return cell.textContent.trim();
    return cell.dataset.v === "" ? null : Number(cell.dataset.v);
  };

  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

  function sort(table, header, column) {
    const downwards = header.getAttribute("aria-sort") === "ascending";
    const sign = downwards ? -1 : 1;
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row, place) => ({ row, place, key: key(row, column) }));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
      return sign * compare(a.key, b.key) || a.place - b.place;
    });
    body.append(...rows.map((entry) => entry.row));
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", downwards ? "descending" : "ascending");
    said.textContent = `sorted by ${header.textContent}, ${downwards ? "descending" : "ascending"}`;
  }

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      header.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, header, column));
    });
  }

  // A printed page shows everything.
  addEventListener("beforeprint", () => {
    for (const closed of document.querySelectorAll("details")) closed.open = true;
  });

  function labelled(text, control) {
    const label = document.createElement("label");
    label.append(text, control);
    return label;
  }

  for (const table of document.querySelectorAll("table[data-filtered]")) {
    const search = document.createElement("input");
    search.type = "search";
    const choice = document.createElement("select");
    const states = new Set([...table.tBodies[0].rows].map((row) => row.dataset.status));
    for (const state of ["all", "all but passed", ...states]) choice.append(new Option(state));
    const show = () => {
      const wanted = search.value.trim().toLowerCase();
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const state = row.dataset.status;
        const right =
          choice.value === "all" || choice.value === state || (choice.value === "all but passed" && state !== "pass");
        row.hidden = !(right && row.textContent.toLowerCase().includes(wanted));
        shown += !row.hidden;
      }
      said.textContent = `${shown} of ${table.tBodies[0].rows.length} rows`;
    };
    search.addEventListener("input", show);
    choice.addEventListener("change", show);
    const tools = document.createElement("div");
    tools.className = "tools";
    tools.append(labelled("Search these rows", search), labelled("Status", choice));
    table.parentElement.before(tools);
  }
})();
