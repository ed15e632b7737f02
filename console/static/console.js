// What pages gain by JavaScript: times in the reader's own zone, buttons to copy, and
// parts that change by themselves. Without it they are whole, too.
"use strict";

// Times. The text that the server wrote stays in data-text: a part is compared by it.

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function ago(seconds) {
  const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) || units[3];
  return relative.format(Math.trunc(seconds / size), unit);
}

function left(seconds) {
  const parts = [];
  let rest = Math.max(0, Math.floor(seconds));
  for (const [unit, size] of units) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0 && parts.length < 2) parts.push(n + " " + ({ day: "d", hour: "h", minute: "min", second: "s" })[unit]);
  }
  return parts.join(" ") || "now";
}

function tell(time) {
  const at = new Date(time.dateTime);
  const seconds = (at - Date.now()) / 1000;
  let text = exact.format(at);
  if (time.dataset.as === "ago" && seconds > -7 * 86400) text = ago(Math.min(0, seconds));
  if (time.dataset.as === "left") text = seconds > 0 ? "in " + left(seconds) : "now";
  if (!time.dataset.exact) time.dataset.exact = time.title;
  const title = exact.format(at) + " · " + time.dataset.exact;
  if (time.title !== title) time.title = title;
  if (time.textContent !== text) time.textContent = text;
}

function tellTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) tell(time);
}

// Copying.

function offerCopies(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("button[data-copy]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  const word = button.firstChild; // what is copied stays in the button's name
  word.data = "Copied";
  setTimeout(() => { word.data = "Copy"; }, 2000);
});

// Live parts. Each element with data-part, which every state of a page has, takes the
// place of the one of its name,
// unless the reader is typing in that; what is folded open stays so.

const shown = new Map();

function remember(root) {
  for (const part of root.querySelectorAll("[data-part]")) shown.set(part.dataset.part, part.outerHTML);
}

function busy(part) {
  const active = document.activeElement;
  if (part.contains(active) && active.matches("input, textarea, select")) return true;
  if ([...part.querySelectorAll("input:not([type=hidden], [type=radio], [type=checkbox]), textarea")].some((f) => f.value !== f.defaultValue)) return true;
  const selection = document.getSelection();
  return !selection.isCollapsed && part.contains(selection.anchorNode);
}

function replace(page) {
  for (const now of document.querySelectorAll("[data-part]")) {
    const name = now.dataset.part;
    const next = page.querySelector(`[data-part="${name}"]`);
    const html = next ? next.outerHTML : "";
    if (html === shown.get(name) || busy(now)) continue;
    shown.set(name, html);
    if (!next) {
      now.replaceChildren();
      continue;
    }
    keepOpen(now, next);
    const focus = place(now);
    const adopted = document.importNode(next, true);
    now.replaceWith(adopted);
    offerCopies(adopted);
    focus && focus(adopted);
  }
  document.title = page.title;
  tellTimes();
}

function keepOpen(now, next) {
  const all = [...next.querySelectorAll("details")];
  [...now.querySelectorAll("details")].forEach((details, n) => {
    const twin = details.id ? all.find((d) => d.id === details.id) : all[n];
    if (twin) twin.open = details.open;
  });
}

// place finds the focused element again by its place among those that take focus.
function place(part) {
  const focusable = "a, button, summary, [tabindex]";
  const at = [...part.querySelectorAll(focusable)].indexOf(document.activeElement);
  if (at < 0) return null;
  return (adopted) => { const twin = adopted.querySelectorAll(focusable)[at]; if (twin) twin.focus({ preventScroll: true }); };
}

// The browser parses the page; no script in it runs.
function fetchPage(url, tag, form) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(form ? "POST" : "GET", url);
    request.responseType = "document";
    if (tag) request.setRequestHeader("If-None-Match", tag);
    request.onload = () => resolve(request);
    request.onerror = reject;
    request.send(form && new URLSearchParams(new FormData(form)));
  });
}

async function live() {
  let tag = "";
  for (;;) {
    const pause = Number(document.body.dataset.live);
    if (!pause) return;
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (document.hidden) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    }
    try {
      const here = location.href;
      const answer = await fetchPage(here, tag);
      if (location.href !== here) continue;
      if (answer.responseURL && new URL(answer.responseURL).pathname !== location.pathname) {
        location.reload(); // the session is over
        return;
      }
      if (answer.status !== 200 || !answer.response) continue;
      tag = answer.getResponseHeader("ETag") || "";
      replace(answer.response);
      document.body.dataset.live = answer.response.body.dataset.live || "";
    } catch {
      // The server is away; it may come back.
    }
  }
}

// A list that has found nothing yet looks further back by itself, page by page.

async function lookOn() {
  for (;;) {
    const link = document.querySelector("a[data-look]");
    if (!link) return;
    const answer = await fetchPage(link.href, "");
    if (answer.status !== 200 || !answer.response) return;
    history.replaceState(null, "", link.href);
    replace(answer.response);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// A form that came as the answer to another one says where it is found again, so that
// a reload sends nothing a second time.
const form = document.querySelector("form[data-home]");
if (form) history.replaceState(null, "", form.dataset.home);

// Work of many parts. A form with data-continue asks for the next one: it is sent until
// no page has it any more, or the reader presses Stop.

async function goOn() {
  const main = document.getElementById("main");
  const stop = document.querySelector("button[data-stop]");
  const next = () => document.querySelector("form[data-continue]");
  if (!stop || !next()) return;
  let stopped = false;
  stop.addEventListener("click", () => { stopped = true; });
  stop.hidden = false;
  main.toggleAttribute("data-running", true);
  for (let form = next(); form && !stopped; form = next() === form ? null : next()) {
    try {
      const answer = await fetchPage(form.getAttribute("action"), "", form);
      if (!answer.response || !answer.response.querySelector("[data-part=progress]")) {
        form.submit(); // another page, such as the one to sign in: the reader must see it
        return;
      }
      replace(answer.response);
    } catch {
      document.querySelector("[data-away]").hidden = false;
      break;
    }
  }
  const focused = stop === document.activeElement;
  stop.hidden = true;
  main.toggleAttribute("data-running", false);
  if (focused) (main.querySelector("[data-part=next] :is(button, a)") || main).focus();
}

remember(document);
tellTimes();
offerCopies(document);
setInterval(tellTimes, 1000);
live();
lookOn().catch(() => {}); // the link is there, too
goOn();
