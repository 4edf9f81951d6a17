"use strict";
// Draws the figures of a page as they come into view, and renews page and figures when their study changes.
(() => {
  const DARK = JSON.parse(document.getElementById("dark").textContent);
  const PERIOD_MS = 2000, RESTING = 5, AHEAD = "400px";
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const page = document.body.dataset;
  const status = document.getElementById("status");
  const calm = status.textContent;
  const config = {
    responsive: false,
    displaylogo: false,
    displayModeBar: coarse ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "pan2d"],
  };
  const figures = [...document.querySelectorAll("[data-figure]")].map((element) => ({
    element,
    plot: element.querySelector(".plot"),
    text: null,
    width: 0,
    near: false,
    stale: true,
    busy: false,
    next: 0,
    given: {},
  }));

  // The figures are drawn in the light theme's colours; the dark theme replaces each of them.
  const themed = (json, dark) => dark ? json.replace(/#[0-9a-f]{6}\b/g, (hex) => DARK[hex] ?? hex) : json;

  async function get(url) {
    const answer = await fetch(url, { cache: "no-store", redirect: "error" });
    const text = await answer.text();
    if (answer.ok) return text;
    const refusal = new DOMParser().parseFromString(text, "text/html");
    throw Object.assign(new Error((refusal.querySelector("main p") ?? refusal.body).textContent), { refused: true });
  }

  function say(one, words) {
    const set = (selector, text) => { one.element.querySelector(selector).textContent = text; };
    set("h2", words.title);
    set(".subtitle", words.subtitle);
    one.element.querySelector(".notes").replaceChildren(...words.notes.map((note) => {
      const line = document.createElement("p");
      line.className = note.startsWith("Warning") ? "note warning" : "note";
      line.textContent = note;
      return line;
    }));
    const missing = one.element.querySelector(".missing");
    missing.hidden = !words.missing;
    missing.textContent = words.missing ?? "";
    one.plot.setAttribute("aria-label", words.alt);
    one.plot.style.minWidth = words.min_width ? `${words.min_width}px` : "";
  }

  // Plotly gives up a zoom where the figure's own range moves; to an axis that is zoomed the range before stays given.
  function keepZoom(one, layout) {
    for (const [name, axis] of Object.entries(layout)) {
      if (!/^[xy]axis\d*$/.test(name) || !axis.range) continue;
      const given = one.given[name], shown = one.plot._fullLayout?.[name]?.range;
      if (given && shown && shown.some((end, index) => end !== given[index])) axis.range = given;
      one.given[name] = [...axis.range];
    }
  }

  async function draw(one, dark = prefersDark.matches) {
    const answer = JSON.parse(themed(one.text, dark));
    say(one, answer);
    if (answer.missing) return;
    const { data, layout } = answer.figure;
    const { height, top, aspect } = layout.meta;
    one.width = one.plot.clientWidth;
    layout.width = one.width;
    layout.height = height + top + Math.round(aspect * one.width);
    // What a reader zoomed or hid stays so while the study grows, also when a trace comes between others.
    layout.uirevision = "kept";
    keepZoom(one, layout);
    const seen = new Map();
    for (const trace of data) {
      // Plotly makes class names of it.
      const name = `${trace.type}-${trace.name}-${trace.mode}-${trace.legendgroup}`.replace(/\W/g, "-");
      seen.set(name, (seen.get(name) ?? 0) + 1);
      trace.uid = `${name}-${seen.get(name)}`;
    }
    // A finger that moves over a figure scrolls the page.
    if (coarse) layout.dragmode = false;
    const first = !one.plot.data;
    await Plotly.react(one.plot, data, layout, config);
    if (first && page.at) one.plot.on("plotly_click", openTrial);
  }

  function openTrial(event) {
    const found = /^<b>trial (\d+)<\/b>/.exec(event.points[0]?.hovertext ?? "");
    if (found) window.location.assign(`${page.at}/trial/${found[1]}`);
  }

  async function load(one) {
    const started = performance.now();
    one.busy = true;
    one.stale = false;
    try {
      const text = await get(one.element.dataset.figure);
      if (text !== one.text) {
        one.text = text;
        await draw(one).catch((error) => console.error(error));
      }
    } catch (error) {
      one.stale = true;
      if (!error.refused) throw error;
      const missing = one.element.querySelector(".missing");
      missing.hidden = false;
      missing.textContent = error.message;
      one.text = null;
    } finally {
      one.busy = false;
      // What takes the server long is asked for less often.
      one.next = performance.now() + RESTING * (performance.now() - started);
    }
  }

  function loadNear() {
    const due = figures.filter((one) => one.near && one.stale && !one.busy && performance.now() >= one.next);
    return Promise.all(due.map(load)).then(() => {
      document.documentElement.dataset.drawn = page.revision ?? "true";
    }, away);
  }

  function away(error) {
    status.textContent = error.refused ? error.message : "The dashboard does not answer; it is asked again.";
    status.className = "away";
  }
  const back = () => { if (status.className) { status.textContent = calm; status.className = ""; } };

  // Sections are replaced as a whole where they changed; what a reader chose, opened, scrolled or focused stays.
  const shown = new Map([...document.querySelectorAll("[data-live]")].map((one) => [one.id, one.innerHTML]));
  function renew(fresh) {
    for (const old of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(old.id);
      if (!next || next.innerHTML === shown.get(old.id)) continue;
      shown.set(old.id, next.innerHTML);
      const checked = [...old.querySelectorAll("input:checked")].map((box) => box.id);
      const opened = [...old.querySelectorAll("details")].map((one) => one.open);
      const scrolled = [...old.querySelectorAll(".scroll, pre")].map((one) => [one.scrollLeft, one.scrollTop]);
      const focused = old.contains(document.activeElement) ? address(document.activeElement) : null;
      old.replaceChildren(...next.childNodes);
      for (const id of checked) { const box = document.getElementById(id); if (box) box.checked = true; }
      old.querySelectorAll("details").forEach((one, index) => { one.open = opened[index] ?? one.open; });
      old.querySelectorAll(".scroll, pre").forEach((one, index) => {
        if (scrolled[index]) [one.scrollLeft, one.scrollTop] = scrolled[index];
      });
      if (focused) old.querySelector(focused)?.focus({ preventScroll: true });
    }
  }

  function address(element) {
    if (element.id) return `#${CSS.escape(element.id)}`;
    const link = element.getAttribute("href");
    return link ? `a[href="${CSS.escape(link)}"]` : `${element.tagName.toLowerCase()}[tabindex]`;
  }

  async function look() {
    const started = performance.now();
    try {
      if (document.visibilityState === "visible") {
        const { revision } = JSON.parse(await get(page.changes));
        if (revision !== page.revision) {
          if (page.revision !== undefined || page.changes === "/changes") {
            renew(new DOMParser().parseFromString(await get(window.location.href), "text/html"));
          }
          for (const one of figures) one.stale = true;
          page.revision = revision;
        }
        back();
        loadNear();
      }
    } catch (error) { away(error); }
    setTimeout(look, Math.max(PERIOD_MS, RESTING * (performance.now() - started)));
  }

  const redraw = (dark) => { for (const one of figures) if (one.text) draw(one, dark); };
  prefersDark.addEventListener("change", () => redraw());
  window.addEventListener("beforeprint", () => redraw(false));
  window.addEventListener("afterprint", () => redraw());
  new ResizeObserver(() => {
    for (const one of figures) if (one.plot.data && one.plot.clientWidth !== one.width) draw(one);
  }).observe(document.getElementById("main"));

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const one = figures.find((candidate) => candidate.element === entry.target);
      one.near = entry.isIntersecting;
    }
    loadNear();
  }, { rootMargin: AHEAD });
  for (const one of figures) watcher.observe(one.element);
  if (!figures.length) document.documentElement.dataset.drawn = page.revision ?? "true";
  if (page.changes) setTimeout(look, PERIOD_MS);
})();
