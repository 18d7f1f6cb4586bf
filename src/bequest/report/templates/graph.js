"use strict";
const $ = (query) => document.querySelector(query);
const { nodes: N, edges: E, scales } = JSON.parse($("#graph-data").textContent);
const [MODEL, TASK, ELSEWHERE] = [0, 1, 2];
const [TRAINED, MADE, TRANSFER] = [0, 1, 2];
const VERDICTS = ["helps", "hurts", "undecided"];
const SHAPES = ["model", "task", "elsewhere"];
const count = N.name.length;
const links = E.source.length;
const touching = N.name.map(() => []);
for (let e = 0; e < links; e++) {
  touching[E.source[e]].push(e);
  if (E.target[e] !== E.source[e]) touching[E.target[e]].push(e);
}
const other = (e, n) => (E.source[e] === n ? E.target[e] : E.source[e]);
const sort = (e) =>
  E.kind[e] === TRANSFER ? VERDICTS[E.verdict[e]] : E.kind[e] === MADE ? "made from" : "trained on";

// What is shown: filters hide nodes and edges, a choice dims what does not touch it.
const seen = new Uint8Array(count).fill(1);
const drawn = new Uint8Array(links).fill(1);
const near = new Uint8Array(count);
let chosen = -1;
let renderer = null;
let ink = {};

function colours() {
  const style = getComputedStyle(document.documentElement);
  const rgb = (name) =>
    [1, 3, 5].map((at) =>
      parseInt(
        style
          .getPropertyValue(name)
          .trim()
          .slice(at, at + 2),
        16,
      ),
    );
  const text = (parts, alpha = 1) =>
    `rgba(${parts.map((part) => Math.round(part * alpha)).join(",")},${alpha})`; // sigma blends what is multiplied by its alpha already
  const mix = (one, two, share) => one.map((part, k) => part + share * (two[k] - part));
  const [plus, zero, minus] = ["--plus", "--zero", "--minus"].map(rgb);
  const faint = Math.min(1, Math.max(0.12, 2500 / (links + 1)));
  const ramp = (alpha) =>
    Array.from({ length: 201 }, (_, k) =>
      text(mix(zero, k < 100 ? minus : plus, 0.25 + (0.75 * Math.abs(k - 100)) / 100), alpha),
    );
  ink = {
    nodes: ["--model", "--task", "--away"].map((name) => text(rgb(name))),
    dim: text(rgb("--line")),
    sure: ramp(Math.max(0.35, faint)),
    unsure: ramp(0.6 * faint),
    loud: ramp(1),
    trained: text(rgb("--trained"), Math.max(0.25, faint)),
    made: text(rgb("--made"), Math.max(0.5, faint)),
    wrong: text(rgb("--bad")),
    text: text(rgb("--ink")),
    bubble: text(rgb("--bubble")),
    line: text(rgb("--line")),
  };
}

function edgeColour(e, loud) {
  if (E.kind[e] === TRAINED) return ink.trained;
  if (E.kind[e] === MADE) return E.verified[e] === 0 ? ink.wrong : ink.made;
  return (loud ? ink.loud : E.verdict[e] === 2 ? ink.unsure : ink.sure)[E.tone[e] + 100];
}

const nodeReducer = (key, data) => {
  const n = +key,
    out = chosen >= 0 && !near[n];
  return {
    ...data,
    hidden: !seen[n],
    color: out ? ink.dim : ink.nodes[N.kind[n]],
    label: out ? "" : N.name[n],
    forceLabel: n === chosen,
    zIndex: out ? 0 : 1,
    highlighted: n === chosen,
  };
};
const edgeReducer = (key, data) => {
  const e = +key,
    ours = chosen < 0 || E.source[e] === chosen || E.target[e] === chosen;
  return { ...data, hidden: !drawn[e] || !ours, color: edgeColour(e, chosen >= 0) };
};

function filter() {
  const task = $("#by-task").value,
    licence = $("#by-licence").value;
  const kinds = new Set(
    [...document.querySelectorAll("#legend input:checked")].map((box) => box.value),
  );
  const all = [...document.querySelectorAll("#legend input")].every((box) => box.checked);
  const within = task && new Set(touching[+task].map((e) => other(e, +task)).concat(+task));
  for (let n = 0; n < count; n++)
    seen[n] =
      (!within || within.has(n)) &&
      (!licence || N.kind[n] === TASK || (N.kind[n] !== ELSEWHERE && N.licence[n] === +licence));
  for (let e = 0; e < links; e++)
    drawn[e] = seen[E.source[e]] && seen[E.target[e]] && kinds.has(sort(e));
  if (licence || !all)
    for (let n = 0; n < count; n++)
      // nodes that nothing shown touches go, too
      if (seen[n] && +task !== n && (N.kind[n] === TASK || !all))
        seen[n] = touching[n].some((e) => drawn[e]);
  const models = N.kind.reduce((sum, kind, n) => sum + (kind === MODEL && seen[n]), 0),
    of = N.kind.filter((kind) => kind === MODEL).length;
  $("#told").textContent =
    task || licence || !all
      ? `${models.toLocaleString("en")} of ${of.toLocaleString("en")} models`
      : "";
  if (chosen >= 0 && !seen[chosen]) choose(-1);
  else redraw();
}
const redraw = () => renderer && renderer.refresh({ skipIndexation: false });
