// Asks before a bulk action: shows the number and names of the chosen rows, and the effect previewed by the server.
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
    const counter = document.querySelector("[data-sa-hook=actions-selected-counter]"); // counts rows on other pages too, if all are chosen
    return { rows: boxes.map((box) => box.closest("tr")), count: Number(counter?.textContent) || boxes.length };
  }

  // A sentence such as `3 chosen: Brand search (1); Shopping (2); Video (3).`
  function chosenInWords({ rows, count }) {
    const named = rows.slice(0, NAMED_AT_MOST).map(nameOf);
    const others = count - named.length;
    return `${count} chosen: ${named.join("; ")}${others > 0 ? `, and ${others} more` : ""}.`;
  }

  // The action's address; with `preview` the server only computes the effect.
  function addressOf(button, chosen) {
    const isRow = button.dataset.saIsRowAction !== undefined;
    const key = location.pathname.split("/").at(-2);
    const query = new URLSearchParams({ name: button.dataset.saName, preview: "1", _list_query: location.search });
    if (isRow) query.append("pk", chosen.rows[0]?.dataset.saPk ?? new URLSearchParams(location.search).get("pk"));
    else if (chosen.count > chosen.rows.length) query.append("all", "1");
    else for (const row of chosen.rows) query.append("pks", row.dataset.saPk);
    return `/admin/_api/${key}/${isRow ? "row-action" : "action"}?${query}`;
  }

  function line(words, strong) {
    const element = document.createElement(strong ? "strong" : "p");
    element.className = strong ? "d-block mt-2" : "mt-2 mb-0";
    element.textContent = words;
    return element;
  }

  function optionOf(words, isChosen, onChange) {
    const label = document.createElement("label");
    label.className = "form-check mt-3";
    const box = Object.assign(document.createElement("input"), { type: "checkbox", name: "others", checked: isChosen });
    box.className = "form-check-input";
    box.addEventListener("change", onChange);
    const text = Object.assign(document.createElement("span"), { className: "form-check-label", textContent: words });
    label.append(box, text);
    return label;
  }

  async function ask(modal, address) {
    const answer = modal.querySelector("[data-sa-hook=modal-form]"), submit = modal.querySelector("[data-sa-action=action-submit]");
    const before = answer.querySelector("form");
    const asked = modal.asked = Symbol("the newest question of this dialogue");
    submit.disabled = true;
    const form = document.createElement("form");
    try {
      const token = decodeURIComponent(document.cookie.match(/(?:^|; )(?:__Host-)?starlette_admin_csrftoken=([^;]*)/)?.[1] ?? "");
      const body = before ? new FormData(before) : null;
      const response = await fetch(address, { method: "POST", body, headers: { "X-CSRFToken": token } });
      const preview = await response.json();
      if (modal.asked !== asked) return;
      if (!response.ok) throw new Error(preview.msg);
      form.append(line(preview.sentence, true), ...preview.notes.map((note) => line(note)));
      if (preview.option) form.append(optionOf(preview.option, Boolean(body?.has("others")), () => ask(modal, address)));
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "agreed", value: preview.agreed }));
      submit.disabled = false;
    } catch (error) {
      form.append(line(`The effect is unknown: ${error.message || "the server does not answer"}.`));
    }
    answer.replaceChildren(form);
  }

  const PREVIEWED = ["enable", "pause", "archive", "delete"];

  document.addEventListener("show.bs.modal", (event) => {
    const button = event.relatedTarget, modal = event.target;
    const question = button && modal.querySelector("[data-sa-hook=action-confirmation]");
    if (!question) return;
    modal.asked = null;
    modal.querySelector("[data-sa-action=action-submit]").disabled = false;
    const chosen = chosenBy(button);
    if (chosen.count) question.append(line(chosenInWords(chosen)));
    if (PREVIEWED.includes(button.dataset.saName)) ask(modal, addressOf(button, chosen));
  });
})();
