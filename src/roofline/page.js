// What the page of a report can do beyond being read: tables sort by a click on a heading, charts tell what is under the
// pointer, and with the arrow keys what comes next. Without it everything is still there: charts keep their <title>s.
"use strict";

// ---- Tables

function valueOf(row, column) {
  const cell = row.cells[column];
  return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent;
}

const words = new Intl.Collator("en", { numeric: true });

function compare(a, b) {
  return typeof a === "number" ? a - b : words.compare(a, b);
}

function sort(heading) {
  const table = heading.closest("table"), body = table.tBodies[0], before = heading.getAttribute("aria-sort");
  const keyed = [...body.rows].map((row) => [valueOf(row, heading.cellIndex), row]);
  // numbers begin with the largest, words with the first
  const descending = before === "none" ? typeof keyed[0][0] === "number" : before === "ascending";
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  keyed.sort((a, b) => compare(a[0], b[0]) * (descending ? -1 : 1));
  body.remove(); // rows of a table that is not shown move fast
  body.append(...keyed.map(([, row]) => row));
  table.append(body);
}

for (const heading of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = heading.textContent;
  button.addEventListener("click", () => sort(heading));
  heading.replaceChildren(button);
  heading.setAttribute("aria-sort", "none");
}

// ---- Charts

const tip = document.getElementById("tip");
const told = new Map(); // a mark or a layer: what it says

function show(text, x, y) {
  tip.textContent = text;
  const box = tip.getBoundingClientRect(), room = document.documentElement;
  const left = Math.min(x + 14, room.clientWidth - box.width - 8);
  const top = y + 18 + box.height > room.clientHeight ? y - box.height - 12 : y + 18;
  tip.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
}

function explain(chart) {
  const items = [...chart.querySelectorAll(".roofline > .at, .layer")];
  let chosen = -1;
  for (const item of items) {
    const title = item.querySelector("title");
    told.set(item, title.textContent);
    title.remove(); // or the browser would show it beside the tip
  }
  function choose(index) {
    items[chosen]?.classList.remove("chosen");
    chosen = index;
    if (chosen === -1) return tip.replaceChildren();
    items[chosen].classList.add("chosen");
    const box = (items[chosen].querySelector(".hit") ?? items[chosen]).getBoundingClientRect();
    return show(told.get(items[chosen]), box.x + box.width / 2, box.y + box.height / 2);
  }
  chart.addEventListener("pointermove", (event) => {
    const item = event.target.closest(".roofline > .at, .layer");
    if (item) show(told.get(item), event.clientX, event.clientY);
    else tip.replaceChildren();
  });
  chart.addEventListener("pointerleave", () => tip.replaceChildren());
  chart.addEventListener("focusout", () => choose(-1));
  chart.addEventListener("keydown", (event) => {
    const last = items.length - 1;
    const next = { ArrowRight: Math.min(chosen + 1, last), ArrowLeft: Math.max(chosen - 1, 0), Home: 0, End: last, Escape: -1 };
    if (!(event.key in next)) return;
    event.preventDefault();
    choose(next[event.key]);
  });
}

for (const chart of document.querySelectorAll(".chart[tabindex]")) explain(chart);
