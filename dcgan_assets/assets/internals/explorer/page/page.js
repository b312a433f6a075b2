/* The page as a whole: what is shown, what was shown before, and what stands beside the picture. */

const panels = [samples, walk, sliders, arithmetic, bars];
const LONGEST = 200;
let artist = null;
let shown = { ...stateOf(sample(0)), terms: [] }; // on the screen
let kept = shown; // and what undo comes back to
const before = [];

function tell(line, problem = false) {
  $("told").textContent = line;
  $("told").classList.toggle("problem", problem);
}

/* Show another state. `done` is false while a slider is still held: no step of undo. */
function change(state, done = true) {
  if (done) walk.stop();
  if (!state.terms) state = { ...state, terms: shown.terms };
  shown = state;
  show();
  if (!done || state === kept) return;
  before.push(kept);
  if (before.length > LONGEST) before.shift();
  keep(state);
}

function keep(state) {
  kept = state;
  $("undo").disabled = !before.length;
  history.replaceState(null, "", linkOf(state));
}

function undo() {
  if (!before.length) return;
  walk.stop();
  shown = before.pop();
  keep(shown);
  show();
}

function show() {
  artist.draw($("picture"), { ...shown, z: latentOf(shown) }, true);
  for (const panel of panels) panel.show(shown);
  for (const button of $("labels").querySelectorAll("button"))
    button.setAttribute("aria-pressed", Number(button.value) === shown.label);
}

/* What is on the screen, to be walked from or reckoned with. */
function shownItem() {
  return { z: latentOf(shown), label: shown.label, name: "picture" };
}

function random() {
  const draw = network.normal
    ? () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random())
    : () => 2 * Math.random() - 1;
  change(stateOf({ z: Float32Array.from({ length: network.zDim }, draw), label: shown.label }));
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    tell("The link to this picture is copied.");
  } catch {
    tell("The link to this picture is in the address bar.");
  }
}

/* Eight times as large, a pixel a square, so that a viewer need not guess. */
function savePicture() {
  const small = $("picture"), large = document.createElement("canvas");
  large.width = 8 * small.width;
  large.height = 8 * small.height;
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, large.width, large.height);
  make("a", { href: large.toDataURL("image/png"), download: `${data.group}.png` }).click();
  tell(`${data.group}.png is saved where this browser keeps what it downloads.`);
}

function openLink() {
  if (!location.hash) return;
  try {
    shown = { ...stateOfLink(location.hash), terms: shown.terms };
    tell("");
  } catch (error) {
    tell(error.message, true);
  }
}

function start() {
  if (typeof Worker === "undefined") {
    tell("This browser has no workers, and so cannot run the network: try a current Firefox, Chrome or Safari.", true);
    return;
  }
  openLink();
  kept = shown;
  artist = new Artist();
  artist.draw($("picture"), { ...shown, z: latentOf(shown) }, true);
  for (let label = 0; label < network.classes; label++)
    $("labels").append(make("button", { value: label, onclick: () => change({ ...shown, label }) }, String(label)));
  for (const panel of panels) panel.start();
  $("undo").onclick = undo;
  $("random").onclick = random;
  $("copy").onclick = copyLink;
  $("save").onclick = savePicture;
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") undo();
  });
  addEventListener("hashchange", () => {
    openLink();
    change(shown);
  });
  show();
}

start();
