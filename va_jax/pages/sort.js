/** Sorts a table when a column header is clicked; cells without a value come last. */
function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const value = (row, column) => row.cells[column].dataset.value;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const order = (rowA, rowB) => {
        const [a, b] = [value(rowA, column), value(rowB, column)];
        if (a === "" || b === "") return (a === "") - (b === "");
        return sign * (a - b || a.localeCompare(b, "en", { numeric: true }));
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
