// The annotation page. One state, `doc`, is replaced and never changed in place: undo is a list of
// old ones, and what differs from what was saved last is saved.

const $ = (id) => document.getElementById(id);
const token = location.hash.slice(1);
const NAME = /^[A-Za-z][A-Za-z0-9_]{0,39}$/;
const COLOURS = 8;

let facts; // what the server said at the start: group, samples, width, height, ...
let doc = { concepts: {}, boxes: { samples: [], boxes: [] } };
let saved = doc; // as the server has it
let revisions;
let mode = "pick"; // or "box"
let active = null; // the concept that a pick goes to
let focused = 0; // the sample that the arrow keys are at
let open = null; // the sample that is enlarged
let chosen = null; // the number of the chosen box among those of `open`

// --- The server -----------------------------------------------------------------------------

class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

class Gone extends Error {}

async function ask(path, method = "GET", content = undefined) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { "x-annotate-token": token, "content-type": "application/json" },
      body: content === undefined ? undefined : JSON.stringify(content),
    });
  } catch {
    serverIsGone();
    throw new Gone("the server does not answer");
  }
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({ error: `error ${answer.status}` }));
  throw new Refused(error, answer.status);
}

async function askPictures(...request) {
  const sheet = await createImageBitmap(await (await ask(...request)).blob());
  return { sheet, count: sheet.width / facts.width };
}

function trouble(text, again = null) {
  $("trouble").hidden = false;
  $("trouble-text").textContent = text;
  $("retry").hidden = !again;
  $("retry").onclick = again;
}

let gone = false;

function serverIsGone() {
  if (gone) return;
  gone = true;
  trouble("The server is gone. If you stopped it, run dcgan annotate again and open its new address.", lookAgain);
  showSaved();
}

async function lookAgain() {
  try {
    const answer = await fetch("api/alive", { headers: { "x-annotate-token": token } });
    if (!answer.ok) throw new Gone();
  } catch {
    if (!gone) serverIsGone();
    return;
  }
  if (!gone) return;
  gone = false;
  $("trouble").hidden = true;
  say("The server is back.");
  if (!facts) return begin();
  save();
  watchTiles();
  drawLive();
}

// Not before the page is open: whoever lacks the token is told so, and that the server is there.
setInterval(() => document.hidden || !(facts || gone) || lookAgain(), 3000);

// --- Changing, undoing, saving --------------------------------------------------------------

const past = [];
const future = [];
let lastMerge = null;

// Changes in a row with the same `merge`, such as a box that is pushed about, are undone as one.
function change(next, words, merge = null) {
  if (merge === null || merge !== lastMerge) past.push({ doc, words });
  lastMerge = merge;
  future.length = 0;
  become(next);
  say(words);
}

function step(from, to, verb) {
  const entry = from.pop();
  if (!entry) return;
  to.push({ doc, words: entry.words });
  lastMerge = null;
  become(entry.doc);
  say(`${verb}: ${entry.words}`);
}

const undo = () => step(past, future, "Undone");
const redo = () => step(future, past, "Redone");

function become(next) {
  doc = next;
  if (!(active in doc.concepts)) active = names()[0] ?? null;
  if (chosen !== null && chosen >= boxesOf(open).length) chosen = null;
  render();
  clearTimeout(saveSoon);
  saveSoon = setTimeout(save, 200);
}

let saveSoon = null;
let saving = false;
let saveError = null;
const dirty = () => ["concepts", "boxes"].filter((part) => doc[part] !== saved[part]);

async function save() {
  if (saving) return;
  saving = true;
  saveError = null;
  try {
    for (let part; ([part] = dirty()) && part; ) {
      showSaved();
      const content = doc[part];
      const answer = await ask(`api/${part}`, "PUT", { revision: revisions[part], content });
      revisions[part] = (await answer.json()).revision;
      saved = { ...saved, [part]: content };
    }
  } catch (error) {
    saveError = error.message;
    if (error.status === 409) trouble(`Not saved: ${error.message}.`);
    else if (error instanceof Refused) trouble(`Not saved: ${error.message}.`, save);
  }
  saving = false;
  if (!saveError && !gone) $("trouble").hidden = true;
  showSaved();
}

