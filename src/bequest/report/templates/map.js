"use strict";
const box = document.querySelector("#filter input");
const told = document.querySelector("#filter output");
const blocks = [...document.querySelectorAll("details.block")];
const first = blocks.map((block) => block.open);
const rows = [...document.querySelectorAll("details.block tbody tr")];
const texts = rows.map((row) => (row.title + " " + row.textContent).toLowerCase());
document.querySelector("#filter").hidden = false;

function filter() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  rows.forEach((row, n) => {
    row.hidden = !words.every((word) => texts[n].includes(word));
    shown += !row.hidden;
  });
  blocks.forEach((block, n) => {
    const some = block.querySelector("tbody tr:not([hidden])");
    block.hidden = !some;
    block.open = words.length ? Boolean(some) : first[n];
  });
  told.textContent = words.length ? shown.toLocaleString("en") + " of " + rows.length.toLocaleString("en") : "";
}

box.addEventListener("input", filter);
for (const [name, open] of [["open", true], ["close", false]]) {
  document.querySelector("#filter ." + name).addEventListener("click", () => blocks.forEach((block) => { block.open = open; }));
}
