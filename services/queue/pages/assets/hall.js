// The hall display: every call that comes is shown, and announced once, one behind the other.
"use strict";

const HELD_MS = 4000; // an announcement stands so long, also where another one waits
const SILENT_MS = 12000; // the stream says that it is alive more often
const AGAIN_MS = 3000;
const WAITING_MAX = 20;

const calls = document.getElementById("calls");
const now = document.getElementById("now");
const shown = Number(calls.dataset.shown);
const waiting = [];
let last = Number(calls.dataset.after);
let heard = Date.now();
let announcing = false;
let source = null;

function show(call) {
  const row = document.createElement("tr");
  row.dataset.number = call.number;
  for (const text of [call.number, call.counter]) {
    row.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  for (const older of calls.querySelectorAll("tr")) {
    if (older.dataset.number === call.number) older.remove();
  }
  calls.prepend(row);
  while (calls.rows.length > shown) calls.lastElementChild.remove();
  document.getElementById("nobody").hidden = true;
}

function speak(text) {
  if (!("speechSynthesis" in window) || !speechSynthesis.getVoices().length) return;
  const said = new SpeechSynthesisUtterance(text);
  said.lang = document.documentElement.lang;
  speechSynthesis.speak(said);
}

function announce() {
  const call = waiting.shift();
  announcing = call !== undefined;
  now.textContent = announcing
    ? calls.dataset.say.replace("NUMBER", call.number).replace("COUNTER", call.counter)
    : "";
  if (!announcing) return;
  speak(now.textContent);
  setTimeout(announce, HELD_MS);
}

function called(event) {
  heard = Date.now();
  const call = JSON.parse(event.data);
  if (call.sequence <= last) return; // it has been announced
  last = call.sequence;
  show(call);
  if (waiting.length < WAITING_MAX) waiting.push(call);
  if (!announcing) announce();
}

function connect() {
  const url = new URL(calls.dataset.events, location.href);
  url.searchParams.set("after", last);
  source = new EventSource(url);
  source.addEventListener("call", called);
  source.addEventListener("beat", () => { heard = Date.now(); });
  source.addEventListener("error", () => {
    // The browser comes again by itself after a break, but not after an answer that is no stream.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS);
  });
}

setInterval(() => {
  document.getElementById("away").hidden = Date.now() - heard < SILENT_MS;
}, 1000);
connect();