function showSaved() {
  const [state, text] = dirty().length === 0
    ? ["saved", "Saved"]
    : saveError || gone ? ["wrong", "Not saved"] : ["wait", "Saving"];
  if ($("saved").textContent !== text) $("saved").textContent = text;
  $("saved").dataset.state = state;
}

addEventListener("beforeunload", (event) => dirty().length && event.preventDefault());

// --- Words for a screen reader ---------------------------------------------------------------

function say(words) {
  $("says").textContent = words;
}

const plural = (n, word) => `${n} ${word}${n === 1 ? "" : word.endsWith("x") ? "es" : "s"}`;

// --- Building blocks -------------------------------------------------------------------------

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// What is rebuilt keeps the focus: elements that may have it carry a `data-key`.
function rebuild(parent, children) {
  const key = parent.contains(document.activeElement) && document.activeElement.dataset.key;
  parent.replaceChildren(...children);
  if (key) [...parent.querySelectorAll("[data-key]")].find((e) => e.dataset.key === key)?.focus();
}

function picture(className = "picture") {
  return make("canvas", { className, width: facts.width, height: facts.height });
}

function paint(canvas, { sheet }, index) {
  const { width, height } = facts;
  canvas.getContext("2d").drawImage(sheet, index * width, 0, width, height, 0, 0, width, height);
}

// A row of tabs: arrow keys move, one panel shows.
function tabs(list, show) {
  const all = [...list.querySelectorAll("[role=tab]")];
  const select = (tab) => {
    for (const other of all) {
      other.setAttribute("aria-selected", other === tab);
      other.tabIndex = other === tab ? 0 : -1;
      $(other.getAttribute("aria-controls")).hidden = other !== tab;
    }
    show(tab.getAttribute("aria-controls"));
  };
  for (const tab of all) tab.onclick = () => select(tab);
  list.onkeydown = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const tab = all[(all.indexOf(event.target) + by + all.length) % all.length];
    tab.focus();
    select(tab);
  };
}

// Of wishes that come faster than answers only the last is asked for.
function latestOnly(work) {
  let running = false;
  let wanted = null;
  return async (...wish) => {
    wanted = wish;
    if (running) return;
    running = true;
    while (wanted) {
      const now = wanted;
      wanted = null;
      await work(...now).catch((error) => error instanceof Gone || console.error(error));
    }
    running = false;
  };
}

// --- Samples ---------------------------------------------------------------------------------

const sheets = new Map(); // pages of samples, each one picture in a row

function sheetOf(sample) {
  const page = Math.floor(sample / facts.per_page);
  if (!sheets.has(page)) {
    const coming = askPictures(`api/samples/${page}`);
    coming.catch((error) => {
      sheets.delete(page);
      if (!(error instanceof Gone)) trouble(`Samples cannot be drawn: ${error.message}.`, watchTiles);
    });
    sheets.set(page, coming);
  }
  return sheets.get(page);
}

async function paintSample(canvas, sample) {
  paint(canvas, await sheetOf(sample), sample % facts.per_page);
}

let tiles = [];
let watching = null;

function makeTiles() {
  tiles = Array.from({ length: facts.samples }, (_, sample) => {
    const tile = make("div", { className: "tile waiting", tabIndex: -1, role: "option", title: `Sample ${sample}` });
    tile.append(make("canvas", { width: facts.width, height: facts.height }), make("span", { className: "marks" }));
    tile.onclick = () => press(sample);
    tile.onfocus = () => moveFocus(sample, false);
    return tile;
  });
  $("tiles").replaceChildren(...tiles);
  tiles[0].tabIndex = 0;
  watchTiles();
}

// Samples are drawn when they are about to be seen.
function watchTiles() {
  watching?.disconnect();
  watching = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting || !target.classList.contains("waiting")) continue;
      const sample = tiles.indexOf(target);
      paintSample(target.firstChild, sample)
        .then(() => target.classList.remove("waiting"))
        .catch(() => {});
    }
  }, { rootMargin: "600px" });
  for (const tile of tiles) watching.observe(tile);
}

