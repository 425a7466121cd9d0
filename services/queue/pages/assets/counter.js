// The counter page by keyboard alone: a letter presses the button that shows it, and the next step has the focus.
"use strict";

function focusFirst() {
  const first = document.querySelector("#desk [data-first]");
  if (first) first.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const field = event.target.closest("input, select, textarea");
  if (field && field.type !== "checkbox") return;
  const button = document.querySelector(`#desk button[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (!button) return;
  event.preventDefault();
  const empty = button.form.querySelector("input[required]");
  if (empty && !empty.value) empty.focus(); // where to, before it is done
  else button.click();
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id === "desk") focusFirst();
});
focusFirst();
