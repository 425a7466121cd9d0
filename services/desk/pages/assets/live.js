// The list of open cases follows what happens: one stream for all pages of a browser, told on to the others.
"use strict";

const NEXT_MS = 2000; // a list is asked for so often at most
const READ_MS = 8000; // what an act has come to stays to be read
const AGAIN_MS = 10000;
const NAME = "tidegauge-cases";

const list = document.getElementById("cases");
const notice = document.getElementById("changed");
const others = new BroadcastChannel(NAME);
let last = list.dataset.after;
let heard = null; // by the stream of this page, if it has one
let asked = 0;
let acted = 0;
let due = null;

// Whoever writes something, or has opened a form, keeps what he sees until he wants the new list.
function atWork() {
  return list.contains(document.activeElement) || list.querySelector("details[open], .htmx-request") !== null;
}

function show() {
  notice.hidden = true;
  asked = Date.now();
  htmx.ajax("GET", list.dataset.list, { target: "#cases", swap: "innerHTML" });
}

function changed(number) {
  last = number;
  if (due !== null) return;
  due = setTimeout(() => {
    due = null;
    if (acted + READ_MS > Date.now()) changed(last);
    else if (atWork()) notice.hidden = false;
    else show();
  }, Math.max(0, asked + NEXT_MS - Date.now(), acted + READ_MS - Date.now()));
}

function listen() {
  const url = new URL(list.dataset.events, location.href);
  url.searchParams.set("after", last);
  const source = new EventSource(url);
  source.addEventListener("cases", (event) => {
    heard = event.lastEventId;
    others.postMessage({ number: heard });
    changed(event.lastEventId);
  });
  source.addEventListener("error", () => {
    // The browser comes again by itself after a break, but not after an answer that is no stream.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN_MS);
  });
}

list.addEventListener("htmx:beforeRequest", () => { acted = Date.now(); }); // of an act, or of what has become of it
others.addEventListener("message", (event) => {
  // A page that has just been loaded asks whether it has missed something since its list was made.
  if (!("behind" in event.data)) changed(event.data.number);
  else if (heard !== null && Number(heard) > Number(event.data.behind)) others.postMessage({ number: heard });
});
others.postMessage({ behind: last });
notice.querySelector("button").addEventListener("click", show);
// Who has the lock has the stream; when its page is closed, the next one gets it.
if (navigator.locks) navigator.locks.request(NAME, () => new Promise(listen));
else listen();