function moveFocus(sample, really = true) {
  tiles[focused].tabIndex = -1;
  focused = Math.max(0, Math.min(sample, facts.samples - 1));
  tiles[focused].tabIndex = 0;
  if (really) tiles[focused].focus();
}

$("tiles").onkeydown = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const columns = getComputedStyle($("tiles")).gridTemplateColumns.split(" ").length;
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  if (event.key in by) {
    const to = focused + by[event.key];
    if (to >= 0 && to < facts.samples) moveFocus(to);
  } else if (event.key === "Home" || event.key === "End") {
    moveFocus(event.key === "Home" ? 0 : facts.samples - 1);
  } else if (event.key === " " || event.key === "Enter") {
    press(focused);
    if (mode === "box") $("stage").focus();
  } else if (mode === "pick" && /^[1-9]$/.test(event.key) && names()[event.key - 1]) {
    choose(names()[event.key - 1]);
  } else return;
  event.preventDefault();
};

function press(sample) {
  moveFocus(sample);
  if (mode === "box") openSample(sample);
  else if (active === null) {
    $("new-concept").focus();
    wrongName("Name a concept first; then pick its samples.");
  } else pick(sample);
}

function renderTiles() {
  const marks = new Map();
  const put = (sample, colour, text) => marks.set(sample, [...(marks.get(sample) ?? []), [colour, text]]);
  const inActive = new Set(mode === "pick" ? doc.concepts[active] : [open]);
  const words = new Map();
  if (mode === "pick") {
    names().forEach((name, at) => {
      for (const sample of doc.concepts[name]) {
        put(sample, `c${at % COLOURS}`, at + 1);
        words.set(sample, [...(words.get(sample) ?? []), name]);
      }
    });
  } else {
    for (const sample of doc.boxes.samples) {
      const n = boxesOf(sample).length;
      put(sample, n ? "c0" : "c7", n || "✓");
      words.set(sample, [n ? plural(n, "box") : "no object"]);
    }
  }
  const ring = `c${names().indexOf(active) % COLOURS}`;
  tiles.forEach((tile, sample) => {
    const selected = inActive.has(sample);
    const state = JSON.stringify([mode, selected && ring, marks.get(sample), words.get(sample)]);
    if (tile.dataset.state === state) return;
    tile.dataset.state = state;
    tile.setAttribute("aria-selected", selected);
    const said = words.get(sample)?.join(", ");
    tile.setAttribute("aria-label", `Sample ${sample}${said ? `, ${said}` : ""}`);
    tile.className = `tile ${tile.classList.contains("waiting") ? "waiting" : ""} ${selected && mode === "pick" ? ring : ""}`;
    // Shown by the style sheet: the label says it in words.
    const shown = (marks.get(sample) ?? []).map(([colour, text]) => make("span", { className: `mark ${colour}`, "data-mark": text }));
    tile.lastChild.replaceChildren(...shown);
  });
}

// --- Concepts --------------------------------------------------------------------------------

const names = () => Object.keys(doc.concepts).sort();

function setConcepts(concepts, words) {
  change({ ...doc, concepts }, words);
}

function pick(sample) {
  const ids = doc.concepts[active];
  const had = ids.includes(sample);
  const now = had ? ids.filter((id) => id !== sample) : [...ids, sample].sort((a, b) => a - b);
  setConcepts({ ...doc.concepts, [active]: now }, `Sample ${sample} ${had ? "out of" : "in"} ${active}, ${plural(now.length, "pick")}`);
}

function choose(name) {
  active = name;
  render();
  say(`Picking for ${name}, ${plural(doc.concepts[name].length, "pick")}`);
}

function wrongName(text) {
  $("add-wrong").textContent = text;
}

function readName(text) {
  const name = text.trim().replace(/[\s-]+/g, "_");
  if (!NAME.test(name)) wrongName("A name is a letter, then letters, digits and _; at most 40.");
  else if (Object.hasOwn(doc.concepts, name)) wrongName(`There is a concept ${name} already.`);
  else {
    wrongName("");
    return name;
  }
  return null;
}

