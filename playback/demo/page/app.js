// The page: what the server sends goes to those who show it, some of it only once it is heard.

import { Chart, inWords, stateOf } from "./chart.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { Log, detailsOf } from "./log.js";
import { Wave } from "./wave.js";
import { Words } from "./words.js";

const ANNOUNCE_MS = 300;
const PROBLEMS = 3;

const byId = (id) => document.getElementById(id);

const connection = new Connection();
const controls = new Controls(connection, {
  problem,
  onGesture: startSound,
  onMicrophone: (isOn) => showEar(isOn ? "silence" : "off"),
});
const overview = new Chart(byId("chart-overview"), stateOf);
const detail = new Chart(byId("chart-detail"));
const bargeIn = new Chart(byId("chart-barge-in"));
const wave = new Wave(byId("wave"));
const words = new Words(byId("words"), byId("no-words"));
const log = new Log(byId("log"));

let rate = 48000;
let session = 0; // how many there were
let heardUntil = 0; // when the last of what waits for its sound is due
let announcing = 0;

// Do something when what sounds now in the server is heard here; all in the order in which it was sent.
function whenHeard(action) {
  const of = session;
  heardUntil = Math.max(heardUntil, performance.now() + 1000 * connection.delay);
  setTimeout(() => of === session && action(), heardUntil - performance.now());
}

const receive = {
  hello(message) {
    session += 1;
    rate = message.sample_rate;
    controls.greet(message);
    for (const chart of [overview, detail, bargeIn]) chart.forget();
    receive.speech({ speaking: false });
    stand(message.leaf);
    wave.enter(stateOf(message.leaf));
    announce(stateOf(message.leaf));
    log.add(message.position / rate, message.resumed ? "resumed" : "connected", `session ${message.session}`, "note");
  },
  utterance: (message) => words.know(message),
  event(event) {
    log.add(event.position / rate, event.name, detailsOf(event), event.name);
    if (event.name === "state_changed") {
      stand(event.new_leaf);
      if (event.old !== event.new) {
        announce(event.new);
        whenHeard(() => wave.enter(event.new));
      }
    }
    if (event.name === "mark_reached") {
      whenHeard(() => {
        words.reach(event.utterance);
        wave.word(String(event.payload));
      });
    }
    if (event.name === "utterance_finished") whenHeard(() => words.finish(event.utterance, event.report));
  },
  edge({ source, event, target }) {
    overview.take(source, event, target);
    detail.take(source, event, target);
    if (source !== target) byId("chart-caption").dataset.edge = `${source} — ${event} → ${target}`;
    caption();
  },
  policy(event) {
    log.add(event.position / rate, event.name, detailsOf(event), "policy");
  },
  policy_leaf({ leaf }) {
    bargeIn.stand(leaf);
    byId("barge-in-caption").textContent = `The floor: ${inWords(leaf)}`;
  },
  speech({ speaking }) {
    if (byId("ear").dataset.ear !== "off") showEar(speaking ? "speech" : "silence"); // the end of speech comes late
  },
  level({ buffered }) {
    byId("buffered").textContent = `${(buffered / rate).toFixed(1)} s buffered`;
  },
  done(message) {
    if (message.changed === false) log.add(null, message.do, "changed nothing", "note");
  },
  refused(message) {
    log.add(null, "refused", message.error, "refused");
    problem(message.do ? `${inWords(message.do)}: ${message.error}` : message.error);
  },
};

connection.addEventListener("message", ({ detail: message }) => receive[message.is]?.(message));

connection.addEventListener("status", ({ detail: { status, text } }) => {
  byId("status").dataset.status = status;
  byId("status").textContent = text;
  const isOpen = status === "connected" || status === "waiting";
  controls.live(isOpen);
  if (isOpen) return;
  session += 1;
  if (status !== "resuming") words.abandon();
  byId("buffered").textContent = byId("delay").textContent = "";
});

connection.addEventListener("stream", ({ detail: stream }) => {
  byId("voice").srcObject = stream;
  wave.listen(stream);
  byId("voice").play().catch(() => {}); // the first command starts it, where browsers hold it back until then
});

connection.addEventListener("delay", ({ detail: seconds }) => {
  byId("delay").textContent = `heard ${Math.round(1000 * seconds)} ms after arrival`;
});

connection.addEventListener("problem", ({ detail: text }) => problem(text));

function startSound() {
  wave.start();
  if (byId("voice").paused) byId("voice").play().catch((error) => problem(`No sound: ${error.message}`));
}

function connect() {
  connection.open(controls.settings);
}

function stand(leaf) {
  overview.stand(leaf);
  detail.stand(leaf);
  byId("chart-caption").dataset.leaf = leaf;
  caption();
}

function caption() {
  const { leaf, edge } = byId("chart-caption").dataset;
  byId("chart-caption").textContent = inWords(edge ? `${leaf}, after ${edge}` : leaf);
}

function showEar(heard) {
  byId("ear").dataset.ear = heard;
  byId("ear").textContent = { off: "microphone off", silence: "you are silent", speech: "you speak" }[heard];
}

// A state that only lasts for a moment is not worth a sentence.
function announce(state) {
  clearTimeout(announcing);
  announcing = setTimeout(() => (byId("announcer").textContent = inWords(state)), ANNOUNCE_MS);
}

function problem(text) {
  const box = document.createElement("div");
  const line = document.createElement("p");
  const button = document.createElement("button");
  line.textContent = text;
  button.type = "button";
  button.textContent = "Dismiss";
  button.setAttribute("aria-label", `Dismiss: ${text}`);
  button.addEventListener("click", () => box.remove());
  box.append(line, button);
  const boxes = byId("problems");
  [...boxes.children].find((other) => other.firstElementChild.textContent === text)?.remove();
  boxes.append(box);
  if (boxes.children.length > PROBLEMS) boxes.firstElementChild.remove();
}

byId("reconnect").addEventListener("click", connect);
byId("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  connect();
});
byId("clear").addEventListener("click", () => log.clear());
byId("view").addEventListener("click", ({ currentTarget: button }) => {
  const isDetailed = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(isDetailed));
  byId("chart-overview").hidden = isDetailed;
  byId("chart-detail").hidden = !isDetailed;
});
addEventListener("hashchange", () => location.hash.startsWith("#token=") && connect());
addEventListener("pagehide", () => connection.leave());
addEventListener("pageshow", ({ persisted }) => persisted && connection.start(controls.settings));

connection.start(controls.settings);
