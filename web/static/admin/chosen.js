// Says how many rows an action is about, and which, in the question that is asked before it.
(() => {
  "use strict";

  const NAMED_AT_MOST = 5;

  function nameOf(row) {
    const cell = (column) => row.querySelector(`td[data-column=${column}]`)?.textContent.trim().replace(/\s+/g, " ");
    const name = cell("name") || ["period", "brand", "campaign"].map(cell).filter((words) => words && words !== "–").join(", ");
    const id = row.dataset.saPk;
    return name ? `${name} (${id})` : id;
  }

  function chosenBy(button) {
    if (button.dataset.saIsRowAction !== undefined) {
      const rows = [button.closest("tr[data-sa-pk]")].filter(Boolean);
      return { rows, count: rows.length };
    }
    const boxes = [...document.querySelectorAll("[data-sa-hook=row-checkbox]:checked")];
    const counter = document.querySelector("[data-sa-hook=actions-selected-counter]"); // more than the page's, if all are
    return { rows: boxes.map((box) => box.closest("tr")), count: Number(counter?.textContent) || boxes.length };
  }

  function told({ rows, count }) {
    const named = rows.slice(0, NAMED_AT_MOST).map(nameOf);
    const others = count - named.length;
    return `${count} chosen: ${named.join("; ")}${others > 0 ? `, and ${others} more` : ""}.`;
  }

  document.addEventListener("show.bs.modal", (event) => {
    const question = event.target.querySelector("[data-sa-hook=action-confirmation]");
    const chosen = question && event.relatedTarget && chosenBy(event.relatedTarget);
    if (!chosen || chosen.count === 0) return;
    question.append(Object.assign(document.createElement("p"), { className: "mt-2 mb-0", textContent: told(chosen) }));
  });
})();