$("add").onsubmit = (event) => {
  event.preventDefault();
  const name = readName($("new-concept").value);
  if (name === null) return;
  $("new-concept").value = "";
  active = name;
  setConcepts({ ...doc.concepts, [name]: [] }, `Concept ${name} added`);
  moveFocus(focused);
};

function rename(name, field) {
  if (field.value === name) return render();
  const fresh = readName(field.value);
  if (fresh === null) return field.focus();
  const renamed = Object.entries(doc.concepts).map(([n, ids]) => [n === name ? fresh : n, ids]);
  if (active === name) active = fresh;
  setConcepts(Object.fromEntries(renamed), `Concept ${name} is now ${fresh}`);
}

function startRenaming(name, head) {
  const field = make("input", { value: name, maxLength: 40, "aria-label": `New name of ${name}`, spellcheck: false });
  const form = make("form", { className: "head" }, field, make("button", { textContent: "Rename" }));
  form.onsubmit = (event) => {
    event.preventDefault();
    rename(name, field);
  };
  field.onkeydown = (event) => {
    if (event.key !== "Escape") return;
    wrongName("");
    renderConcepts();
  };
  head.replaceWith(form);
  field.select();
}

function remove(name) {
  const { [name]: _, ...rest } = doc.concepts;
  setConcepts(rest, `Concept ${name} removed`);
  $("new-concept").focus();
}

let meanCanvas = null;

function renderConcepts() {
  $("no-concepts").hidden = names().length > 0;
  meanCanvas = null;
  rebuild($("concepts"), names().map((name, at) => {
    const ids = doc.concepts[name];
    const on = name === active;
    const select = make(
      "button",
      { className: "choose", "aria-pressed": on, "data-key": `choose ${name}`, onclick: () => choose(name) },
      make("span", { className: "mark", textContent: at + 1 }),
      make("span", { className: "name", textContent: name }),
      make("span", { className: "number", textContent: plural(ids.length, "pick") }),
    );
    const head = make("div", { className: "head" }, select);
    head.append(
      make("button", { className: "plain", textContent: "Rename", "aria-label": `Rename ${name}`, onclick: () => startRenaming(name, head) }),
      make("button", { className: "plain", textContent: "Remove", "aria-label": `Remove ${name}`, onclick: () => remove(name) }),
    );
    const card = make("li", { className: `concept c${at % COLOURS} ${on ? "active" : ""}` }, head);
    if (on && ids.length) card.append(exemplars(name, ids));
    return card;
  }));
}

function exemplars(name, ids) {
  const row = make("div", { className: "exemplars" });
  for (const id of ids.slice(0, 12)) {
    const canvas = picture("");
    canvas.title = `Sample ${id}`;
    paintSample(canvas, id).catch(() => {});
    row.append(canvas);
  }
  if (ids.length > 12) row.append(make("span", { className: "sum", textContent: `+${ids.length - 12}` }));
  meanCanvas = picture("mean");
  meanCanvas.title = "G of their mean z";
  meanCanvas.setAttribute("role", "img");
  meanCanvas.setAttribute("aria-label", `The mean of ${name}`);
  row.append(make("span", { className: "sum", textContent: "→" }), meanCanvas);
  return row;
}

// --- Drawn live ------------------------------------------------------------------------------

let tool = "arithmetic";
const RESULTS = {
  arithmetic: { words: "The result of the expression and its eight neighbours", middle: 4 },
  walk: { words: "Nine pictures of the walk", middle: -1 },
  turn: { words: "Eleven pictures along the turn vector", middle: 5 },
};

// The wish of the open tool, or what is missing for it.
function wish() {
  if (tool === "arithmetic") {
    const expression = $("expression").value.trim();
    return expression ? { draw: "arithmetic", expression } : { missing: "" };
  }
  if (tool === "walk") {
    const [start, end] = [$("walk-start").value, $("walk-end").value];
    if (!start || start === end) return { missing: "Pick two samples of any concept." };
    return { draw: "walk", start: Number(start), end: Number(end) };
  }
  const [left, right] = [$("turn-left").value, $("turn-right").value];
  if (!left || left === right) return { missing: "Two concepts are needed, such as facing_left and facing_right." };
  return { draw: "turn", left, right, sample: Number($("turn-sample").value) };
}

