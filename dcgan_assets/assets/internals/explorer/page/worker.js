/* The worker: one generator, one picture for each message that asks for one. */
let generator = null;

onmessage = ({ data }) => {
  if (data.network) {
    generator = new Generator(data.network);
    return;
  }
  const began = performance.now();
  const bytes = generator.draw(data.z, data.label, data.damp);
  postMessage({ bytes, took: performance.now() - began }, [bytes.buffer]);
};
