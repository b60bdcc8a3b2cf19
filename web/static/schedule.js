// The schedule editor: a week as a grid and as text, kept in sync. Only the server parses texts; this script writes them.
(() => {
  "use strict";

  const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
  const DAY = 1440;
  const HOUR = 60;
  const TYPED_AFTER_MS = 300; // after the last key, before the server parses the text
  const NOTHING = "This schedule has no open hours. To stop the campaign, pause it.";

  const form = document.getElementById("schedule");
  const editable = form.hasAttribute("data-editable");
  const text = form.querySelector("#schedule-text");
  const error = form.querySelector("#text-error");
  const save = form.querySelector("[type=submit]");
  const cells = []; // [day][hour]

  // A week is null (no dayparts: always open), or for each day its open stretches in minutes, sorted and without overlap.
  let week = null;
  let focus = { day: 0, hour: 9 };
  let anchor = { ...focus };

  // Stretches

  const fullWeek = () => DAYS.map(() => [[0, DAY]]);
  const emptyWeek = () => DAYS.map(() => []);
  const isNothing = (days) => days !== null && days.every((stretches) => stretches.length === 0);

  // Sorts stretches and merges those that touch or overlap.
  function joined(stretches) {
    const found = [];
    for (const [starts, ends] of [...stretches].sort((one, other) => one[0] - other[0])) {
      const last = found.at(-1);
      if (last && starts <= last[1]) last[1] = Math.max(last[1], ends);
      else found.push([starts, ends]);
    }
    return found;
  }

  function without(stretches, from, to) {
    return stretches
      .flatMap(([starts, ends]) => [[starts, Math.min(ends, from)], [Math.max(starts, to), ends]])
      .filter(([starts, ends]) => starts < ends);
  }

  function openMinutes(day, hour) {
    if (week === null) return HOUR;
    const from = hour * HOUR;
    return week[day].reduce(
      (sum, [starts, ends]) => sum + Math.max(0, Math.min(ends, from + HOUR) - Math.max(starts, from)), 0);
  }

  // The week `base` with the rectangle of hours between two cells opened or closed.
  function painted(base, from, to, opens) {
    const days = (base ?? emptyWeek()).map((stretches) => stretches.map((stretch) => [...stretch]));
    const [left, right] = [Math.min(from.day, to.day), Math.max(from.day, to.day)];
    const starts = Math.min(from.hour, to.hour) * HOUR;
    const ends = (Math.max(from.hour, to.hour) + 1) * HOUR;
    for (let day = left; day <= right; day += 1) {
      days[day] = opens ? joined([...days[day], [starts, ends]]) : without(days[day], starts, ends);
    }
    return days;
  }

  // Text

  const clock = (minute) => `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;

  function written(days) {
    if (days === null) return "always";
    if (isNothing(days)) return "never";
    const parts = [];
    for (let first = 0; first < 7; ) {
      const spans = days[first].map(([starts, ends]) => `${clock(starts)}-${clock(ends)}`);
      let last = first;
      while (last < 6 && JSON.stringify(days[last + 1]) === JSON.stringify(days[first])) last += 1;
      const name = DAYS[first].slice(0, 3) + (last > first ? `-${DAYS[last].slice(0, 3)}` : "");
      parts.push(...spans.map((span) => `${name} ${span}`));
      first = last + 1;
    }
    return parts.join(", ");
  }

  // The grid

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function buildGrid() {
    const table = element("table", { className: editable ? "week editable" : "week" });
    table.setAttribute("role", "grid");
    table.setAttribute("aria-label", "Open hours of the week");
    table.setAttribute("aria-multiselectable", "true");
    if (!editable) table.setAttribute("aria-readonly", "true");
    const head = element("tr", {}, element("td", { ariaHidden: "true", className: "border-0" }));
    DAYS.forEach((name) => {
      const title = element("th", { scope: "col", title: name }, name.slice(0, 3));
      title.setAttribute("aria-label", name);
      head.append(title);
      cells.push([]);
    });
    const body = element("tbody");
    for (let hour = 0; hour < 24; hour += 1) {
      const row = element("tr", {}, element("th", { scope: "row" }, clock(hour * HOUR)));
      DAYS.forEach((_, day) => {
        const cell = element("td", { tabIndex: -1 });
        cell.setAttribute("role", "gridcell");
        cell.dataset.day = day;
        cell.dataset.hour = hour;
        cells[day].push(cell);
        row.append(cell);
      });
      body.append(row);
    }
    head.firstChild.style.background = "none";
    table.append(element("thead", {}, head), body);
    form.querySelector("[data-week]").replaceChildren(table);
    return table;
  }

  function paintGrid() {
    const [left, right] = [Math.min(anchor.day, focus.day), Math.max(anchor.day, focus.day)];
    const [top, bottom] = [Math.min(anchor.hour, focus.hour), Math.max(anchor.hour, focus.hour)];
    const many = left !== right || top !== bottom;
    cells.forEach((column, day) => column.forEach((cell, hour) => {
      const minutes = openMinutes(day, hour);
      const state = minutes === HOUR ? "open" : minutes === 0 ? "closed" : `open ${minutes} of 60 minutes`;
      cell.dataset.minutes = minutes;
      cell.classList.toggle("partial", minutes > 0 && minutes < HOUR);
      cell.setAttribute("aria-label", `${DAYS[day]} ${clock(hour * HOUR)} to ${clock((hour + 1) * HOUR)}, ${state}`);
      cell.setAttribute("aria-selected", many && day >= left && day <= right && hour >= top && hour <= bottom);
      cell.tabIndex = day === focus.day && hour === focus.hour ? 0 : -1;
    }));
    const hours = week === null ? 168 : week.flat().reduce((sum, [starts, ends]) => sum + ends - starts, 0) / HOUR;
    form.querySelector("[data-state]").textContent =
      week === null ? "Always open: no dayparts" : `${Math.round(hours * 100) / 100} ${hours === 1 ? "hour" : "hours"} a week`;
  }

  function setWeek(days) {
    week = days;
    text.value = written(days);
    paintGrid();
    preview(0);
  }

  // Mouse, pen, finger

  let drag = null;

  const placeOf = (cell) => ({ day: Number(cell.dataset.day), hour: Number(cell.dataset.hour) });

  function cellAt(event) {
    return document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-week] [role=gridcell]");
  }

  function onDown(event) {
    const cell = event.target.closest("[role=gridcell]");
    if (!cell || event.button !== 0) return;
    const place = placeOf(cell);
    if (event.pointerType === "mouse") event.preventDefault();
    asked += 1; // ignore pending responses, which would overwrite this
    drag = { from: place, base: week, opens: week === null || openMinutes(place.day, place.hour) < HOUR };
    dragTo(place);
    cell.focus({ preventScroll: true });
  }

  function dragTo(place) {
    focus = place;
    anchor = { ...place };
    week = painted(drag.base, drag.from, place, drag.opens);
    text.value = written(week);
    paintGrid();
  }

  function onMove(event) {
    const cell = drag && cellAt(event);
    if (!cell) return;
    const place = placeOf(cell);
    if (place.day !== focus.day || place.hour !== focus.hour) dragTo(place);
  }

  function onUp() {
    if (!drag) return;
    drag = null;
    preview(0);
  }

  function onCancel() {
    if (!drag) return;
    const { base } = drag;
    drag = null;
    setWeek(base);
  }

  // Keyboard

  const STEPS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

  function onKey(event) {
    if (event.key === " " && editable) {
      event.preventDefault();
      toggleChosen();
      return;
    }
    const target = moved(event);
    if (target === null) return;
    event.preventDefault();
    focus = target;
    if (!event.shiftKey) anchor = { ...focus };
    paintGrid();
    cells[focus.day][focus.hour].focus();
  }

  function moved(event) {
    if (event.key === "Home") return { ...focus, hour: 0 };
    if (event.key === "End") return { ...focus, hour: 23 };
    const step = STEPS[event.key];
    if (!step) return null;
    return {
      day: Math.min(6, Math.max(0, focus.day + step[0])),
      hour: Math.min(23, Math.max(0, focus.hour + step[1])),
    };
  }

  function toggleChosen() {
    let opens = week === null; // on an always open week, the first drawn hours become its open hours
    for (let day = Math.min(anchor.day, focus.day); day <= Math.max(anchor.day, focus.day); day += 1) {
      for (let hour = Math.min(anchor.hour, focus.hour); hour <= Math.max(anchor.hour, focus.hour); hour += 1) {
        opens ||= openMinutes(day, hour) < HOUR;
      }
    }
    setWeek(painted(week, anchor, focus, opens));
  }

  // The server's preview of the text

  let hasTyped = false;
  let timer = 0;
  let asked = 0; // number of the newest request; answers to earlier ones are ignored

  function preview(after) {
    clearTimeout(timer);
    asked += 1;
    if (week !== null && isNothing(week) && text.value === "never") {
      showError(NOTHING);
      showDays([], "");
      return;
    }
    const number = asked;
    timer = setTimeout(() => ask(number, text.value), after);
  }

  async function ask(number, schedule, refusal = "") {
    const address = `${form.dataset.preview}?schedule=${encodeURIComponent(schedule)}`;
    let answer;
    try {
      const response = await fetch(address, { headers: { Accept: "application/json" } });
      if (!response.headers.get("content-type")?.includes("json")) throw new Error("not signed in");
      answer = await response.json();
    } catch {
      answer = { error: "The server did not answer. Copy your text, then reload the page." };
    }
    if (number === asked) show(answer, refusal);
  }

  function show(answer, refusal) {
    showError(answer.error ?? refusal);
    if (answer.error) return;
    week = answer.parts.length === 0 ? null : DAYS.map((_, day) =>
      joined(answer.parts.filter(([weekday]) => weekday === day + 1).map(([, starts, ends]) => [starts, ends])));
    if (!hasTyped && !refusal) text.value = written(week); // short form such as Mon-Fri; the server names each day
    paintGrid();
    showDays(answer.days, `${answer.total} in all, ${answer.time_zone}`);
  }

  // Shows the message under the text; an empty one means that the text is valid. A week without open hours cannot be saved.
  function showError(message) {
    if (error.textContent !== message) error.textContent = message;
    text.classList.toggle("is-invalid", message !== "");
    text.toggleAttribute("aria-invalid", message !== "");
    if (message) text.setAttribute("aria-invalid", "true");
    if (save) save.disabled = message === NOTHING;
  }

  function showDays(days, total) {
    form.querySelector("[data-total]").textContent = total;
    form.querySelector("[data-days]").replaceChildren(...days.map((day) => {
      const stretches = day.stretches.map(({ from, to, hours }) => element("li", {}, `${from} to ${to}, ${hours}`));
      const list = element("ul", {}, ...(stretches.length ? stretches : [element("li", { className: "text-secondary" }, "closed")]));
      const note = day.note ? [element("small", { className: "text-secondary" }, day.note)] : [];
      return element("li", { className: "list-group-item schedule-day" }, element("span", {}, day.day), list, ...note);
    }));
  }

  // Start

  function copyDay() {
    const from = Number(form.querySelector("[data-copy-from]").value);
    const onto = [...form.querySelectorAll("[data-copy-onto]:checked")].map((box) => Number(box.value));
    const days = week ?? fullWeek();
    setWeek(days.map((stretches, day) => (onto.includes(day) ? days[from] : stretches).map((stretch) => [...stretch])));
  }

  const grid = buildGrid();
  paintGrid();
  grid.addEventListener("keydown", onKey);
  if (editable) {
    grid.addEventListener("pointerdown", onDown);
    document.addEventListener("pointermove", onMove);
    document.addEventListener("pointerup", onUp);
    document.addEventListener("pointercancel", onCancel);
    text.addEventListener("input", () => {
      hasTyped = true;
      preview(TYPED_AFTER_MS);
    });
    form.querySelector("[data-always]").addEventListener("click", () => setWeek(null));
    form.querySelector("[data-copy-day]").addEventListener("click", copyDay);
    form.addEventListener("submit", (event) => {
      if (error.textContent === NOTHING) event.preventDefault();
    });
  }
  // A refused text stays in the field; the grid shows the stored schedule.
  if (error.textContent) ask(asked, form.dataset.stored, error.textContent);
  else preview(0);
})();