const drawTool = latestOnly(async () => {
  const wanted = wish();
  if (wanted.missing !== undefined) return showResult(null, wanted.missing);
  $("result").setAttribute("aria-busy", "true");
  try {
    const drawn = await askPictures("api/draw", "POST", { wish: wanted, concepts: doc.concepts });
    showResult({ ...wanted, ...drawn }, "");
  } catch (error) {
    showResult(null, error.message);
    if (!(error instanceof Refused)) throw error;
  } finally {
    $("result").removeAttribute("aria-busy");
  }
});

function showResult(drawn, words) {
  if ($("tool-says").textContent !== words) $("tool-says").textContent = words;
  const result = $("result");
  if (!drawn) {
    result.replaceChildren();
    result.setAttribute("aria-label", "No picture yet");
    return;
  }
  const { words: label, middle } = RESULTS[drawn.draw];
  const kept = result.dataset.draw === drawn.draw && result.children.length === drawn.count;
  if (!kept) {
    result.dataset.draw = drawn.draw;
    result.replaceChildren(...Array.from({ length: drawn.count }, (_, i) => picture(`picture ${i === middle ? "middle" : ""}`)));
  }
  [...result.children].forEach((canvas, i) => paint(canvas, drawn, i));
  result.setAttribute("aria-label", label);
  result.dataset.drawn = Number(result.dataset.drawn ?? 0) + 1;
}

const drawMean = latestOnly(async () => {
  const canvas = meanCanvas;
  if (!canvas) return;
  const drawn = await askPictures("api/draw", "POST", { wish: { draw: "mean", concept: active }, concepts: doc.concepts });
  paint(meanCanvas ?? canvas, drawn, 0);
});

function drawLive() {
  if (mode !== "pick") return;
  drawMean();
  drawTool();
}

// Keeps what was chosen while it is there and is not what the other of the pair has.
function options(select, values, preferred, taken = null) {
  const before = select.value;
  select.replaceChildren(...values.map(([value, textContent]) => make("option", { value, textContent })));
  const all = values.map(([value]) => String(value));
  const free = all.filter((value) => value !== taken);
  select.value = free.includes(before) ? before : (free.find(preferred) ?? free[0] ?? all[0] ?? "");
}

function renderTools() {
  const picks = names().flatMap((name) => doc.concepts[name].map((id) => [id, `${name} · ${id}`]));
  options($("walk-start"), picks, () => true);
  options($("walk-end"), picks, () => true, $("walk-start").value);
  const concepts = names().map((name) => [name, name]);
  options($("turn-left"), concepts, (name) => /left/i.test(name));
  options($("turn-right"), concepts, (name) => /right/i.test(name), $("turn-left").value);
}

for (const id of ["expression", "walk-start", "walk-end", "turn-left", "turn-right", "turn-sample"]) {
  $(id).addEventListener("input", () => drawTool());
}

// --- Boxes -----------------------------------------------------------------------------------

const boxesOf = (sample) => doc.boxes.boxes.filter((box) => box.sample === sample);
const boxWords = (b) => `${b.name}, ${b.width} by ${b.height} at ${b.x}, ${b.y}`;

// Replace the boxes of the open sample, which has then been looked at.
function setBoxes(mine, words, merge = null) {
  const others = doc.boxes.boxes.filter((box) => box.sample !== open);
  const samples = [...new Set([...doc.boxes.samples, open])].sort((a, b) => a - b);
  change({ ...doc, boxes: { samples, boxes: [...others, ...mine] } }, words, merge);
}

function openSample(sample) {
  open = sample;
  chosen = null;
  render();
  tiles[sample].scrollIntoView({ block: "nearest" });
  $("enlarged").width = facts.width;
  $("enlarged").height = facts.height;
  paintSample($("enlarged"), sample).catch(() => {});
  say(`Sample ${sample} opened, ${plural(boxesOf(sample).length, "box")}`);
}

