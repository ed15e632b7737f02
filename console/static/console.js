// What pages gain by JavaScript: times in the reader's own zone, buttons to copy, and
// parts that change by themselves. Without it they are whole, too.
"use strict";

// Times. The text that the server wrote stays in data-text: a part is compared by it.

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
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
  if (time.dataset.as === "left") text = seconds > 0 ? "in " + left(seconds) : seconds > -3 ? "now" : left(-seconds) + " overdue";
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
  // What is shown may stand for what can't be seen.
  await navigator.clipboard.writeText(button.dataset.text ?? document.getElementById(button.dataset.copy).textContent);
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

// busy reports whether the reader is in the middle of something that a change would
// disturb: typing, choosing, about to confirm, told what is wrong.
function busy(part) {
  if (part.querySelector("form :focus, details.confirm[open], form :is([role=alert], [aria-invalid])")) return true;
  if ([...part.querySelectorAll("input:not([type=hidden], [type=radio], [type=checkbox]), textarea")].some((f) => f.value !== f.defaultValue)) return true;
  const selection = document.getSelection();
  return !selection.isCollapsed && part.contains(selection.anchorNode);
}

// replace reports whether a part has to wait until the reader is done with it.
function replace(page) {
  let waits = false;
  for (const now of document.querySelectorAll("[data-part]")) {
    const name = now.dataset.part;
    const next = page.querySelector(`[data-part="${name}"]`);
    const html = next ? next.outerHTML : "";
    if (html === shown.get(name)) continue;
    if (busy(now)) {
      waits = true;
      continue;
    }
    shown.set(name, html);
    if (!next) {
      now.replaceChildren();
      continue;
    }
    keepOpen(now, next);
    const focused = now.contains(document.activeElement) ? identity(document.activeElement) : "";
    const adopted = document.importNode(next, true);
    now.replaceWith(adopted);
    offerCopies(adopted);
    const again = focused ? adopted.querySelectorAll(focused) : [];
    if (again.length === 1) again[0].focus({ preventScroll: true });
  }
  document.title = page.title;
  tellTimes();
  return waits;
}

function keepOpen(now, next) {
  for (const details of now.querySelectorAll("details[id]")) {
    const twin = next.querySelector("#" + CSS.escape(details.id));
    if (twin) twin.open = details.open;
  }
}

// identity is a selector for the very same thing in another state of the page, never for
// what has come to be in its place: "" where there is none.
function identity(element) {
  if (element.id) return "#" + CSS.escape(element.id);
  if (element.matches("a[href]")) return `a[href="${CSS.escape(element.getAttribute("href"))}"]`;
  const details = element.matches("summary") && element.closest("details[id]");
  return details ? `#${CSS.escape(details.id)} > summary` : "";
}

// The browser parses the page; no script in it runs.
function fetchPage(url, tag, form) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(form ? "POST" : "GET", url);
    request.responseType = "document";
    request.timeout = 20000;
    if (tag) request.setRequestHeader("If-None-Match", tag);
    request.onload = () => resolve(request);
    request.onerror = request.ontimeout = reject;
    request.send(form && new URLSearchParams(new FormData(form)));
  });
}

// stale says so when the page can't be looked at again; "" when it can.
function stale(text) {
  let notice = document.getElementById("stale");
  if (!text) {
    if (notice) notice.remove();
    return;
  }
  if (!notice) {
    notice = document.createElement("p");
    notice.id = "stale";
    notice.className = "notice warn";
    notice.setAttribute("role", "alert");
    document.getElementById("main").prepend(notice);
  }
  if (notice.textContent !== text) notice.textContent = text;
}

async function live() {
  let tag = "";
  let failed = 0;
  let since = new Date();
  for (;;) {
    const pause = Number(document.body.dataset.live);
    if (!pause) return;
    await new Promise((resolve) => setTimeout(resolve, failed ? Math.max(pause, 3000) : pause));
    if (document.hidden) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    }
    const here = location.href;
    let answer;
    try {
      answer = await fetchPage(here, tag);
    } catch {
      answer = null; // the server is away; it may come back
    }
    if (location.href !== here) continue;
    if (answer && answer.responseURL && new URL(answer.responseURL).pathname !== location.pathname) {
      if (![...document.querySelectorAll("[data-part]")].some(busy)) {
        location.reload(); // the session is over
        return;
      }
      stale("You have been signed out. Sign in again in another tab; what you have entered here stays.");
      continue;
    }
    if (answer && answer.status === 304) {
      failed = 0;
      since = new Date();
      stale("");
      continue;
    }
    if (!answer || answer.status !== 200 || !answer.response) {
      failed++;
      if (failed > 1) stale("Not updated since " + exact.format(since) + ": the server " + (answer ? "answers " + answer.status : "can't be reached") + ".");
      continue;
    }
    failed = 0;
    since = new Date();
    stale("");
    const waits = replace(answer.response);
    tag = waits ? "" : answer.getResponseHeader("ETag") || "";
    document.body.dataset.live = answer.response.body.dataset.live || (waits ? pause : "");
  }
}

// A form is sent once, however often its button is pressed; a page that is gone back to
// may send it again.

document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

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

// What came as the answer to a form says where it is found again, so that
// a reload sends nothing a second time.
const home = document.querySelector("[data-home]");
if (home) history.replaceState(null, "", home.dataset.home);

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
      const ours = answer.response && answer.response.querySelector("[data-part=progress]");
      if (!ours && answer.status >= 500) throw new Error(answer.statusText);
      if (!ours) {
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
