// The page that follows a training: it asks for what is new in the log, and draws it.

const WORKING_MS = 2000;
const RESTING_MS = 15000;
const ROWS = 20;
const NAMES = ["step", "steps", "epoch", "d", "g", "spread", "rate"];
const SVG = "http://www.w3.org/2000/svg";

const $ = (id) => document.getElementById(id);
const words = (number, digits = 4) => number === null ? "none" : String(Number(number.toPrecision(digits)));
const whole = (number) => number.toLocaleString("en");
const place = location.pathname.replace(/\/?$/, "/");

let lines = [];
let seen = { log: "", next: 0 };
let latest = null;
let chosen = null; // a snapshot that somebody looks at; else the newest one is shown
let said = "";

// --- What is asked --------------------------------------------------------------------------

async function ask() {
  const query = new URLSearchParams({ log: seen.log, from: seen.next });
  const answer = await fetch(`${place}news?${query}`, { cache: "no-store" });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`the web UI answered ${answer.status}`);
  return answer.json();
}

async function look() {
  let news;
  do {
    news = await ask();
    if (news === null) return null;
    if (news.log.anew) lines = [];
    for (const line of news.log.lines) {
      const named = Object.fromEntries(NAMES.map((name, at) => [name, line[at]]));
      if (named.step !== null && named.steps !== null) lines.push(named);
    }
    seen = news.log;
  } while (news.log.more);
  return news;
}

async function follow() {
  let wait = RESTING_MS;
  try {
    latest = await look();
    show();
    if (latest?.at_work) wait = WORKING_MS;
  } catch (error) {
    tell(`No answer from the web UI (${error.message}). Trying again.`);
  }
  setTimeout(() => {
    if (!document.hidden) follow();
    else document.addEventListener("visibilitychange", follow, { once: true });
  }, wait);
}

// --- What is shown --------------------------------------------------------------------------

function show() {
  if (latest === null) {
    $("asset").textContent = place.split("/").slice(2, 4).join("/");
    tell("Nothing has been trained here yet, or it was cleared away.");
    return;
  }
  document.title = `${latest.asset}: training`;
  $("asset").textContent = latest.asset;
  link("to-asset", `/assets/${latest.asset}`);
  link("to-run", `/runs/${latest.run}`);
  link("to-this", `/training/${latest.asset}/${latest.id}/`);
  showProgress();
  $("seen").hidden = false;
  showCurves();
  showLines();
  showGrids();
}

function link(id, address) {
  $(id).href = address;
  $(id).hidden = false;
}

function showProgress() {
  const last = lines.at(-1);
  const steps = latest.steps;
  const step = Math.max(last ? last.step : 0, latest.began);
  const at = `step ${whole(step)} of ${whole(steps)}`;
  const ended = latest.finished && step >= steps;
  $("done").max = steps;
  $("done").value = step;
  const left = secondsLeft(step);
  if (ended) tell(`Finished: ${whole(steps)} steps`);
  else if (latest.at_work) tell(`Training: ${at}`, left === null ? "" : `, ${duration(left)} left`);
  else tell(`Stopped at ${at}; materialize again to go on`);
  const rate = last && last.rate ? `${whole(Math.round(last.rate))} pictures a second, ` : "";
  $("pace").textContent = last ? `${rate}epoch ${words(last.epoch, 3)}` : "The first line of the log comes soon.";
  $("continued").textContent = latest.began
    ? `This run ${latest.at_work ? "continues" : "continued"} at step ${whole(latest.began)} of ${whole(steps)}.`
    : "";
}

// Said to everybody on the screen; aloud only when it is another state, not another number.
function tell(text, more = "") {
  $("state").textContent = text + more;
  const kind = text.split(":")[0];
  if (kind !== said) $("says").textContent = text + more;
  said = kind;
}

function secondsLeft(step) {
  const rates = lines.slice(-5).map((line) => line.rate).filter((rate) => rate > 0);
  if (!rates.length) return null;
  const seconds = rates.reduce((sum, rate) => sum + latest.batch / rate, 0) / rates.length;
  return (latest.steps - step) * seconds;
}

function duration(seconds) {
  const minutes = seconds / 60;
  if (minutes < 1.5) return `${Math.ceil(seconds)} s`;
  if (minutes < 90) return `${Math.round(minutes)} min`;
  return minutes < 2880 ? `${words(minutes / 60, 2)} h` : `${Math.round(minutes / 1440)} days`;
}

