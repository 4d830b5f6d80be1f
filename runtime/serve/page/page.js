"use strict";

const $ = (id) => document.getElementById(id);
const LAYERS = {
  map: { low: "0 pristine", high: "1 forged", text: "Localization map: bright where the image looks forged." },
  conf: { low: "0 not at all", high: "1 fully", text: "Reliability map: bright where the localization map can be trusted." },
};
let mostBytes = Infinity;
let pictures = null;
let asked = 0; // the latest question; answers to earlier ones are not shown
let running = null;

const percent = (value) => `${(100 * value).toFixed(1)} %`;

function warn(text) {
  $("warning").textContent = text;
  $("warning").hidden = !text;
}

function busy(text) {
  $("status").textContent = text;
  $("status").classList.toggle("busy", text !== "");
}

function fail(problem, hint) {
  const box = $("problem");
  box.replaceChildren(...[problem, hint].filter(Boolean).map((text) => {
    const line = document.createElement("p");
    line.textContent = text;
    return line;
  }));
  box.hidden = false;
}

function showLayer() {
  const name = document.querySelector("input[name=layer]:checked").value;
  const layer = LAYERS[name];
  $("layer").src = pictures[name];
  $("layer").alt = layer.text;
  $("bar").className = `bar ${name}`;
  $("low").textContent = layer.low;
  $("high").textContent = layer.high;
}

function showStrength() {
  const value = $("strength").value;
  $("layer").style.opacity = value / 100;
  $("percent").textContent = `${value} %`;
  $("strength").setAttribute("aria-valuetext", `${value} percent`);
}

function inWords(found) {
  const where = `${percent(found.map_over_half)} of the pixels look forged; ` +
    `mean reliability ${found.conf_mean.toFixed(2)}.`;
  return found.warning ? where : `${found.score >= 0.5 ? "Traces of forgery." : "No convincing traces of forgery."} ${where}`;
}

function show(found) {
  pictures = found.pictures;
  $("score").textContent = found.score.toFixed(3);
  $("needle").style.left = percent(found.score).replace(" ", "");
  $("words").textContent = inWords(found);
  $("base").src = pictures.image;
  $("base").alt = `The analysed image, ${found.name}`;
  const facts = {
    "Image": `${found.name}, ${found.width} × ${found.height}, ${found.format}`,
    "On the way to pixels": found.notes.join("; ") || "nothing: 8-bit RGB, upright",
    "Weights": found.weights,
    "Ran on": `${found.provider}, ${found.seconds.toFixed(1)} s`,
  };
  $("facts").replaceChildren(...Object.entries(facts).flatMap(([name, value]) => {
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
  warn(found.warning);
  showLayer();
  showStrength();
  $("result").hidden = false;
  $("result").focus();
}

async function analyze(file) {
  const mine = ++asked;
  if (running) running.abort();
  running = new AbortController();
  $("problem").hidden = true;
  $("result").hidden = true;
  if (file.size > mostBytes) {
    busy("");
    fail(`${file.name} is too large.`, `The limit is ${Math.floor(mostBytes / 1048576)} MiB.`);
    return;
  }
  busy(`Analysing ${file.name}. Large images take minutes.`);
  try {
    const answer = await fetch("/analyze", {
      method: "POST",
      headers: { "X-File-Name": encodeURIComponent(file.name), "Content-Type": "application/octet-stream" },
      body: file,
      signal: running.signal,
    });
    const found = await answer.json();
    if (mine !== asked) return;
    busy("");
    if (answer.ok) show(found);
    else fail(found.problem, found.hint);
  } catch (error) {
    if (mine !== asked) return;
    busy("");
    fail("The server does not answer.", "Is it still running? Its terminal may say why not.");
  }
}

addEventListener("DOMContentLoaded", async () => {
  const drop = $("chooser");
  drop.addEventListener("submit", (event) => event.preventDefault());
  $("file").addEventListener("change", () => { if ($("file").files[0]) analyze($("file").files[0]); });
  addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) analyze(event.dataTransfer.files[0]);
  });
  document.querySelectorAll("input[name=layer]").forEach((input) => input.addEventListener("change", showLayer));
  $("strength").addEventListener("input", showStrength);
  const about = await (await fetch("/about")).json();
  mostBytes = about.most_bytes;
  warn(about.warning);
});
