// The map of all images: zoom, pan, lasso, a thumbnail under the pointer.
//
// Points are written straight into the canvas's pixels: 50,000 take a few milliseconds a frame
// without WebGL, which many machines and remote desktops lack. d3-zoom turns wheel, drag and pinch
// into a transform, KDBush finds the point under the pointer.
(function () {
  "use strict";
  const { el, button, named, number, percent, visible, count } = window.skscan;
  const { store, review, thumbnail, showImage, showImages } = window.skscan;
  const { images, content } = store;
  const { zoom, zoomIdentity, select, KDBush } = window.skscanVendor;

  const RIM = 14;
  const NEAR = 12; // pixels from the pointer to the point that is meant
  const LARGEST_ZOOM = 40;

  let canvas, context, overlay, pen, tooltip, panel, legend, colorSelect, lassoButton;
  let width = 0;
  let height = 0;
  let ratio = 1;
  let transform = zoomIdentity;
  let behavior = null;
  let index = null;
  let colors = null; // of each image, as canvas pixels
  let highlighted = null; // a class, or null
  let selection = null; // a Set of images, or null
  let lasso = null; // a list of [x, y] while it is drawn
  let lassoMode = false;
  let pixels = null;
  let waiting = false;
  let folderClasses = null;

  const side = () => Math.min(width, height) - 2 * RIM;
  const left = () => (width - side()) / 2;
  const top = () => (height - side()) / 2;
  const atX = (image) => transform.applyX(left() + (images.x[image] / 65535) * side());
  const atY = (image) => transform.applyY(top() + (1 - images.y[image] / 65535) * side());

  // ---- colours

  function toPixel(css) {
    const probe = toPixel.pen || (toPixel.pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true }));
    probe.fillStyle = "#000";
    probe.fillStyle = css;
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
    return (255 << 24) | (b << 16) | (g << 8) | r;
  }

  const cssValue = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function shadeOf(share) {
    // from unsure (orange) to sure (blue): told apart by lightness too
    const low = [217, 119, 6];
    const high = [37, 99, 235];
    const t = Math.max(0, Math.min(1, share));
    const [r, g, b] = low.map((value, i) => Math.round(value + (high[i] - value) * t));
    return (255 << 24) | (b << 16) | (g << 8) | r;
  }

  function folderNumbers() {
    if (folderClasses === null) {
      const names = [...new Set(Array.from({ length: images.n }, (_, i) => store.folder(i)))].sort();
      const numbers = new Map(names.map((name, i) => [name, i]));
      folderClasses = { names, of: Int32Array.from({ length: images.n }, (_, i) => numbers.get(store.folder(i))) };
    }
    return folderClasses;
  }

  function paint() {
    colors = new Int32Array(images.n);
    const by = colorSelect.value;
    if (by === "confidence") {
      for (let i = 0; i < images.n; i++) colors[i] = shadeOf((images.confidence[i] / 65535 - 0.5) * 2);
    } else if (by === "folder") {
      const shades = folderNumbers().names.map((_, i) => toPixel(window.skscan.color(i)));
      for (let i = 0; i < images.n; i++) colors[i] = shades[folderNumbers().of[i]];
    } else {
      const shades = new Map(review.list().map(({ id }) => [id, toPixel(review.colorOf(id))]));
      for (let i = 0; i < images.n; i++) colors[i] = shades.get(review.classOf(i));
    }
    later();
  }

  // ---- drawing

  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  }

  function resize() {
    const box = canvas.parentElement.getBoundingClientRect();
    if (box.width === 0) return;
    width = box.width;
    height = box.height;
    ratio = Math.min(window.devicePixelRatio || 1, 2);
    for (const one of [canvas, overlay]) {
      one.width = Math.round(width * ratio);
      one.height = Math.round(height * ratio);
    }
    pixels = context.createImageData(canvas.width, canvas.height);
    behavior.extent([[0, 0], [width, height]]).translateExtent([[-width / 2, -height / 2], [1.5 * width, 1.5 * height]]);
    draw();
  }

  /** Offsets of the pixels of a disc, in a row of the canvas's width. */
  function disc(radius) {
    const offsets = [];
    const reach = Math.floor(radius);
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        if (dx * dx + dy * dy <= radius * radius) offsets.push(dy * canvas.width + dx);
      }
    }
    return offsets;
  }

  function radiusOfPoints() {
    const base = images.n > 20000 ? 1.1 : images.n > 4000 ? 1.6 : images.n > 800 ? 2.6 : 4;
    return Math.min(9, base * Math.sqrt(transform.k)) * ratio;
  }

  function draw() {
    if (!pixels || !colors) return;
    const data = new Int32Array(pixels.data.buffer);
    data.fill(0);
    const radius = radiusOfPoints();
    const offsets = disc(radius);
    const reach = Math.ceil(radius);
    const faint = toPixel(cssValue("--map-faint"));
    const scale = side();
    const { k } = transform;
    const shiftX = (transform.x + left() * k) * ratio;
    const shiftY = (transform.y + top() * k) * ratio;
    const perX = (scale * k * ratio) / 65535;
    const { width: w, height: h } = canvas;
    const put = (image, color) => {
      const x = Math.round(shiftX + images.x[image] * perX);
      const y = Math.round(shiftY + (65535 - images.y[image]) * perX);
      if (x < reach || y < reach || x >= w - reach || y >= h - reach) return;
      const place = y * w + x;
      for (let o = 0; o < offsets.length; o++) data[place + offsets[o]] = color;
    };
    const partly = selection !== null || highlighted !== null;
    const stands = (image) =>
      selection !== null ? selection.has(image) : review.classOf(image) === highlighted;
    if (partly) {
      for (let i = 0; i < images.n; i++) if (!stands(i)) put(i, faint);
      for (let i = 0; i < images.n; i++) if (stands(i)) put(i, colors[i]);
    } else {
      for (let i = 0; i < images.n; i++) put(i, colors[i]);
    }
    context.putImageData(pixels, 0, 0);
  }

  // ---- pointing

  function pointed(x, y) {
    const scale = (side() * transform.k) / 65535;
    const dataX = (transform.invertX(x) - left()) / side() * 65535;
    const dataY = 65535 - ((transform.invertY(y) - top()) / side()) * 65535;
    let best = null;
    let least = Infinity;
    for (const image of index.within(dataX, dataY, NEAR / scale)) {
      const d = (images.x[image] - dataX) ** 2 + (images.y[image] - dataY) ** 2;
      if (d < least) [best, least] = [image, d];
    }
    return best;
  }

  function hover(event) {
    if (lasso) return;
    const box = canvas.getBoundingClientRect();
    const image = pointed(event.clientX - box.left, event.clientY - box.top);
    if (image === null) {
      hideTooltip();
      return;
    }
    canvas.style.cursor = "pointer";
    if (tooltip.dataset.image !== String(image)) {
      tooltip.dataset.image = image;
      tooltip.replaceChildren(
        thumbnail(image, { alt: "" }),
        el("div", {}, named(store.name(image))),
        el("div", {}, named(review.nameOf(review.classOf(image)))),
        el("div", { class: "faint" }, `confidence ${percent(images.confidence[image] / 65535)}`),
      );
    }
    tooltip.hidden = false;
    const x = atX(image);
    const y = atY(image);
    const toLeft = x > width - 190;
    tooltip.style.left = `${toLeft ? x - 14 : x + 14}px`;
    tooltip.style.top = `${Math.max(4, Math.min(y - 60, height - 200))}px`;
    tooltip.style.transform = toLeft ? "translateX(-100%)" : "none";
  }

  function hideTooltip() {
    tooltip.hidden = true;
    delete tooltip.dataset.image;
    canvas.style.cursor = lassoMode ? "crosshair" : "grab";
  }

  // ---- lasso

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function startLasso(event) {
    if (!(lassoMode || event.shiftKey) || event.button !== 0) return;
    lasso = [place(event)];
    hideTooltip();
    canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  function goOnLasso(event) {
    if (!lasso) return;
    lasso.push(place(event));
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.beginPath();
    lasso.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.strokeStyle = cssValue("--accent");
    pen.fillStyle = cssValue("--lasso");
    pen.lineWidth = 2;
    pen.fill();
    pen.stroke();
  }

  function endLasso() {
    if (!lasso) return;
    const line = lasso;
    lasso = null;
    pen.clearRect(0, 0, width, height);
    setSelection(line.length > 2 ? inside(line) : []);
  }

  function inside(line) {
    const xs = line.map((p) => p[0]);
    const ys = line.map((p) => p[1]);
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const found = [];
    for (let image = 0; image < images.n; image++) {
      const x = atX(image);
      const y = atY(image);
      if (x < x0 || x > x1 || y < y0 || y > y1) continue;
      let within = false;
      for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
        if (ys[i] > y !== ys[j] > y && x < ((xs[j] - xs[i]) * (y - ys[i])) / (ys[j] - ys[i]) + xs[i]) {
          within = !within;
        }
      }
      if (within) found.push(image);
    }
    return found;
  }

  function setSelection(list) {
    selection = list.length ? new Set(list) : null;
    panel.replaceChildren();
    if (selection) {
      const sizes = new Map();
      for (const image of list) {
        const id = review.classOf(image);
        sizes.set(id, (sizes.get(id) || 0) + 1);
      }
      const largest = [...sizes].sort((a, b) => b[1] - a[1]).slice(0, 4);
      const parts = largest.map(([id, n]) => `${visible(review.nameOf(id))} ${number(n)}`);
      const more = sizes.size > 4 ? ", and others" : "";
      panel.append(
        el("span", {}, `${count(list.length, "image")} selected: ${parts.join(", ")}${more}`),
        button("Show them", () => {
          showImages({ title: "Selected on the map", find: () => list, order: "typical", preselected: list });
        }, { class: "primary" }),
        button("Clear", () => setSelection([])),
      );
    } else panel.append(el("span", { class: "faint" }, hint()));
    later();
  }

  const hint = () => "Drag to move; click the map, then scroll to zoom (or pinch); Shift-drag to draw around images.";

  // ---- around the canvas

  function setLassoMode(on) {
    lassoMode = on;
    lassoButton.setAttribute("aria-pressed", on);
    canvas.style.touchAction = "none";
    hideTooltip();
  }

  function zoomBy(factor) {
    select(canvas).call(behavior.scaleBy, factor);
  }

  function key(event) {
    const step = 60 / transform.k;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (event.key in moves) select(canvas).call(behavior.translateBy, ...moves[event.key]);
    else if (event.key === "+" || event.key === "=") zoomBy(1.5);
    else if (event.key === "-") zoomBy(1 / 1.5);
    else if (event.key === "0") select(canvas).call(behavior.transform, zoomIdentity);
    else return;
    event.preventDefault();
  }

  function drawLegend() {
    const classes = review.list();
    const by = colorSelect.value;
    legend.replaceChildren();
    if (by === "confidence") {
      legend.append(el("li", { class: "ramp" }, el("span", {}, "0.5 or less"), el("i", {}), el("span", {}, "1")));
      return;
    }
    if (by === "folder") {
      folderNumbers().names.slice(0, 60).forEach((name, i) => {
        const mark = el("span", { class: "dot", style: { background: window.skscan.color(i) } });
        legend.append(el("li", {}, el("span", { class: "legend-entry" }, mark, named(name))));
      });
      return;
    }
    classes.slice(0, 60).forEach(({ id }) => {
      const entry = button("", () => {
        highlighted = highlighted === id ? null : id;
        selection = null;
        setSelection([]);
        drawLegend();
      }, { class: "legend-entry", "aria-pressed": String(highlighted === id) });
      entry.append(
        window.skscan.dot(id),
        named(review.nameOf(id)),
        el("span", { class: "faint" }, number(review.size(id))),
      );
      legend.append(el("li", {}, entry));
    });
    if (classes.length > 60) {
      legend.append(el("li", { class: "faint" }, `and ${number(classes.length - 60)} more classes`));
    }
  }

  function build(section) {
    canvas = el("canvas", {
      tabindex: 0,
      role: "img",
      "aria-label":
        "Map of all images: those that look alike lie together. The cards above hold the same images " +
        "as lists. Arrow keys move the map, plus and minus zoom.",
    });
    overlay = el("canvas", { class: "map-overlay", "aria-hidden": "true" });
    context = canvas.getContext("2d");
    pen = overlay.getContext("2d");
    tooltip = el("div", { class: "map-tooltip", hidden: true, "aria-hidden": "true" });
    panel = el("div", { class: "map-panel", role: "status" });
    legend = el("ul", { class: "legend" });
    const options = [["class", "Class"], ["confidence", "Confidence"]];
    if (content.evaluation) options.push(["folder", "Folder"]);
    colorSelect = el(
      "select",
      { "aria-label": "Colour of the points", onchange: () => { paint(); drawLegend(); } },
      ...options.map(([value, label]) => el("option", { value }, `Colour: ${label}`)),
    );
    lassoButton = button("Lasso", () => setLassoMode(!lassoMode), { "aria-pressed": "false" });
    const tools = el(
      "div",
      { class: "tools" },
      colorSelect,
      lassoButton,
      button("+", () => zoomBy(1.6), { "aria-label": "Zoom in" }),
      button("−", () => zoomBy(1 / 1.6), { "aria-label": "Zoom out" }),
      button("Whole map", () => select(canvas).call(behavior.transform, zoomIdentity)),
    );
    const sampled =
      images.n < content.run.n_images
        ? ` Of ${number(content.run.n_images)} images, ${number(images.n)} drawn by lot are shown.`
        : "";
    section.append(
      el("h2", { id: "map-title" }, "Map"),
      el(
        "p",
        { class: "lead" },
        "Each point is an image; images that look alike to the network lie together. Distances " +
          "between far groups mean little." + sampled,
      ),
      tools,
      panel,
      el(
        "div",
        { class: "map-row" },
        el("div", { class: "map-frame" }, canvas, overlay, tooltip),
        legend,
      ),
    );
    index = new KDBush(images.n, 64, Uint16Array);
    for (let image = 0; image < images.n; image++) index.add(images.x[image], images.y[image]);
    index.finish();
    behavior = zoom()
      .scaleExtent([0.7, LARGEST_ZOOM])
      .filter((event) => {
        // The wheel scrolls the page until the map is clicked, so that nobody is caught on it.
        if (event.type === "wheel") return event.ctrlKey || document.activeElement === canvas;
        return !lassoMode && !event.shiftKey && !event.button;
      })
      .on("start", () => hideTooltip())
      .on("zoom", (event) => {
        transform = event.transform;
        later();
      });
    select(canvas).call(behavior).on("dblclick.zoom", null);
    canvas.addEventListener("pointerdown", startLasso);
    canvas.addEventListener("pointermove", (event) => {
      goOnLasso(event);
      if (event.pointerType !== "touch") hover(event);
    });
    canvas.addEventListener("pointerup", endLasso);
    canvas.addEventListener("pointercancel", endLasso);
    canvas.addEventListener("pointerleave", () => !lasso && hideTooltip());
    canvas.addEventListener("click", (event) => {
      if (event.shiftKey || lassoMode) return;
      canvas.focus({ preventScroll: true });
      const image = pointed(...place(event));
      if (image !== null) showImage(image);
    });
    canvas.addEventListener("keydown", key);
    new ResizeObserver(resize).observe(canvas.parentElement);
    setLassoMode(false);
    setSelection([]);
    drawLegend();
    paint();
    review.addEventListener("change", () => {
      if (highlighted !== null && !review.classes.has(highlighted)) highlighted = null;
      paint();
      drawLegend();
    });
  }

  window.skscan.map = { draw: build, redraw: later };
})();
