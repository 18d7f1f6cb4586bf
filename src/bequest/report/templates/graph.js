"use strict";
(() => {
const $ = (query) => document.querySelector(query);
const { nodes: N, edges: E, scales } = JSON.parse($("#graph-data").textContent);
const TASK = 1, ELSEWHERE = 2, TRAINED = 0, MADE = 1, TRANSFER = 2;
const VERDICTS = ["helps", "hurts", "undecided"], SHAPES = ["model", "task", "elsewhere"];
const count = N.name.length, links = E.source.length;
const touching = N.name.map(() => []);
for (let e = 0; e < links; e++) { touching[E.source[e]].push(e); if (E.target[e] !== E.source[e]) touching[E.target[e]].push(e); }
const other = (e, n) => (E.source[e] === n ? E.target[e] : E.source[e]);
const sort = (e) => (E.kind[e] === TRANSFER ? VERDICTS[E.verdict[e]] : E.kind[e] === MADE ? "made from" : "trained on");

// What is shown: filters hide nodes and edges, a choice dims what does not touch it.
const seen = new Uint8Array(count).fill(1), drawn = new Uint8Array(links).fill(1), near = new Uint8Array(count);
let chosen = -1, hovered = -1, renderer = null, ink = {};

function colours() {
  const style = getComputedStyle(document.documentElement);
  const rgb = (name) => [1, 3, 5].map((at) => parseInt(style.getPropertyValue(name).trim().slice(at, at + 2), 16));
  const text = (parts, alpha = 1) => `rgba(${parts.map((part) => Math.round(part * alpha)).join(",")},${alpha})`; // sigma blends what is multiplied by its alpha already
  const mix = (one, two, share) => one.map((part, k) => part + share * (two[k] - part));
  const [plus, zero, minus] = ["--plus", "--zero", "--minus"].map(rgb);
  const faint = Math.min(1, Math.max(0.12, 2500 / (links + 1)));
  const ramp = (alpha) => Array.from({ length: 201 }, (_, k) => text(mix(zero, k < 100 ? minus : plus, 0.25 + 0.75 * Math.abs(k - 100) / 100), alpha));
  ink = {
    nodes: ["--model", "--task", "--away"].map((name) => text(rgb(name))), dim: text(rgb("--line")),
    sure: ramp(Math.max(0.35, faint)), unsure: ramp(0.6 * faint), loud: ramp(1), trained: text(rgb("--trained"), Math.max(0.25, faint)),
    made: text(rgb("--made"), Math.max(0.5, faint)), wrong: text(rgb("--bad")), text: text(rgb("--ink")), bubble: text(rgb("--bubble")), line: text(rgb("--line")),
  };
}

function edgeColour(e, loud) {
  if (E.kind[e] === TRAINED) return ink.trained;
  if (E.kind[e] === MADE) return E.verified[e] === 0 ? ink.wrong : ink.made;
  return (loud ? ink.loud : E.verdict[e] === 2 ? ink.unsure : ink.sure)[E.tone[e] + 100];
}

const nodeReducer = (key, data) => {
  const n = +key, out = chosen >= 0 && !near[n];
  return { ...data, hidden: !seen[n], color: out ? ink.dim : ink.nodes[N.kind[n]], label: out ? "" : N.name[n], forceLabel: n === chosen, zIndex: out ? 0 : 1, highlighted: n === chosen };
};
const edgeReducer = (key, data) => {
  const e = +key, ours = chosen < 0 || E.source[e] === chosen || E.target[e] === chosen;
  return { ...data, hidden: !drawn[e] || !ours, color: edgeColour(e, chosen >= 0) };
};

function filter() {
  const task = $("#by-task").value, licence = $("#by-licence").value;
  const kinds = new Set([...document.querySelectorAll("#legend input:checked")].map((box) => box.value));
  const all = [...document.querySelectorAll("#legend input")].every((box) => box.checked);
  const within = task && new Set(touching[+task].map((e) => other(e, +task)).concat(+task));
  for (let n = 0; n < count; n++) seen[n] = (!within || within.has(n)) && (!licence || N.kind[n] === TASK || (N.kind[n] !== ELSEWHERE && N.licence[n] === +licence));
  for (let e = 0; e < links; e++) drawn[e] = seen[E.source[e]] && seen[E.target[e]] && kinds.has(sort(e));
  if (licence || !all) for (let n = 0; n < count; n++) // nodes that nothing shown touches go, too
    if (seen[n] && +task !== n && (N.kind[n] === TASK || !all)) seen[n] = touching[n].some((e) => drawn[e]);
  const models = N.kind.reduce((sum, kind, n) => sum + (kind === 0 && seen[n]), 0), of = N.kind.filter((kind) => kind === 0).length;
  $("#told").textContent = task || licence || !all ? `${models.toLocaleString("en")} of ${of.toLocaleString("en")} models` : "";
  if (chosen >= 0 && !seen[chosen]) choose(-1); else redraw();
}
const redraw = () => renderer && renderer.refresh({ skipIndexation: false });

// The card. All text is other people's: it goes in as text, never as markup.
function make(tag, text, kind, ...inside) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  made.append(...inside);
  return made;
}
const shape = (n) => $("#legend .shape." + SHAPES[N.kind[n]]).cloneNode(true);
function go(n) {
  const button = make("button", N.name[n]);
  button.type = "button";
  button.addEventListener("click", () => { choose(n, true); look(n, Math.min(renderer.getCamera().ratio, 12 / Math.sqrt(count + 140))); });
  return button;
}
function row(e, n) {
  const line = make("span", "", "sub"), method = E.methods[E.method[e]];
  if (E.kind[e] === TRANSFER) line.append(make("span", E.said[e], "gain " + VERDICTS[E.verdict[e]]), make("span", VERDICTS[E.verdict[e]] + (method ? `, ${method}` : "")));
  if (E.kind[e] === MADE) {
    const words = { "1": ["verified", "yes"], "0": ["false claim", "no"], "-1": ["declared", ""] }[E.verified[e]];
    line.append(make("span", words[0], "claim " + words[1]), make("span", [method, E.said[e]].filter(Boolean).join(": ")));
  }
  return make("li", "", "", go(other(e, n)), line);
}
function section(title, n, edges, most = 60) {
  if (!edges.length) return [];
  const sorted = edges.slice().sort((a, b) => E.tone[b] - E.tone[a] || N.name[other(a, n)].localeCompare(N.name[other(b, n)]));
  const list = make("ul", "", "", ...sorted.slice(0, most).map((e) => row(e, n)));
  if (sorted.length > most) {
    const more = make("button", `${(sorted.length - most).toLocaleString("en")} more`);
    more.addEventListener("click", () => { more.parentNode.remove(); list.append(...sorted.slice(most, most + 2000).map((e) => row(e, n))); });
    list.append(make("li", "", "", more));
  }
  return [make("h3", `${title} (${edges.length.toLocaleString("en")})`), list];
}
function card(n) {
  const panel = $("#panel"), close = make("button", "×", "close"), title = make("h2", N.name[n]), facts = make("dl", "", "pairs");
  close.type = "button"; close.setAttribute("aria-label", "Close the card"); close.addEventListener("click", () => { choose(-1); $("#stage").focus(); });
  title.tabIndex = -1;
  for (let k = 0; k < N.facts[n].length; k += 2) facts.append(make("dt", N.labels[N.facts[n][k]]), make("dd", N.facts[n][k + 1]));
  const pick = (kind, end) => touching[n].filter((e) => E.kind[e] === kind && (!end || E[end][e] === n));
  const what = make("p", "", "what", shape(n), make("span", ["a model", "a task", "a model that is not in this hub"][N.kind[n]] + (N.licences[N.licence[n]] ? `, ${N.licences[N.licence[n]]}` : "")));
  panel.replaceChildren(close, title, what, facts,
    ...(N.kind[n] === TASK ? [...section("Transfers to it", n, pick(TRANSFER)), ...section("Models trained on it", n, pick(TRAINED))]
      : [...section("Made from", n, pick(MADE, "target")), ...section("Transferred to", n, pick(TRANSFER)), ...section("Trained on", n, pick(TRAINED)), ...section("Others made from it", n, pick(MADE, "source"))]));
  panel.scrollTop = 0;
  return title;
}
function choose(n, focus) {
  chosen = n;
  near.fill(0);
  if (n >= 0) { near[n] = 1; for (const e of touching[n]) near[other(e, n)] = 1; }
  const title = n >= 0 && card(n);
  $("#panel").hidden = n < 0;
  if (focus && title) title.focus();
  redraw();
}

// Finding by name.
const names = N.name.map((name) => name.toLowerCase());
function find() {
  const words = $("#find").value.toLowerCase().split(/\s+/).filter(Boolean), list = $("#found"), hits = [];
  for (let n = 0; n < count && hits.length < 12 && words.length; n++) if (words.every((word) => names[n].includes(word))) hits.push(n);
  list.replaceChildren(...hits.map((n) => { const button = go(n); button.prepend(shape(n)); button.addEventListener("click", () => { list.hidden = true; }); return make("li", "", "", button); }));
  if (words.length && !hits.length) list.append(make("li", "nothing of that name", "none"));
  list.hidden = !words.length;
}
$("#find").addEventListener("input", find);
$(".find").addEventListener("keydown", (event) => {
  const buttons = [...document.querySelectorAll("#found button")], at = buttons.indexOf(document.activeElement);
  if (event.key === "Escape") { $("#found").hidden = true; $("#find").focus(); }
  else if (event.key === "ArrowDown" && buttons.length) { event.preventDefault(); buttons[Math.min(at + 1, buttons.length - 1)].focus(); }
  else if (event.key === "ArrowUp" && at >= 0) { event.preventDefault(); (at ? buttons[at - 1] : $("#find")).focus(); }
});
$("#tools").addEventListener("submit", (event) => { event.preventDefault(); const first = $("#found button"); if (first) first.click(); });
document.addEventListener("pointerdown", (event) => { if (!event.target.closest(".find")) $("#found").hidden = true; });

// The camera, by buttons and keys.
const still = matchMedia("(prefers-reduced-motion: reduce)");
const move = (state) => renderer.getCamera().animate(state, { duration: still.matches ? 0 : 220 });
function look(n, ratio) { // in the middle of what the card leaves of the stage
  const place = renderer && renderer.getNodeDisplayData(String(n)), box = $("#stage").getBoundingClientRect(), { width, left, top } = $("#panel").getBoundingClientRect();
  if (!place) return;
  const beside = width && left > box.left + 1, free = { x: (beside ? left - box.left : box.width) / 2, y: (width && !beside ? top - box.top : box.height) / 2 };
  const { x, y } = renderer.viewportToFramedGraph(free, { cameraState: { ...renderer.getCamera().getState(), x: place.x, y: place.y, ratio } });
  move({ x: 2 * place.x - x, y: 2 * place.y - y, ratio });
}
function hidden(n) {
  const at = renderer.framedGraphToViewport(renderer.getNodeDisplayData(String(n))), box = $("#stage").getBoundingClientRect(), panel = $("#panel").getBoundingClientRect();
  return at.x + box.left > panel.left - 20 && at.y + box.top > panel.top - 20;
}
function whole() { // beside the legend, where there is room for both
  const box = $("#stage").getBoundingClientRect(), legend = $("#legend").getBoundingClientRect(), left = box.width > 960 && $("#legend").open ? legend.right - box.left : 0;
  const ratio = Math.max(1, Math.min(box.height, box.width) / (box.width - left)), state = { x: 0.5, y: 0.5, ratio, angle: 0 };
  const { x, y } = renderer.viewportToFramedGraph({ x: (left + box.width) / 2, y: box.height / 2 }, { cameraState: state });
  return { x: 1 - x, y: 1 - y, ratio };
}
function turn(key) {
  const { x, y, ratio } = renderer.getCamera().getState(), step = 0.15 * ratio;
  const states = { ArrowLeft: { x: x - step }, ArrowRight: { x: x + step }, ArrowUp: { y: y + step }, ArrowDown: { y: y - step }, "+": { ratio: ratio / 1.5 }, "=": { ratio: ratio / 1.5 }, "-": { ratio: ratio * 1.5 }, 0: whole() };
  if (key in states) move(states[key]);
  return key in states;
}
$("#stage").addEventListener("keydown", (event) => { if (!event.ctrlKey && !event.metaKey && turn(event.key)) event.preventDefault(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && chosen >= 0 && !event.target.closest(".find")) { choose(-1); $("#stage").focus(); } });
for (const button of document.querySelectorAll("#zoom button")) button.addEventListener("click", () => turn({ in: "+", out: "-", all: "0" }[button.value]));

// Drawing: sigma's circle, cut to other shapes. Of many, one point each, and a plain line for an edge: a
// fraction of the corners, so that a computer without a graphics card moves them, too.
const many = links > 5000 || count > 3000;
function shaped(distance) {
  const { NodePointProgram, NodeCircleProgram } = Sigma.rendering, [from, radius] = many ? ["m", "radius"] : ["v_diffVector", "v_radius"];
  return class extends (many ? NodePointProgram : NodeCircleProgram) {
    getDefinition() {
      const found = super.getDefinition();
      return { ...found, FRAGMENT_SHADER_SOURCE: found.FRAGMENT_SHADER_SOURCE.replace(`length(${from})`, distance(from, radius)) };
    }
  };
}
function write(context, data, settings, boxed) {
  if (!data.label) return;
  const text = data.label.length > 48 ? data.label.slice(0, 46) + "…" : data.label, size = settings.labelSize, x = data.x + data.size + 4, y = data.y + size / 3;
  context.font = `${settings.labelWeight} ${size}px ${settings.labelFont}`;
  const width = context.measureText(text).width;
  if (boxed) {
    context.fillStyle = ink.bubble; context.strokeStyle = ink.line;
    context.beginPath(); context.roundRect(data.x - data.size - 4, data.y - size, width + 2 * data.size + 14, 2 * size, 5); context.fill(); context.stroke();
  } else { context.strokeStyle = ink.paper; context.lineWidth = 3; context.strokeText(text, x, y); }
  context.fillStyle = ink.text; context.fillText(text, x, y);
}
function build() {
  const graph = new graphology.MultiDirectedGraph();
  const size = Math.max(0.38, Math.min(1, 40 / Math.sqrt(count + 1)));
  for (let n = 0; n < count; n++) {
    const heavy = Math.sqrt(touching[n].length);
    graph.addNode(String(n), { x: N.x[n], y: N.y[n], label: N.name[n], type: SHAPES[N.kind[n]], size: size * (N.kind[n] === TASK ? 8 + Math.min(14, 0.9 * heavy) : 4 + Math.min(6, heavy)) });
  }
  const weight = (e) => (E.kind[e] === TRANSFER ? 1000 - 500 * (E.verdict[e] === 2) + Math.abs(E.tone[e]) : E.kind[e]);
  const order = Array.from({ length: links }, (_, e) => e).sort((a, b) => weight(a) - weight(b));
  for (const e of order) {
    const thick = E.kind[e] === TRANSFER && E.verdict[e] !== 2 ? 2 : 1;
    graph.addEdgeWithKey(String(e), String(E.source[e]), String(E.target[e]), { size: 1.1 * thick, type: !many && E.kind[e] !== TRAINED ? "arrow" : "line" });
  }
  return graph;
}
function start() {
  colours();
  ink.paper = getComputedStyle(document.body).backgroundColor;
  $("#app").hidden = $("#tools").hidden = false;
  $("#legend").open = innerWidth > 700;
  renderer = new Sigma(build(), $("#stage"), {
    nodeReducer, edgeReducer, zIndex: false, allowInvalidContainer: true, minCameraRatio: 0.004, maxCameraRatio: 4, stagePadding: 40,
    nodeProgramClasses: { model: shaped((at) => `length(${at})`), task: shaped((at) => `(abs(${at}.x) + abs(${at}.y))`), elsewhere: shaped((at, radius) => `(abs(length(${at}) - ${radius} * 0.75) + ${radius} * 0.75)`) },
    edgeProgramClasses: many ? { line: Sigma.rendering.EdgeLineProgram } : { line: Sigma.rendering.EdgeRectangleProgram, arrow: Sigma.rendering.EdgeArrowProgram },
    defaultDrawNodeLabel: (context, data, settings) => write(context, data, settings, false), defaultDrawNodeHover: (context, data, settings) => write(context, data, settings, true),
    labelFont: getComputedStyle(document.body).fontFamily, labelSize: 12, labelWeight: "500", labelDensity: 0.7, labelGridCellSize: 120, labelRenderedSizeThreshold: 5,
  });
  renderer.getCamera().setState(whole());
  renderer.on("clickNode", ({ node }) => { choose(+node); if (hidden(+node)) look(+node, renderer.getCamera().ratio); });
  renderer.on("clickStage", () => chosen >= 0 && choose(-1));
  renderer.on("enterNode", () => { $("#stage").style.cursor = "pointer"; });
  renderer.on("leaveNode", () => { $("#stage").style.cursor = ""; });
  let slow = 0, last = 0; // where frames are slow, edges are left out while the graph moves
  renderer.on("afterRender", () => {
    const now = performance.now(), gap = now - last;
    last = now;
    slow = gap > 70 && gap < 1000 ? slow + 1 : 0;
    if (slow === 4) renderer.setSetting("hideEdgesOnMove", true);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colours(); ink.paper = getComputedStyle(document.body).backgroundColor; redraw(); });
  $("#tables").open = false;
  window.bequestGraph = renderer;
}
function fill() {
  const add = (select, value, text) => { const option = make("option", text); option.value = value; select.append(option); };
  const tasks = N.name.map((_, n) => n).filter((n) => N.kind[n] === TASK).sort((a, b) => touching[b].length - touching[a].length || N.name[a].localeCompare(N.name[b]));
  for (const n of tasks) add($("#by-task"), n, `${N.name[n]} (${touching[n].length})`);
  N.licences.forEach((licence, k) => licence && add($("#by-licence"), k, licence));
  for (const [label, low, high] of scales.slice(0, 4)) $("#scales").append(make("li", "", "", make("b", label), make("span", low), make("span", high)));
  for (const box of document.querySelectorAll("#tools select, #legend input")) box.addEventListener("change", filter);
}
if (!count) return;
try { start(); fill(); } catch (error) {
  $("#app").hidden = $("#tools").hidden = true;
  $("#plainly").hidden = false;
  $("#plainly").textContent = "This browser cannot draw the graph (it has no WebGL): here it is as tables.";
  $("#tables").open = true;
}
})();
