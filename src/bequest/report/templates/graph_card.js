"use strict";
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
  button.addEventListener("click", () => {
    choose(n, true);
    look(n, Math.min(renderer.getCamera().ratio, 12 / Math.sqrt(count + 140)));
  });
  return button;
}
function row(e, n) {
  const line = make("span", "", "sub"),
    method = E.methods[E.method[e]];
  if (E.kind[e] === TRANSFER)
    line.append(
      make("span", E.said[e], "gain " + VERDICTS[E.verdict[e]]),
      make("span", VERDICTS[E.verdict[e]] + (method ? `, ${method}` : "")),
    );
  if (E.kind[e] === MADE) {
    const words = { 1: ["verified", "yes"], 0: ["false claim", "no"], "-1": ["declared", ""] }[
      E.verified[e]
    ];
    line.append(
      make("span", words[0], "claim " + words[1]),
      make("span", [method, E.said[e]].filter(Boolean).join(": ")),
    );
  }
  return make("li", "", "", go(other(e, n)), line);
}
function section(title, n, edges, most = 60) {
  if (!edges.length) return [];
  const sorted = edges
    .slice()
    .sort(
      (a, b) => E.tone[b] - E.tone[a] || N.name[other(a, n)].localeCompare(N.name[other(b, n)]),
    );
  const list = make("ul", "", "", ...sorted.slice(0, most).map((e) => row(e, n)));
  if (sorted.length > most) {
    const more = make("button", `${(sorted.length - most).toLocaleString("en")} more`);
    more.addEventListener("click", () => {
      more.parentNode.remove();
      list.append(...sorted.slice(most, most + 2000).map((e) => row(e, n)));
    });
    list.append(make("li", "", "", more));
  }
  return [make("h3", `${title} (${edges.length.toLocaleString("en")})`), list];
}
function card(n) {
  const panel = $("#panel"),
    close = make("button", "×", "close"),
    title = make("h2", N.name[n]),
    facts = make("dl", "", "pairs");
  close.type = "button";
  close.setAttribute("aria-label", "Close the card");
  close.addEventListener("click", () => {
    choose(-1);
    $("#stage").focus();
  });
  title.tabIndex = -1;
  for (let k = 0; k < N.facts[n].length; k += 2)
    facts.append(make("dt", N.labels[N.facts[n][k]]), make("dd", N.facts[n][k + 1]));
  const pick = (kind, end) =>
    touching[n].filter((e) => E.kind[e] === kind && (!end || E[end][e] === n));
  const what = make(
    "p",
    "",
    "what",
    shape(n),
    make(
      "span",
      ["a model", "a task", "a model that is not in this hub"][N.kind[n]] +
        (N.licences[N.licence[n]] ? `, ${N.licences[N.licence[n]]}` : ""),
    ),
  );
  panel.replaceChildren(
    close,
    title,
    what,
    facts,
    ...(N.kind[n] === TASK
      ? [
          ...section("Transfers to it", n, pick(TRANSFER)),
          ...section("Models trained on it", n, pick(TRAINED)),
        ]
      : [
          ...section("Made from", n, pick(MADE, "target")),
          ...section("Transferred to", n, pick(TRANSFER)),
          ...section("Trained on", n, pick(TRAINED)),
          ...section("Others made from it", n, pick(MADE, "source")),
        ]),
  );
  panel.scrollTop = 0;
  return title;
}
function choose(n, focus) {
  chosen = n;
  near.fill(0);
  if (n >= 0) {
    near[n] = 1;
    for (const e of touching[n]) near[other(e, n)] = 1;
  }
  const title = n >= 0 && card(n);
  $("#panel").hidden = n < 0;
  if (focus && title) title.focus();
  redraw();
}

// Finding by name.
const names = N.name.map((name) => name.toLowerCase());
function find() {
  const words = $("#find").value.toLowerCase().split(/\s+/).filter(Boolean),
    list = $("#found"),
    hits = [];
  for (let n = 0; n < count && hits.length < 12 && words.length; n++)
    if (words.every((word) => names[n].includes(word))) hits.push(n);
  list.replaceChildren(
    ...hits.map((n) => {
      const button = go(n);
      button.prepend(shape(n));
      button.addEventListener("click", () => {
        list.hidden = true;
      });
      return make("li", "", "", button);
    }),
  );
  if (words.length && !hits.length) list.append(make("li", "nothing of that name", "none"));
  list.hidden = !words.length;
}
$("#find").addEventListener("input", find);
$(".find").addEventListener("keydown", (event) => {
  const buttons = [...document.querySelectorAll("#found button")],
    at = buttons.indexOf(document.activeElement);
  if (event.key === "Escape") {
    $("#found").hidden = true;
    $("#find").focus();
  } else if (event.key === "ArrowDown" && buttons.length) {
    event.preventDefault();
    buttons[Math.min(at + 1, buttons.length - 1)].focus();
  } else if (event.key === "ArrowUp" && at >= 0) {
    event.preventDefault();
    (at ? buttons[at - 1] : $("#find")).focus();
  }
});
$("#tools").addEventListener("submit", (event) => {
  event.preventDefault();
  const first = $("#found button");
  if (first) first.click();
});
document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".find")) $("#found").hidden = true;
});
