/* What pages do beyond links and forms. Every part has a plain way that works without this file. */
(() => {
  "use strict";

  const DEBOUNCE_MS = 450; // long enough to walk over several stars with the arrow keys

  document.documentElement.classList.add("js");

  const csrfToken = () => document.querySelector("input[name=csrfmiddlewaretoken]")?.value ?? "";

  const announce = (text) => {
    const announcer = document.getElementById("announcer");
    if (announcer && text) announcer.textContent = text;
  };

  // -- Back shows what was done since: a page that the browser had frozen is fetched anew ---------

  const WRITES = "writes"; // how often this browser has sent something, in all tabs
  const readWrites = () => {
    try { return window.localStorage.getItem(WRITES) ?? "0"; } catch { return "0"; } // storage may be forbidden
  };
  let writesShown = readWrites();
  let writesAnswered = writesShown; // what the page shows once its own requests are answered
  const countWrite = () => {
    try { window.localStorage.setItem(WRITES, String(Number(readWrites()) + 1)); } catch { /* see above */ }
  };

  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    const isCurrent = writesAnswered === readWrites(); // no other tab has sent anything meanwhile
    countWrite();
    if (isCurrent) writesAnswered = readWrites();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful && event.detail.requestConfig?.verb === "post") writesShown = writesAnswered;
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && writesShown !== readWrites()) window.location.reload();
  });

  // -- clicks: a beacon with the event id of the link, then the film's own address ---------------

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-click]");
    if (!link || event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return; // a new tab follows href
    const token = csrfToken();
    if (!token || !navigator.sendBeacon) return;
    const query = new URL(link.href).searchParams;
    const body = new FormData();
    body.set("csrfmiddlewaretoken", token);
    body.set("event_id", query.get("e") ?? "");
    body.set("surface", query.get("from") ?? "");
    body.set("recommendation_id", query.get("rec") ?? "");
    if (!navigator.sendBeacon(link.dataset.click, body)) return;
    countWrite();
    event.preventDefault();
    window.location.assign(link.dataset.href);
  });

  // -- rating: one write for each change --------------------------------------------------------

  const waiting = new Map(); // form -> timer
  let fingerDown = false;

  for (const [type, down] of [["touchstart", true], ["touchend", false], ["touchcancel", false]]) {
    document.addEventListener(type, (event) => { fingerDown = down || event.touches.length > 0; }, { passive: true });
  }

  const send = (form) => {
    window.clearTimeout(waiting.get(form));
    if (fingerDown) { // never while a finger scrolls
      waiting.set(form, window.setTimeout(send, DEBOUNCE_MS, form));
      return;
    }
    waiting.delete(form);
    if (form.isConnected) form.requestSubmit();
  };

  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-rating]");
    if (!form || event.target.name !== "value") return;
    // What the note says is about the rating before; undoing while the new one is on its way would cross it.
    form.querySelector(".rating-note .saved")?.remove();
    for (const button of form.querySelectorAll(".rating-note button")) button.disabled = true;
    window.clearTimeout(waiting.get(form));
    waiting.set(form, window.setTimeout(send, DEBOUNCE_MS, form));
  });

  // A visitor who leaves before the pause is over has still rated.
  document.addEventListener("focusout", (event) => {
    const form = event.target.closest?.("form[data-rating]");
    if (form && waiting.has(form) && !form.contains(event.relatedTarget)) send(form);
  });
  window.addEventListener("pagehide", () => {
    for (const form of waiting.keys()) {
      navigator.sendBeacon(form.action, new FormData(form));
      countWrite();
    }
    waiting.clear();
  });

  // Where halves are too narrow for a finger, a tap gives the whole star and a second tap its half.
  let checkedBefore = null;
  document.addEventListener("pointerdown", (event) => {
    const radio = event.target.closest("form[data-rating] input[type=radio]");
    checkedBefore = radio && radio.checked && event.pointerType === "touch" ? radio : null;
  });
  document.addEventListener("click", (event) => {
    if (!checkedBefore || event.target !== checkedBefore || event.target.closest(".rating-large")) return;
    const half = event.target.previousElementSibling;
    checkedBefore = null;
    if (!half) return;
    half.checked = true;
    half.dispatchEvent(new Event("change", { bubbles: true }));
  });

  // -- rows further down: their cards are drawn when they come near, or for a printer ---------------

  const drawCards = (row) => {
    const later = row.querySelector(":scope > noscript");
    if (!later) return;
    row.innerHTML = later.textContent;
    window.htmx?.process(row);
  };
  document.addEventListener("DOMContentLoaded", () => {
    const waitingRows = [...document.querySelectorAll(".row-cards:has(> noscript)")];
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        near.unobserve(entry.target);
        drawCards(entry.target);
      }
    }, { rootMargin: "800px 0px" });
    for (const row of waitingRows) near.observe(row);
    window.addEventListener("beforeprint", () => waitingRows.forEach(drawCards));
  });

  // -- what htmx swaps keeps the focus where it was ---------------------------------------------

  let hadFocus = false;
  document.addEventListener("htmx:beforeSwap", (event) => {
    hadFocus = event.detail.target?.contains(document.activeElement) ?? false;
  });
  document.addEventListener("htmx:load", (event) => {
    const part = event.detail.elt;
    if (!hadFocus || !part?.isConnected) return;
    const next = part.querySelector("[data-focus]") ?? part.querySelector("input[type=radio]:checked") ??
      part.querySelector("a[href]:not([tabindex='-1']), button, summary, input:not([type=hidden])");
    if (next && !part.contains(document.activeElement)) next.focus({ preventScroll: true });
    hadFocus = false;
  });

  for (const type of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(type, (event) => {
      const answer = event.detail.xhr;
      const said = answer?.getResponseHeader("Content-Type")?.startsWith("text/plain") && answer.responseText;
      const text = said || document.getElementById("announcer")?.dataset.failed; // a refusal says why
      announce(text);
      const note = event.detail.elt?.closest?.(".rating")?.querySelector(".rating-note");
      for (const button of note?.querySelectorAll("button") ?? []) button.disabled = false;
      if (!note || note.querySelector(".failed")) return;
      const line = document.createElement("span");
      line.className = "failed";
      line.textContent = text;
      note.append(line);
    });
  }

  document.addEventListener("announce", (event) => announce(event.detail.value)); // HX-Trigger of an answer

  // -- a first visit: the bar below says how far one is while the part that shows it is not on the screen --

  let programme = null;
  const barWatcher = new IntersectionObserver((entries) => { // hidden from sight alone: it is a live region
    const seen = entries.at(-1).isIntersecting;
    document.getElementById("programme-status")?.classList.toggle("is-seen", seen);
  });
  document.addEventListener("htmx:load", () => { // of the page, and of every part that is swapped
    const part = document.getElementById("programme");
    if (!part || part === programme) return;
    programme = part;
    barWatcher.disconnect();
    barWatcher.observe(part);
  });

  // -- a link to pass on: one tap selects it whole ---------------------------------------------------

  document.addEventListener("focusin", (event) => {
    if (event.target.matches("input[readonly]")) event.target.select();
  });

  // -- menus: one open at a time, Escape closes ---------------------------------------------------

  const closeMenus = (except) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (menu !== except) menu.open = false;
    }
  };
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = event.target.closest?.("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // -- why: the answer opens in a sheet over the list ----------------------------------------------

  document.addEventListener("htmx:afterSwap", (event) => {
    const sheet = event.detail.target;
    if (sheet?.id !== "why-sheet" || sheet.open) return;
    sheet.showModal();
    sheet.scrollTop = 0;
  });
  document.addEventListener("click", (event) => { // beside the sheet: its backdrop is part of it
    if (event.target.id === "why-sheet") event.target.close();
  });

  // -- search: suggestions as a listbox, whose options are links ------------------------------------------------------------

  const options = (list) => [...list.querySelectorAll("[role=option]")];

  const setOpen = (input, list, open) => {
    list.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
    if (!open) choose(input, list, null);
  };
  const choose = (input, list, chosen) => {
    for (const option of options(list)) option.setAttribute("aria-selected", String(option === chosen));
    if (chosen) {
      input.setAttribute("aria-activedescendant", chosen.id);
      chosen.scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  };

  const makeCombobox = (input) => {
    const list = document.getElementById(input.dataset.suggest);
    if (!list) return;
    for (const [name, value] of Object.entries({
      role: "combobox", "aria-controls": list.id, "aria-autocomplete": "list", "aria-expanded": "false",
    })) input.setAttribute(name, value);

    list.addEventListener("htmx:afterSwap", () => {
      const found = options(list);
      const wanted = input.value.trim() !== "" && document.activeElement === input;
      setOpen(input, list, wanted && found.length > 0);
      const { suggestions, noSuggestions } = document.getElementById("announcer").dataset;
      if (wanted) announce(found.length ? suggestions.replace("%n", found.length) : noSuggestions);
    });
    input.addEventListener("input", () => { if (!input.value.trim()) setOpen(input, list, false); });
    input.addEventListener("keydown", (event) => {
      const found = options(list);
      const at = found.findIndex((option) => option.getAttribute("aria-selected") === "true");
      if (event.key === "Escape" && !list.hidden) {
        event.preventDefault();
        setOpen(input, list, false);
      } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && found.length) {
        event.preventDefault();
        setOpen(input, list, true);
        const step = event.key === "ArrowDown" ? 1 : -1;
        const next = at < 0 ? (step > 0 ? 0 : found.length - 1) : at + step;
        choose(input, list, found[next] ?? null);
      } else if (event.key === "Enter" && at >= 0 && !list.hidden) {
        event.preventDefault();
        window.location.assign(found[at].href);
      }
    });
    list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
    input.addEventListener("blur", () => setOpen(input, list, false));
    input.addEventListener("focus", () => { if (input.value.trim() && options(list).length) setOpen(input, list, true); });
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("input[data-suggest]").forEach(makeCombobox);
  });
})();
