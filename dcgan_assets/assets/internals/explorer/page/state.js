/* What is shown, the way back from it, and the link that keeps it. */
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const network = data.network;
const $ = (id) => document.getElementById(id);

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/* Rows of as many numbers as a latent has. */
function latentsOf(base64) {
  const all = new Float32Array(bytesOf(base64).buffer);
  const rows = [];
  for (let i = 0; i < all.length; i += network.zDim) rows.push(all.slice(i, i + network.zDim));
  return rows;
}

const latents = latentsOf(data.latents);
const moves = data.moves.map((one) => ({ ...one, vector: latentsOf(one.vector)[0] }));
const sample = (number) => ({ z: latents[number], label: data.labels ? data.labels[number] : 0 });

/* Plus a times as much of another. */
function plus(z, a, other) {
  return z.map((value, i) => value + a * other[i]);
}

function between(from, to, share) {
  return plus(from.map((value) => value * (1 - share)), share, to);
}

/* A state never changes: what changes is which one is shown.
 *   z: the latent itself; moved: for each slider how far, -1 to 1; forget: 0 to 1; terms: what is
 *   added up, which another picture leaves as it was (`change`), and no link keeps. */
function stateOf({ z, label = 0, moved = moves.map(() => 0), forget = 0 }) {
  return { z, label, moved, forget };
}

/* The latent that is drawn: z and all that the sliders add. */
function latentOf(state) {
  return moves.reduce((z, { vector }, i) => plus(z, state.moved[i], vector), state.z);
}

/* --- The link: numbers as 16-bit steps of 1/4096, which changes no picture by more than a level --- */

const STEPS = 4096;

function linkOf(state) {
  const numbers = Int16Array.from(state.z, (v) => Math.max(-32768, Math.min(32767, Math.round(v * STEPS))));
  const text = btoa(String.fromCharCode(...new Uint8Array(numbers.buffer)));
  const words = [`z=${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
  if (network.classes) words.push(`label=${state.label}`);
  if (state.forget) words.push(`forget=${+state.forget.toFixed(2)}`);
  if (state.moved.some(Boolean)) words.push(`moved=${state.moved.map((v) => +v.toFixed(2)).join(",")}`);
  return `#${words.join("&")}`;
}

/* The state of a link; throws a line for the reader where it is none of this page. */
function stateOfLink(hash) {
  const given = new URLSearchParams(hash.slice(1));
  const z = numbersOf(given.get("z") || "");
  const label = Number(given.get("label") || 0), forget = Number(given.get("forget") || 0);
  const moved = given.has("moved") ? given.get("moved").split(",").map(Number) : moves.map(() => 0);
  const within = moved.length === moves.length && moved.every((v) => Math.abs(v) <= 1);
  if (!z || !within || !(forget >= 0 && forget <= 1) || !(Number.isInteger(label) && label >= 0 && label < Math.max(1, network.classes)))
    throw new Error(`The link is not of this page: after #z= it needs ${network.zDim} numbers as this page writes them. Sample 1 is shown instead.`);
  return stateOf({ z, label, moved, forget: data.forget ? forget : 0 });
}

function numbersOf(text) {
  let bytes;
  try {
    bytes = bytesOf(text.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    return null;
  }
  if (bytes.length !== 2 * network.zDim) return null;
  return Float32Array.from(new Int16Array(bytes.buffer), (step) => step / STEPS);
}