function setLooked(looked) {
  const samples = looked
    ? [...new Set([...doc.boxes.samples, open])].sort((a, b) => a - b)
    : doc.boxes.samples.filter((sample) => sample !== open);
  if (samples.length === doc.boxes.samples.length) return;
  change({ ...doc, boxes: { ...doc.boxes, samples } }, `Sample ${open} ${looked ? "looked at" : "not looked at"}`);
}

function next() {
  if (open === null) return;
  setLooked(true);
  if (open + 1 >= facts.samples) return say("That was the last sample.");
  moveFocus(open + 1, false);
  openSample(focused);
}

function addBox(x, y, width, height) {
  const name = $("object").value.trim();
  if (open === null) return;
  if (!name) {
    $("object").focus();
    return say("Name the object first.");
  }
  chosen = boxesOf(open).length;
  const box = { sample: open, name, x, y, width, height };
  setBoxes([...boxesOf(open), box], `Box: ${boxWords(box)}`);
}

function newBox() {
  const [w, h] = [facts.width, facts.height].map((side) => Math.max(1, Math.round(side / 4)));
  addBox(Math.round((facts.width - w) / 2), Math.round((facts.height - h) / 2), w, h);
  $("stage").focus();
}

function removeBox(number) {
  const [box] = boxesOf(open).splice(number, 1);
  chosen = null;
  setBoxes(boxesOf(open).filter((_, i) => i !== number), `Removed: ${boxWords(box)}`);
  $("stage").focus();
}

const clamp = (value, low, high) => Math.max(low, Math.min(value, high));

function pushBox(dx, dy, resize) {
  const mine = boxesOf(open);
  const box = { ...mine[chosen] };
  if (resize) {
    box.width = clamp(box.width + dx, 1, facts.width - box.x);
    box.height = clamp(box.height + dy, 1, facts.height - box.y);
  } else {
    box.x = clamp(box.x + dx, 0, facts.width - box.width);
    box.y = clamp(box.y + dy, 0, facts.height - box.height);
  }
  mine[chosen] = box;
  setBoxes(mine, boxWords(box), `push ${open} ${chosen}`);
}

function chooseBox(number) {
  chosen = number;
  lastMerge = null;
  renderBoxes();
  if (number !== null) say(boxWords(boxesOf(open)[number]));
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

$("stage").onkeydown = (event) => {
  if (open === null || event.ctrlKey || event.metaKey || event.altKey) return;
  const n = boxesOf(open).length;
  if (event.key in ARROWS) chosen !== null && pushBox(...ARROWS[event.key], event.shiftKey);
  else if (event.key === "Enter") newBox();
  else if (event.key === " ") n && chooseBox(chosen === null ? 0 : (chosen + 1) % n);
  else if (event.key === "Delete" || event.key === "Backspace") chosen !== null && removeBox(chosen);
  else if (event.key === "n" || event.key === "N") next();
  else if (event.key === "Escape") chosen === null ? moveFocus(open) : chooseBox(null);
  else return;
  event.preventDefault();
};

let drag = null; // from where, to where, in pixels of the sample

function pointAt(event) {
  const area = $("stage").getBoundingClientRect();
  const at = (value, start, length, pixels) => clamp(Math.round(((value - start) / length) * pixels), 0, pixels);
  return [at(event.clientX, area.left, area.width, facts.width), at(event.clientY, area.top, area.height, facts.height)];
}

function dragged() {
  const [[x0, y0], [x1, y1]] = [drag.from, drag.to];
  return [Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)];
}

$("stage").onpointerdown = (event) => {
  if (open === null || event.button !== 0) return;
  $("stage").setPointerCapture(event.pointerId);
  drag = { from: pointAt(event), to: pointAt(event) };
};

$("stage").onpointermove = (event) => {
  if (!drag) return;
  drag.to = pointAt(event);
  renderShapes();
};

$("stage").onpointerup = () => {
  if (!drag) return;
  const [x, y, width, height] = dragged();
  drag = null;
  if (width && height) return addBox(x, y, width, height);
  const inside = (b) => x >= b.x && x <= b.x + b.width && y >= b.y && y <= b.y + b.height;
  const hit = boxesOf(open).findLastIndex(inside);
  chooseBox(hit < 0 ? null : hit);
};

$("stage").onpointercancel = () => {
  drag = null;
  renderShapes();
};

