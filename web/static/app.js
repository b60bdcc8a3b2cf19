"use strict";
// Keeps open pages current: a stream delivers status changes; after each one, and every few seconds, figures are refetched.

const REFRESH_SECONDS = 5;
const AFTER_CHANGE_MILLISECONDS = 300; // several changes at once cause one refresh
const FEED_LENGTH = 100; // most status changes shown
const MICROS = 1_000_000;

const OLD_AFTER_MILLISECONDS = 9_000; // age of the figures from which the page says that the server does not answer
const QUIET_SECONDS = 10; // age of the newest spend under which no brand is overdue

const notice = document.getElementById("connection");
const isRefreshed = document.querySelector("[hx-trigger^='refresh']") !== null;
const isLive = isRefreshed || document.querySelector("[data-feed]") !== null;
const opened = { at: performance.now(), serverAt: Date.parse(document.body.dataset.now) };
let waiting = null;
let tag = document.body.dataset.tag;
let receivedAt = performance.now(); // when the shown figures were requested, or the stream last sent a heartbeat
let shownAt = performance.now(); // when the page last became visible; a hidden page is not refreshed
let isCut = false;

function refresh() {
  waiting = null;
  if (!document.hidden) htmx.trigger(document.body, "refresh");
}

function refreshSoon() {
  waiting ??= setTimeout(refresh, AFTER_CHANGE_MILLISECONDS);
}

function received(at = performance.now()) {
  receivedAt = at;
  isCut = false;
  showAge();
}

function cut() {
  isCut = true;
  showAge();
}

// Shows a message if the figures are old, because the server answers slowly, with an error or not at all.
function showAge() {
  const now = performance.now();
  const isOld = now - receivedAt > OLD_AFTER_MILLISECONDS && now - shownAt > OLD_AFTER_MILLISECONDS / 3;
  notice.hidden = !isLive || document.hidden || !(isCut || isOld);
  const words = `The server does not answer. This page is ${inWords(10 * Math.ceil((now - receivedAt) / 10_000))} old; it updates when the server answers again.`;
  if (!notice.hidden && notice.textContent !== words) notice.textContent = words;
}

