"use strict";
// Drawing: sigma's circle, cut to other shapes. Of many, one point each, and a plain line for an edge: a
// fraction of the corners, so that a computer without a graphics card moves them, too.
const many = links > 5000 || count > 3000;
function shaped(distance) {
  const { NodePointProgram, NodeCircleProgram } = Sigma.rendering,
    [from, radius] = many ? ["m", "radius"] : ["v_diffVector", "v_radius"];
  return class extends (many ? NodePointProgram : NodeCircleProgram) {
    getDefinition() {
      const found = super.getDefinition();
      return {
        ...found,
        FRAGMENT_SHADER_SOURCE: found.FRAGMENT_SHADER_SOURCE.replace(
          `length(${from})`,
          distance(from, radius),
        ),
      };
    }
  };
}
function write(context, data, settings, boxed) {
  if (!data.label) return;
  const text = data.label.length > 48 ? data.label.slice(0, 46) + "…" : data.label,
    size = settings.labelSize,
    x = data.x + data.size + 4,
    y = data.y + size / 3;
  context.font = `${settings.labelWeight} ${size}px ${settings.labelFont}`;
  const width = context.measureText(text).width;
  if (boxed) {
    context.fillStyle = ink.bubble;
    context.strokeStyle = ink.line;
    context.beginPath();
    context.roundRect(
      data.x - data.size - 4,
      data.y - size,
      width + 2 * data.size + 14,
      2 * size,
      5,
    );
    context.fill();
    context.stroke();
  } else {
    context.strokeStyle = ink.paper;
    context.lineWidth = 3;
    context.strokeText(text, x, y);
  }
  context.fillStyle = ink.text;
  context.fillText(text, x, y);
}
function build() {
  const graph = new graphology.MultiDirectedGraph();
  const box = $("#stage").getBoundingClientRect(),
    room = Math.max(0.5, Math.min(1, Math.min(box.width, box.height) / 700));
  const size = room * Math.max(0.38, Math.min(1, 40 / Math.sqrt(count + 1)));
  for (let n = 0; n < count; n++) {
    const heavy = Math.sqrt(touching[n].length);
    graph.addNode(String(n), {
      x: N.x[n],
      y: N.y[n],
      label: N.name[n],
      type: SHAPES[N.kind[n]],
      size: size * (N.kind[n] === TASK ? 8 + Math.min(14, 0.9 * heavy) : 4 + Math.min(6, heavy)),
    });
  }
  const weight = (e) =>
    E.kind[e] === TRANSFER ? 1000 - 500 * (E.verdict[e] === 2) + Math.abs(E.tone[e]) : E.kind[e];
  const order = Array.from({ length: links }, (_, e) => e).sort((a, b) => weight(a) - weight(b));
  for (const e of order) {
    const thick = E.kind[e] === TRANSFER && E.verdict[e] !== 2 ? 2 : 1;
    graph.addEdgeWithKey(String(e), String(E.source[e]), String(E.target[e]), {
      size: 1.1 * thick,
      type: !many && E.kind[e] !== TRAINED ? "arrow" : "line",
    });
  }
  return graph;
}
// The camera, by buttons and keys.
const still = matchMedia("(prefers-reduced-motion: reduce)");
const move = (state) => renderer.getCamera().animate(state, { duration: still.matches ? 0 : 220 });
function look(n, ratio) {
  // in the middle of what the card leaves of the stage
  const place = renderer && renderer.getNodeDisplayData(String(n)),
    box = $("#stage").getBoundingClientRect(),
    { width, left, top } = $("#panel").getBoundingClientRect();
  if (!place) return;
  const beside = width && left > box.left + 1,
    free = {
      x: (beside ? left - box.left : box.width) / 2,
      y: (width && !beside ? top - box.top : box.height) / 2,
    };
  const { x, y } = renderer.viewportToFramedGraph(free, {
    cameraState: { ...renderer.getCamera().getState(), x: place.x, y: place.y, ratio },
  });
  move({ x: 2 * place.x - x, y: 2 * place.y - y, ratio });
}
function hidden(n) {
  const at = renderer.framedGraphToViewport(renderer.getNodeDisplayData(String(n))),
    box = $("#stage").getBoundingClientRect(),
    panel = $("#panel").getBoundingClientRect();
  return at.x + box.left > panel.left - 20 && at.y + box.top > panel.top - 20;
}
function whole() {
  // beside the legend, where there is room for both
  const box = $("#stage").getBoundingClientRect(),
    legend = $("#legend").getBoundingClientRect(),
    left = box.width > 960 && $("#legend").open ? legend.right - box.left : 0;
  const ratio = Math.max(1, Math.min(box.height, box.width) / (box.width - left)),
    state = { x: 0.5, y: 0.5, ratio, angle: 0 };
  const { x, y } = renderer.viewportToFramedGraph(
    { x: (left + box.width) / 2, y: box.height / 2 },
    { cameraState: state },
  );
  return { x: 1 - x, y: 1 - y, ratio };
}
function turn(key) {
  const { x, y, ratio } = renderer.getCamera().getState(),
    step = 0.15 * ratio;
  const states = {
    ArrowLeft: { x: x - step },
    ArrowRight: { x: x + step },
    ArrowUp: { y: y + step },
    ArrowDown: { y: y - step },
    "+": { ratio: ratio / 1.5 },
    "=": { ratio: ratio / 1.5 },
    "-": { ratio: ratio * 1.5 },
    0: whole(),
  };
  if (key in states) move(states[key]);
  return key in states;
}
$("#stage").addEventListener("keydown", (event) => {
  if (!event.ctrlKey && !event.metaKey && turn(event.key)) event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosen >= 0 && !event.target.closest(".find")) {
    choose(-1);
    $("#stage").focus();
  }
});
for (const button of document.querySelectorAll("#zoom button"))
  button.addEventListener("click", () => turn({ in: "+", out: "-", all: "0" }[button.value]));