function renderShapes() {
  const svg = $("boxes");
  svg.setAttribute("viewBox", `0 0 ${facts.width} ${facts.height}`);
  const shapes = boxesOf(open).map((b, i) => [b.x, b.y, b.width, b.height, i === chosen ? "chosen" : ""]);
  if (drag) shapes.push([...dragged(), "chosen"]);
  svg.replaceChildren(...shapes.flatMap(([x, y, width, height, className]) =>
    ["under", className].map((name) => {
      const shape = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [key, value] of Object.entries({ x, y, width, height, class: name })) shape.setAttribute(key, value);
      return shape;
    })));
}

function renderBoxes() {
  $("box-title").textContent = open === null ? "Choose a sample" : `Sample ${open}`;
  $("stage").setAttribute("aria-label", open === null ? "No sample is open" : `Sample ${open} enlarged, ${plural(boxesOf(open).length, "box")}. Enter makes a new box.`);
  $("looked").checked = doc.boxes.samples.includes(open);
  for (const id of ["new-box", "next"]) $(id).disabled = open === null;
  // What has a box was looked at.
  $("looked").disabled = open === null || boxesOf(open).length > 0;
  const objects = [...new Set(doc.boxes.boxes.map((box) => box.name))].sort();
  $("objects").replaceChildren(...objects.map((value) => make("option", { value })));
  $("box-count").textContent = `${plural(doc.boxes.boxes.length, "box")} in ${plural(doc.boxes.samples.length, "sample")} looked at.`;
  rebuild($("box-list"), boxesOf(open).map((box, i) => make(
    "li",
    { className: i === chosen ? "chosen" : "" },
    make("button", { className: "choose", textContent: boxWords(box), "aria-pressed": i === chosen, "data-key": `box ${i}`, onclick: () => chooseBox(i) }),
    make("button", { className: "plain", textContent: "Remove", "aria-label": `Remove ${boxWords(box)}`, onclick: () => removeBox(i) }),
  )));
  renderShapes();
}

$("new-box").onclick = newBox;
$("next").onclick = next;
$("looked").onchange = () => setLooked($("looked").checked);

// --- The whole page --------------------------------------------------------------------------

function render() {
  $("undo").disabled = past.length === 0;
  $("redo").disabled = future.length === 0;
  renderTiles();
  if (mode === "pick") {
    renderConcepts();
    renderTools();
    drawLive();
  } else renderBoxes();
  showSaved();
}

$("undo").onclick = undo;
$("redo").onclick = redo;
$("show-keys").onclick = () => $("keys").showModal();

addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input:not([type=checkbox])") && event.target.value !== "";
  if (!(event.ctrlKey || event.metaKey) || typing || !facts) return;
  const key = event.key.toLowerCase();
  if (key === "z") event.shiftKey ? redo() : undo();
  else if (key === "y") redo();
  else return;
  event.preventDefault();
});

tabs(document.querySelector("header [role=tablist]"), (panel) => {
  mode = panel;
  $("tiles").setAttribute("aria-multiselectable", mode === "pick");
  if (!facts) return;
  if (mode === "box" && open === null) openSample(focused);
  else render();
});

tabs(document.querySelector("#pick [role=tablist]"), (panel) => {
  tool = panel;
  if (facts) drawTool();
});

async function begin() {
  try {
    facts = await (await ask("api/start")).json();
  } catch (error) {
    $("saved").textContent = "Not open";
    $("saved").dataset.state = "wrong";
    if (error instanceof Refused) trouble(`Cannot open: ${error.message}.`, () => location.reload());
    return;
  }
  document.title = `annotate ${facts.group}`;
  $("group").textContent = facts.group;
  $("count").textContent = `${facts.samples.toLocaleString("en")} samples`;
  $("turn-sample").max = facts.samples - 1;
  doc = { concepts: facts.concepts, boxes: { samples: facts.looked_at, boxes: facts.boxes } };
  saved = doc;
  revisions = facts.revisions;
  active = names()[0] ?? null;
  if (facts.boxes.length) $("object").value = facts.boxes[0].name;
  makeTiles();
  render();
}

begin();
