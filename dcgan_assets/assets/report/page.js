// The report page: tables that sort and pictures that zoom, by mouse and by keyboard. Without this
// script everything is there to be read.

// --- Tables -----------------------------------------------------------------------------------

function key(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(text);
  return text === "" ? null : Number.isNaN(number) ? text.toLowerCase() : number;
}

function compare(a, b) {
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b, "en");
  return typeof a === "number" ? -1 : 1;
}

function sortBy(table, column) {
  const head = table.tHead.rows[0].cells[column];
  const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
  // Empty cells stay at the end either way.
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, column));
    head.append(button);
  });
}

// What is wider than its frame scrolls inside it, by keyboard, too.
const watcher = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) {
      target.tabIndex = 0;
      target.setAttribute("role", "region");
      target.setAttribute("aria-label", target.querySelector("caption").textContent);
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) target.removeAttribute(name);
    }
  }
});
for (const frame of document.querySelectorAll(".scroll")) watcher.observe(frame);

// --- Pages to be played with ------------------------------------------------------------------

// From disk they open here as well. The web UI lets no page frame what it serves: the link is left.
function offer(link) {
  const details = document.createElement("details");
  details.className = "play";
  const summary = document.createElement("summary");
  summary.textContent = `${link.textContent} here`;
  details.append(summary);
  details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("iframe")) return;
    const frame = document.createElement("iframe");
    frame.title = link.getAttribute("href");
    frame.sandbox = "allow-scripts allow-downloads";
    frame.src = link.href;
    details.append(frame);
  });
  link.closest("p").after(details);
}

if (location.protocol === "file:") document.querySelectorAll("a.page").forEach(offer);

// --- Pictures ---------------------------------------------------------------------------------

const dialog = document.getElementById("zoom");
const stage = dialog.querySelector(".stage");
const large = document.getElementById("zoom-picture");
const words = document.getElementById("zoom-words");
const pictures = [...document.querySelectorAll("figure img")];
const STEP = 1.5;
let current = 0;
let scale = 1;

function fitted() {
  const { naturalWidth: width, naturalHeight: height } = pictures[current];
  return Math.min(stage.clientWidth / width, stage.clientHeight / height, 6);
}

function draw() {
  const source = pictures[current];
  const factor = fitted() * scale;
  large.style.width = `${source.naturalWidth * factor}px`;
  large.style.height = `${source.naturalHeight * factor}px`;
  large.classList.toggle("grid", source.classList.contains("grid") && factor > 1);
}

function show(number) {
  current = (number + pictures.length) % pictures.length;
  scale = 1;
  large.src = pictures[current].src;
  large.alt = pictures[current].alt;
  words.textContent = pictures[current].closest("figure").querySelector("figcaption").textContent;
  draw();
}

const actions = {
  smaller: () => { scale = Math.max(1, scale / STEP); draw(); },
  larger: () => { scale = Math.min(12, scale * STEP); draw(); },
  fit: () => { scale = 1; draw(); },
  previous: () => show(current - 1),
  next: () => show(current + 1),
  close: () => dialog.close(),
};
const keys = { "-": "smaller", "+": "larger", "=": "larger", 0: "fit" };
// Once the picture is enlarged the arrows scroll it.
const arrows = { ArrowLeft: "previous", ArrowRight: "next" };

pictures.forEach((picture, number) => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "enlarge";
  button.setAttribute("aria-label", `Enlarge: ${picture.alt}`);
  picture.replaceWith(button);
  button.append(picture);
  button.addEventListener("click", () => {
    dialog.showModal();
    show(number);
  });
});

dialog.addEventListener("click", (event) => {
  const name = event.target.dataset.do;
  if (name) actions[name]();
  else if (event.target === dialog) dialog.close();
});
dialog.addEventListener("keydown", (event) => {
  const name = keys[event.key] ?? (scale === 1 ? arrows[event.key] : undefined);
  if (!name || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  actions[name]();
});
dialog.addEventListener("close", () => {
  // Back to the picture that was looked at last, which may be another than the one it began with.
  pictures[current].parentElement.focus();
  large.removeAttribute("src");
});
window.addEventListener("resize", () => { if (dialog.open) draw(); });

// --- Paper, and where one is ------------------------------------------------------------------

let closed = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const one of closed) one.open = true;
});
window.addEventListener("afterprint", () => { for (const one of closed) one.open = false; });

const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const reader = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(target.id).setAttribute("aria-current", "true");
  }
}, { rootMargin: "-15% 0px -75% 0px" });
for (const part of document.querySelectorAll("main > [id]")) reader.observe(part);
