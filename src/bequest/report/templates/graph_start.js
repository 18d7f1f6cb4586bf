"use strict";
function start() {
  colours();
  ink.paper = getComputedStyle(document.body).backgroundColor;
  $("#app").hidden = $("#tools").hidden = false;
  $("#legend").open = innerWidth > 700;
  renderer = new Sigma(build(), $("#stage"), {
    nodeReducer,
    edgeReducer,
    zIndex: false,
    allowInvalidContainer: true,
    minCameraRatio: 0.004,
    maxCameraRatio: 4,
    stagePadding: 40,
    nodeProgramClasses: {
      model: shaped((at) => `length(${at})`),
      task: shaped((at) => `(abs(${at}.x) + abs(${at}.y))`),
      elsewhere: shaped(
        (at, radius) => `(abs(length(${at}) - ${radius} * 0.75) + ${radius} * 0.75)`,
      ),
    },
    edgeProgramClasses: many
      ? { line: Sigma.rendering.EdgeLineProgram }
      : { line: Sigma.rendering.EdgeRectangleProgram, arrow: Sigma.rendering.EdgeArrowProgram },
    defaultDrawNodeLabel: (context, data, settings) => write(context, data, settings, false),
    defaultDrawNodeHover: (context, data, settings) => write(context, data, settings, true),
    labelFont: getComputedStyle(document.body).fontFamily,
    labelSize: 12,
    labelWeight: "500",
    labelDensity: 0.7,
    labelGridCellSize: 120,
    labelRenderedSizeThreshold: N.name.length > 100 ? 5 : 0, // of few, all are named
  });
  renderer.getCamera().setState(whole());
  renderer.on("clickNode", ({ node }) => {
    choose(+node);
    if (hidden(+node)) look(+node, renderer.getCamera().ratio);
  });
  renderer.on("clickStage", () => chosen >= 0 && choose(-1));
  renderer.on("enterNode", () => {
    $("#stage").style.cursor = "pointer";
  });
  renderer.on("leaveNode", () => {
    $("#stage").style.cursor = "";
  });
  let slow = 0,
    last = 0; // where frames are slow, edges are left out while the graph moves
  renderer.on("afterRender", () => {
    const now = performance.now(),
      gap = now - last;
    last = now;
    slow = gap > 70 && gap < 1000 ? slow + 1 : 0;
    if (slow === 4) renderer.setSetting("hideEdgesOnMove", true);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colours();
    ink.paper = getComputedStyle(document.body).backgroundColor;
    redraw();
  });
  $("#tables").open = false;
  window.bequestGraph = renderer;
}
function fill() {
  const add = (select, value, text) => {
    const option = make("option", text);
    option.value = value;
    select.append(option);
  };
  const tasks = N.name
    .map((_, n) => n)
    .filter((n) => N.kind[n] === TASK)
    .sort((a, b) => touching[b].length - touching[a].length || N.name[a].localeCompare(N.name[b]));
  for (const n of tasks) add($("#by-task"), n, `${N.name[n]} (${touching[n].length})`);
  N.licences.forEach((licence, k) => licence && add($("#by-licence"), k, licence));
  for (const [label, low, high] of scales.slice(0, 4))
    $("#scales").append(
      make("li", "", "", make("b", label), make("span", low), make("span", high)),
    );
  for (const box of document.querySelectorAll("#tools select, #legend input"))
    box.addEventListener("change", filter);
}
function tell(why) {
  $("#app").hidden = $("#tools").hidden = true;
  $("#plainly").hidden = false;
  $("#plainly").textContent = `${why} Here it is as tables.`;
  $("#tables").open = true;
}
const able = () => document.createElement("canvas").getContext("webgl2");
if (count && !able()) tell("This browser cannot draw the graph: it has no WebGL.");
else if (count) {
  try {
    start();
    fill();
  } catch (error) {
    tell(`The graph could not be drawn (${error.message}).`);
  }
}
