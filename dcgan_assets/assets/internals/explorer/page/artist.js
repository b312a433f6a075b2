/* Has pictures drawn by the worker, one at a time: the large one first, then as they were asked for. */
class Artist {
  constructor() {
    this.waiting = new Map();
    this.busy = null;
    const source = URL.createObjectURL(new Blob([data.worker], { type: "text/javascript" }));
    this.worker = new Worker(source);
    this.worker.onmessage = ({ data: found }) => this.finish(found);
    this.worker.onerror = () => tell("The network could not be started in this browser.", true);
    this.worker.postMessage({ network });
  }

  /* Draw on a canvas. What was asked for it before and is not begun is forgotten. */
  draw(canvas, { z, label, forget = 0 }, first = false) {
    this.waiting.delete(canvas);
    if (canvas !== $("picture")) canvas.setAttribute("aria-busy", true);
    this.waiting = first
      ? new Map([[canvas, { z, label, forget }], ...this.waiting])
      : this.waiting.set(canvas, { z, label, forget });
    queueMicrotask(() => this.next()); // by then a new canvas has its place
  }

  /* What is no longer on the page is not drawn. */
  next() {
    for (const canvas of this.waiting.keys()) if (!canvas.isConnected) this.waiting.delete(canvas);
    $("picture").setAttribute("aria-busy", Boolean(this.busy || this.waiting.size));
    if (this.busy || !this.waiting.size) return;
    const [canvas, { z, label, forget }] = this.waiting.entries().next().value;
    this.waiting.delete(canvas);
    this.busy = canvas;
    const damp = forget ? { layer: data.forget.layer, maps: data.forget.maps, factor: 1 - forget } : null;
    this.worker.postMessage({ z, label, damp });
  }

  finish({ bytes, took }) {
    const [, height, width] = network.image;
    const canvas = this.busy;
    this.busy = null;
    if (canvas !== $("picture")) canvas.setAttribute("aria-busy", this.waiting.has(canvas));
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(new ImageData(bytes, width, height), 0, 0);
    canvas.dataset.drawn = Number(canvas.dataset.drawn || 0) + 1;
    canvas.dataset.took = took.toFixed(0);
    this.next();
  }
}
