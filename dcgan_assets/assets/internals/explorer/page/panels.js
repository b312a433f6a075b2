/* The panels beside the picture. Each has a way in (what the reader does) and `show(state)`. */

/* make("button", {class: "x", onclick: f}, child, "text"): an element. */
function make(name, facts = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(facts))
    if (key.startsWith("on")) element[key] = value;
    else element.setAttribute(key, value);
  element.append(...inside);
  return element;
}

/* A small picture of a latent; draggable where it can be dropped on the walk or the arithmetic. */
function thumbnail(latent, facts = {}) {
  const canvas = make("canvas", { "aria-hidden": "true", ...facts });
  artist.draw(canvas, latent);
  return canvas;
}

function draggable(element, item) {
  element.draggable = true;
  element.addEventListener("dragstart", () => (dragged = item));
  element.addEventListener("dragend", () => (dragged = null));
  return element;
}

function droppable(element, take) {
  element.addEventListener("dragover", (event) => {
    if (dragged) event.preventDefault();
    element.classList.toggle("over", Boolean(dragged));
  });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over");
    take(dragged);
  });
  return element;
}

let dragged = null;

/* --- Samples --------------------------------------------------------------------------------- */

const samples = {
  start() {
    for (let number = 0; number < data.samples; number++) {
      const item = { ...sample(number), name: `sample ${number + 1}` };
      const button = make(
        "button",
        { "aria-label": item.name, tabindex: number ? -1 : 0, onclick: () => change(stateOf(sample(number))) },
        thumbnail(item),
      );
      $("grid").append(draggable(button, item));
    }
    $("grid").onkeydown = (event) => this.key(event);
  },
  /* Arrows go from one to the next, so that Tab goes past all of them. */
  key(event) {
    const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const all = [...$("grid").children], next = all[all.indexOf(event.target) + steps[event.key]];
    if (!next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  },
  show(state) {
    [...$("grid").children].forEach((button, number) => {
      const taken = latents[number] === state.z && !state.moved.some(Boolean);
      button.setAttribute("aria-pressed", taken);
    });
  },
};

/* --- A walk between two ------------------------------------------------------------------------ */

const STOPS = 7;

const walk = {
  ends: [sample(0), sample(Math.min(1, data.samples - 1))],
  playing: 0,
  start() {
    for (let stop = 0; stop < STOPS; stop++) {
      const to = () => this.go(stop / (STOPS - 1), true);
      const words = `${Math.round((100 * stop) / (STOPS - 1))} % of the way`;
      $("stops").append(make("button", { "aria-label": words, onclick: to }, make("canvas")));
    }
    for (const [i, id] of ["from", "to"].entries()) {
      $(id).onclick = () => {
        this.set(i, shownItem());
        $("way").value = i; // where the picture now is
      };
      droppable($(id), (item) => this.set(i, item));
      droppable($("stops").children[i * (STOPS - 1)], (item) => this.set(i, item));
    }
    $("way").oninput = () => this.go(Number($("way").value), false);
    $("way").onchange = () => this.go(Number($("way").value), true);
    $("play").onclick = () => (this.playing ? change(shown) : this.play());
    this.draw();
  },
  set(end, item) {
    this.ends[end] = { z: item.z, label: item.label };
    this.draw();
  },
  draw() {
    [...$("stops").children].forEach((button, stop) => {
      artist.draw(button.firstChild, this.at(stop / (STOPS - 1)));
    });
  },
  at(share) {
    const [from, to] = this.ends;
    return { z: between(from.z, to.z, share), label: share < 0.5 ? from.label : to.label };
  },
  go(share, done) {
    $("way").value = share;
    change(stateOf(this.at(share)), done);
  },
  play() {
    const began = performance.now();
    const step = (now) => {
      const share = (1 - Math.cos((now - began) / 1500)) / 2;
      $("way").value = share;
      change(stateOf(this.at(share)), false);
      this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
    $("play").textContent = "Stop";
  },
  stop() {
    if (!this.playing) return;
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    $("play").textContent = "Play";
  },
  show() {},
};

/* --- Sliders: the turn vector, every factor, and forgetting ------------------------------------- */

const sliders = {
  inputs: [],
  start() {
    moves.forEach((move, number) => {
      const input = make("input", {
        type: "range", min: -1, max: 1, step: 0.02, value: 0, id: `move-${number}`,
        "aria-describedby": `truth-${number}`,
        oninput: () => this.move(number, false), onchange: () => this.move(number, true),
        ondblclick: () => { input.value = 0; this.move(number, true); },
      });
      this.inputs.push(input);
      $("moves").append(
        make("div", { class: move.truth && move.truth.share < HALF ? "move weak" : "move" },
          make("label", { for: input.id }, move.label),
          make("small", { id: `truth-${number}`, title: move.truth ? move.truth.words : "" }, ...this.truth(move)),
          input,
          make("span", { class: "ends", "aria-hidden": "true" }, make("span", {}, move.ends[0]), make("span", {}, move.ends[1]))),
      );
    });
    $("changing").hidden = !moves.length;
    $("forgetting").hidden = !data.forget;
    if (!data.forget) return;
    $("forget-what").textContent = data.forget.words;
    $("forget-how").textContent = data.forget.about;
    $("forget").onchange = () => this.forget(Number($("forget").checked) * (Number($("strength").value) || 1), true);
    $("strength").oninput = () => this.forget(Number($("strength").value), false);
    $("strength").onchange = () => this.forget(Number($("strength").value), true);
  },
  truth({ truth }) {
    if (!truth) return ["as in Figure 8; nothing measures it here"];
    const meter = make("span", { class: "meter", "aria-hidden": "true" }, make("span"));
    meter.firstChild.style.width = percent(truth.share).replace(" ", "");
    const hardly = truth.share < HALF ? "weak: " : "";
    return [meter, `${hardly}true of ${percent(truth.share)}, by chance ${percent(truth.chance)}`];
  },
  move(number, done) {
    const moved = shown.moved.with(number, Number(this.inputs[number].value));
    change({ ...shown, moved }, done);
  },
  forget(forget, done) {
    change({ ...shown, forget }, done);
  },
  show(state) {
    this.inputs.forEach((input, number) => (input.value = state.moved[number]));
    if (!data.forget) return;
    $("forget").checked = state.forget > 0;
    if (state.forget) $("strength").value = state.forget;
  },
};

const HALF = 0.5; // of the samples: what is true of fewer is offered, and said to be weak
const percent = (share) => `${Math.round(100 * share)} %`;

/* --- Arithmetic --------------------------------------------------------------------------------- */

const arithmetic = {
  drawn: null,
  start() {
    for (const word of data.words.filter(({ listed }) => listed)) {
      const item = this.word(word.name);
      $("words").append(
        draggable(make("div", { class: "word" },
          thumbnail(item), make("span", {}, word.label),
          this.button("+", item), this.button("−", item)), item),
      );
    }
    for (const expression of data.expressions) {
      const words = expression.map(({ sign, word }) => `${sign < 0 ? "−" : "+"} (${this.word(word).name})`);
      $("examples").append(make("button", { onclick: () => this.set(this.termsOf(expression)) }, words.join(" ").replace(/^\+ /, "")));
    }
    $("add-shown").onclick = () => this.add(1, shownItem());
    $("subtract-shown").onclick = () => this.add(-1, shownItem());
    $("clear").onclick = () => this.set([]);
    $("take").onclick = () => change(stateOf(this.result()));
    droppable($("plus"), (item) => this.add(1, item));
    droppable($("minus"), (item) => this.add(-1, item));
    if (data.expressions.length) shown = kept = { ...shown, terms: this.termsOf(data.expressions[0]) };
  },
  /* A word stands for the mean of its exemplars. */
  word(name) {
    const { label, rows } = data.words.find((one) => one.name === name);
    const zero = latents[rows[0]].map(() => 0);
    const z = rows.reduce((sum, row) => plus(sum, 1 / rows.length, latents[row]), zero);
    return { z, label: 0, name: label, rows };
  },
  button(sign, item) {
    const words = `${sign === "+" ? "add" : "subtract"} ${item.name}`;
    return make("button", { "aria-label": words, onclick: () => this.add(sign === "+" ? 1 : -1, item) }, sign);
  },
  termsOf(expression) {
    return expression.map(({ sign, word }) => ({ sign, item: this.word(word) }));
  },
  set(terms) {
    change({ ...shown, terms });
  },
  add(sign, item) {
    if (item) this.set([...shown.terms, { sign, item }]);
  },
  result() {
    const zero = latents[0].map(() => 0);
    const z = shown.terms.reduce((sum, { sign, item }) => plus(sum, sign, item.z), zero);
    return { z, label: shown.terms[0].item.label };
  },
  /* The sum is drawn before the pictures of what is added up. */
  show({ terms }) {
    if (terms === this.drawn) return;
    this.drawn = terms;
    $("terms").replaceChildren(...terms.map((term, i) => this.term(term, i)));
    $("result").hidden = !terms.length;
    $("nothing").hidden = Boolean(terms.length);
    if (terms.length) artist.draw($("sum"), this.result(), true);
  },
  term({ sign, item }, number) {
    const flip = () => this.set(shown.terms.with(number, { sign: -sign, item }));
    const remove = () => this.set(shown.terms.toSpliced(number, 1));
    const exemplars = (item.rows || []).slice(0, 3).map((row) => thumbnail(sample(row)));
    return make("li", {},
      make("button", { class: "sign", "aria-label": `${sign > 0 ? "plus" : "minus"} ${item.name}: change the sign`, title: "Change the sign", onclick: flip }, sign > 0 ? "+" : "−"),
      make("figure", {}, thumbnail(item), make("div", { class: "exemplars" }, ...exemplars), make("figcaption", {}, item.name)),
      make("button", { class: "remove", "aria-label": `remove ${item.name}`, onclick: remove }, "×"));
  },
};

/* --- The numbers ---------------------------------------------------------------------------------- */

const REACH = network.normal ? 4 : 2;

const bars = {
  all: [],
  pulled: null,
  start() {
    for (let i = 0; i < network.zDim; i++)
      this.all.push(make("span", {
        role: "slider", tabindex: i ? -1 : 0, "aria-label": `number ${i + 1} of ${network.zDim}`,
        "aria-valuemin": -REACH, "aria-valuemax": REACH, onkeydown: (event) => this.key(i, event),
      }));
    $("bars").append(...this.all);
    $("bars").onpointerdown = (event) => {
      $("bars").setPointerCapture(event.pointerId);
      this.pull(event);
    };
    $("bars").onpointermove = (event) => event.buttons && this.pull(event);
    $("bars").onpointerup = () => change(shown, true);
  },
  pull(event) {
    const box = $("bars").getBoundingClientRect();
    const i = Math.floor((network.zDim * (event.clientX - box.left)) / box.width);
    const value = REACH * (1 - (2 * (event.clientY - box.top)) / box.height);
    if (i >= 0 && i < network.zDim) this.set(i, value, false);
  },
  /* What is shown has the sliders' part in it: the rest of the number is its own. */
  set(i, value, done) {
    const wanted = Math.max(-REACH, Math.min(REACH, value));
    const z = shown.z.slice();
    z[i] += wanted - latentOf(shown)[i];
    change({ ...shown, z }, done);
  },
  key(i, event) {
    const now = latentOf(shown)[i];
    const steps = { ArrowUp: now + 0.1, ArrowDown: now - 0.1, Home: 0, PageUp: now + 1, PageDown: now - 1 };
    const aside = { ArrowLeft: i - 1, ArrowRight: i + 1 }[event.key];
    if (event.key in steps) this.set(i, steps[event.key], true);
    else if (this.all[aside]) {
      this.all[i].tabIndex = -1;
      this.all[aside].tabIndex = 0;
      this.all[aside].focus();
    } else return;
    event.preventDefault();
  },
  show(state) {
    latentOf(state).forEach((value, i) => {
      const bar = this.all[i];
      bar.style.setProperty("--value", Math.max(-1, Math.min(1, value / REACH)));
      bar.setAttribute("aria-valuenow", value.toFixed(2));
    });
  },
};