function inWords(seconds) {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

// Shows the age of each brand's newest spend. Warns if it is twice the longest gap seen on this page, after two gaps.
const cadences = new Map();

function showNewest() {
  const serverNow = opened.serverAt + performance.now() - opened.at;
  for (const time of document.querySelectorAll("time[data-newest]")) {
    const at = Date.parse(time.dateTime), age = Math.max(0, serverNow - at) / 1000;
    const known = cadences.get(time.dataset.newest) ?? { at, gap: 0, times: 0 };
    if (at > known.at) Object.assign(known, { gap: Math.max(known.gap, (at - known.at) / 1000), times: known.times + 1, at });
    cadences.set(time.dataset.newest, known);
    const isOverdue = known.times > 1 && age > Math.max(QUIET_SECONDS, 2 * known.gap);
    time.title = time.dateTime;
    time.textContent = isOverdue ? `${inWords(age)} ago: no new spend since` : `${inWords(age)} ago`;
    time.classList.toggle("overdue", isOverdue);
  }
}

function listen(feed) {
  const source = new EventSource(feed.dataset.feed);
  source.addEventListener("change", (event) => {
    if (!isRefreshed) received();
    if (feed.querySelector(`[data-change="${event.lastEventId}"]`)) return;
    feed.insertAdjacentHTML("afterbegin", event.data);
    while (feed.children.length > FEED_LENGTH) feed.lastElementChild.remove();
    refreshSoon();
  });
  source.addEventListener("beat", () => { if (!isRefreshed) received(); });
  source.addEventListener("open", () => { if (!isRefreshed) received(); });
  source.addEventListener("error", cut);
  addEventListener("pagehide", () => source.close());
}

// Ticks of an axis of money: steps of at least the currency's smallest coin, and all labels with equally many decimals.
function moneyAxis(currency) {
  const coin = new Intl.NumberFormat("en-US", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;
  const incrs = [];
  for (let power = -coin; power < 13; power++) for (const digit of [1, 2, 5]) incrs.push(Number(`${digit}e${power}`));
  const values = (_plot, splits, _axis, _space, step) => {
    const decimals = step < 1 ? { minimumFractionDigits: coin, maximumFractionDigits: coin } : { maximumFractionDigits: 2 };
    const mark = new Intl.NumberFormat("en-US", { style: "currency", currency, notation: "compact", ...decimals });
    return splits.map((value) => (value === null || value === undefined ? "–" : mark.format(value)));
  };
  return { incrs, values };
}

function units(values) {
  return values ? values.map((value) => (value === null ? null : value / MICROS)) : null;
}

function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// The x values of a plot, and its lines: label, values, colour and style.
function plotted(chart) {
  return chart.kind === "day" ? dayPlotted(chart) : monthPlotted(chart);
}

// Each sum is drawn at the end of its hour; today's last one at the current time, an extra point on the axis. The lines
// of earlier days pass over that point without a gap.
function dayPlotted(chart) {
  const ends = Array.from({ length: 25 }, (_, hour) => hour);
  const x = [...new Set([...ends, chart.now])].sort((one, other) => one - other);
  const known = units(chart.today).filter((value) => value !== null);
  const sums = (values) => values && x.map((at) => (at === 0 ? 0 : values[at - 1] ?? null));
  const even = (at) => (chart.limit / MICROS) * at / 24;
  const today = x.map((at) => (at === 0 && chart.now > 0 ? 0 : at < chart.now ? known[at - 1] : at === chart.now ? known.at(-1) : null));
  return { x, lines: [
    { label: "least", values: sums(units(chart.least)), hidden: true, spans: true },
    { label: "most", values: sums(units(chart.most)), hidden: true, spans: true },
    { label: "usual", values: sums(units(chart.usual)), stroke: colour("soft"), dash: [6, 4], spans: true },
    { label: "even pace", values: chart.limit === null ? null : x.map(even), stroke: colour("near"), dash: [2, 4] },
    { label: "limit", values: flat(chart.limit, x.length), stroke: colour("bad") },
    { label: "today", values: today, stroke: colour("blue"), width: 3 },
  ] };
}

function monthPlotted(chart) {
  return { x: chart.days, lines: [
    { label: "even pace", values: units(chart.even), stroke: colour("near"), dash: [2, 4] },
    { label: "limit", values: flat(chart.limit, chart.days.length), stroke: colour("bad") },
    { label: "projected", values: projection(chart), stroke: colour("blue"), dash: [6, 4] },
    { label: "spent", values: units(chart.spent), stroke: colour("blue"), width: 3 },
  ] };
}

function flat(value, length) {
  return value === null ? null : Array(length).fill(value / MICROS);
}

// A straight line from today's spend to the projected spend at the month's end; null without a projection.
function projection(chart) {
  const last = chart.spent.findLastIndex((value) => value !== null);
  if (chart.projected === null || last < 0 || last === chart.spent.length - 1) return null;
  const from = chart.spent[last], steps = chart.spent.length - 1 - last;
  return chart.spent.map((_, place) => (place < last ? null : (from + (chart.projected - from) * (place - last) / steps) / MICROS));
}

function draw(figure) {
  const plot = figure.querySelector(".plot");
  const wanted = figure.dataset.chart + plot.clientWidth;
  if (plot.drawn === wanted) return;
  plot.drawn = wanted;
  const chart = JSON.parse(figure.dataset.chart);
  const { x, lines } = plotted(chart);
  const shown = lines.filter((line) => line.values);
  const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const places = shown.map((line) => line.label);
  const bands = places.includes("least") ? [{ series: [places.indexOf("most") + 1, places.indexOf("least") + 1], fill: colour("fill") }] : [];
  plot.replaceChildren();
  new uPlot({
    width: plot.clientWidth, height: 220, bands, cursor: { y: false }, legend: { show: false }, scales: { x: { time: false }, y: { range: (_, low, high) => [Math.min(low, 0), Math.max(high, 1) * 1.05] } },
    axes: [
      chart.kind === "day" ? { ...axis, splits: () => [0, 4, 8, 12, 16, 20, 24], values: (_, splits) => splits.map((hour) => `${hour}:00`) } : axis,
      { ...axis, size: 64, ...moneyAxis(figure.dataset.currency) },
    ],
    series: [{}, ...shown.map((line) => ({ label: line.label, stroke: line.stroke, width: line.hidden ? 0 : line.width ?? 1.5, dash: line.dash, points: { show: line.values.filter((value) => value !== null).length === 1 }, spanGaps: Boolean(line.spans) }))],
  }, [x, ...shown.map((line) => line.values)], plot);
  plot.append(legend(shown.filter((line) => !line.hidden)));
}

function legend(shown) {
  const list = document.createElement("div");
  list.className = "legend";
  list.setAttribute("aria-hidden", "true");
  for (const line of shown) {
    const entry = document.createElement("span");
    entry.textContent = line.label;
    entry.style.setProperty("--key", line.stroke);
    entry.classList.toggle("dashed", Boolean(line.dash));
    list.append(entry);
  }
  return list;
}

function drawAll() {
  document.querySelectorAll("[data-chart]").forEach(draw);
}

// Refetched figures must not close what a person opened nor replace what they typed.
Idiomorph.defaults.ignoreActiveValue = true;
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");
document.querySelectorAll("[data-feed]").forEach(listen);
drawAll();
setInterval(refresh, REFRESH_SECONDS * 1000);
addEventListener("resize", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.querySelectorAll(".plot").forEach((plot) => { plot.drawn = null; });
  drawAll();
});
setInterval(() => { showAge(); showNewest(); }, 1000);
showNewest();
document.addEventListener("visibilitychange", () => { shownAt = performance.now(); refresh(); });
document.body.addEventListener("htmx:afterSwap", () => { drawAll(); showNewest(); });
document.body.addEventListener("htmx:configRequest", ({ detail }) => {
  if (detail.triggeringEvent?.type === "refresh" && tag) detail.headers["If-None-Match"] = tag;
});
document.body.addEventListener("htmx:beforeRequest", ({ detail }) => { detail.xhr.sentAt = performance.now(); });
document.body.addEventListener("htmx:beforeSwap", ({ detail }) => { if (detail.xhr.status === 304) detail.shouldSwap = false; });
document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (!detail.successful) return;
  tag = detail.xhr.getResponseHeader("ETag") ?? tag;
  received(detail.xhr.sentAt);
});
for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) document.body.addEventListener(failure, cut);