function showLines() {
  const rows = lines.slice(-ROWS).reverse().map((line) => {
    const row = document.createElement("tr");
    for (const name of ["step", "epoch", "d", "g", "spread", "rate"]) {
      row.insertCell().textContent = name === "step" ? whole(line.step) : words(line[name]);
    }
    return row;
  });
  $("lines").replaceChildren(...rows);
}

function showGrids() {
  const names = latest.grids;
  $("no-grid").hidden = names.length > 0;
  $("grids").hidden = names.length === 0;
  if (!names.length) return;
  const picker = $("epoch");
  if (picker.dataset.names !== `${latest.id} ${names}`) {
    picker.dataset.names = `${latest.id} ${names}`;
    picker.replaceChildren(...names.map((name) => new Option(`after epoch ${epochOf(name)}`, name)));
    if (!names.includes(chosen)) chosen = null;
  }
  const name = chosen ?? names.at(-1);
  picker.value = name;
  const address = `/training/${latest.asset}/${latest.id}/${name}`;
  if ($("grid").getAttribute("src") !== address) {
    $("grid").src = address;
    $("grid").alt = `Pictures of the same z after epoch ${epochOf(name)}`;
  }
}

const epochOf = (name) => Number(name.match(/\d+/)[0]);

$("epoch").addEventListener("change", () => {
  chosen = $("epoch").value === latest.grids.at(-1) ? null : $("epoch").value;
  showGrids();
});

// --- Curves ---------------------------------------------------------------------------------

function showCurves() {
  draw($("losses"), { d: "D's loss", g: "G's loss" });
  draw($("spread"), { spread: "The spread of fixed z" });
}

function draw(svg, names) {
  const width = svg.clientWidth;
  const height = svg.clientHeight;
  const curves = Object.keys(names).map((name) => lines.filter((line) => line[name] !== null));
  if (!width || !curves.some((curve) => curve.length)) return svg.replaceChildren();
  const box = { left: 44, right: width - 8, top: 8, bottom: height - 22 };
  // Both axes begin at 0: how far a training is, and how large a loss.
  const far = latest.steps;
  let high = 0;
  Object.keys(names).forEach((name, at) => curves[at].forEach((line) => { high = Math.max(high, line[name]); }));
  high = high || 1;
  const x = (step) => box.left + (step / far) * (box.right - box.left);
  const y = (value) => box.bottom - (value / high) * (box.bottom - box.top);
  const parts = [];
  for (const value of ticks(high, height / 50)) {
    parts.push(part("line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), class: "rule" }));
    parts.push(part("text", { x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }, words(value)));
  }
  for (const value of ticks(far, width / 110)) {
    parts.push(part("text", { x: x(value), y: height - 5, "text-anchor": value > far * 0.95 ? "end" : "middle" }, whole(value)));
  }
  if (latest.began) {
    parts.push(part("line", { x1: x(latest.began), x2: x(latest.began), y1: box.top, y2: box.bottom, class: "began" }));
  }
  Object.keys(names).forEach((name, at) => {
    const d = path(curves[at].map((line) => [x(line.step), y(line[name])]));
    parts.push(part("path", { d, class: name === "spread" ? "s" : name }));
  });
  svg.replaceChildren(...parts);
  svg.setAttribute("aria-label", Object.entries(names).map(([name, what], at) => spoken(what, name, curves[at])).join(" "));
}

function spoken(what, name, curve) {
  if (!curve.length) return `${what} has no value yet.`;
  const [first, last] = [curve[0], curve.at(-1)];
  return `${what} was ${words(first[name], 3)} at step ${whole(first.step)} and is ${words(last[name], 3)} at step ${whole(last.step)}.`;
}

// Of many points that fall on one pixel the lowest and the highest are enough.
function path(points) {
  const kept = [];
  for (const point of points) {
    const column = Math.round(point[0]);
    const last = kept.at(-1);
    if (last && last.column === column) last.points.push(point);
    else kept.push({ column, points: [point] });
  }
  const drawn = kept.flatMap(({ points: same }) => {
    if (same.length < 3) return same;
    const sorted = [...same].sort((one, two) => one[1] - two[1]);
    return [same[0], sorted[0], sorted.at(-1), same.at(-1)];
  });
  return drawn.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

function ticks(high, most) {
  const rough = high / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, at) => at * step);
}

function part(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

new ResizeObserver(() => { if (latest) showCurves(); }).observe($("losses"));
follow();
