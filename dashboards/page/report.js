"use strict";
// Draws every figure of the page with the library inlined above it; nothing is fetched.
(() => {
  const DARK = JSON.parse(document.getElementById("dark").textContent);
  const PRINT_PX = 640, PRINT_GRID_PX = 310;
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const figures = [...document.querySelectorAll("script.figure")].map((script) => ({
    element: document.getElementById(script.dataset.for),
    json: script.textContent,
    width: 0,
  }));
  const config = {
    responsive: false,
    displaylogo: false,
    displayModeBar: coarse ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "pan2d"],
  };

  // The figures are drawn in the light theme's colours; the dark theme replaces each of them.
  const themed = (json, dark) => dark ? json.replace(/#[0-9a-f]{6}\b/g, (hex) => DARK[hex] ?? hex) : json;

  function draw(one, dark, width) {
    const figure = JSON.parse(themed(one.json, dark));
    const { height, top, aspect } = figure.layout.meta;
    figure.layout.width = width;
    figure.layout.height = height + top + Math.round(aspect * width);
    // A finger that moves over a figure scrolls the page.
    if (coarse) figure.layout.dragmode = false;
    one.width = width;
    return Plotly.react(one.element, figure.data, figure.layout, config);
  }

  const drawAll = () => Promise.all(figures.map((one) => draw(one, prefersDark.matches, one.element.clientWidth)));

  prefersDark.addEventListener("change", drawAll);
  window.addEventListener("beforeprint", () => {
    for (const one of figures) draw(one, false, one.element.closest(".grid") ? PRINT_GRID_PX : PRINT_PX);
  });
  window.addEventListener("afterprint", drawAll);
  new ResizeObserver(() => {
    for (const one of figures) {
      if (one.element.clientWidth !== one.width) draw(one, prefersDark.matches, one.element.clientWidth);
    }
  }).observe(document.getElementById("main"));

  drawAll().then(() => { document.documentElement.dataset.drawn = "true"; });
})();
