// Charts: a histogram, a matrix as a table, a tree of merges.
(function () {
  "use strict";
  const { el, number, percent, visible } = window.skscan;

  /** Bars of how many images have which confidence. */
  function histogram(counts) {
    const width = 560;
    const height = 150;
    const base = 120;
    const step = width / counts.length;
    const largest = Math.max(1, ...counts);
    const total = Math.max(1, counts.reduce((sum, n) => sum + n, 0));
    const bars = counts.map((n, bin) => {
      const low = bin / counts.length;
      const high = (bin + 1) / counts.length;
      const bar = n === 0 ? 0 : Math.max(1.5, (n / largest) * (base - 10));
      return el(
        "rect",
        { x: bin * step + 1, y: base - bar, width: step - 2, height: bar, rx: 2, class: "bar" },
        el("title", {}, `${low.toFixed(2)} to ${high.toFixed(2)}: ${number(n)} images`),
      );
    });
    const labels = [0, 0.25, 0.5, 0.75, 1].map((value) => {
      const anchor = value === 0 ? "start" : value === 1 ? "end" : "middle";
      return el("text", { x: value * width, y: 140, "text-anchor": anchor }, String(value));
    });
    const sure = counts.slice(Math.floor(counts.length * 0.9)).reduce((sum, n) => sum + n, 0);
    const label =
      `Histogram of confidence: ${percent(sure / total)} of the images have 0.9 or more; ` +
      `the fullest bar holds ${number(largest)} images.`;
    return el(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "histogram" },
      el("line", { x1: 0, x2: width, y1: base, y2: base, class: "axis" }),
      ...bars,
      ...labels,
    );
  }

  /** A table of shares, shaded; rows and columns are [{label, title}]. */
  function matrix({ caption, corner, rows, columns, value, title, text }) {
    const head = el(
      "tr",
      {},
      el("th", { scope: "col" }, corner),
      ...columns.map((column) =>
        el("th", { scope: "col", class: "column-head" }, el("span", {}, el("bdi", {}, column))),
      ),
    );
    const body = rows.map((row, i) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, el("bdi", {}, row)),
        ...columns.map((_, j) => {
          const share = value(i, j);
          const cell = el("td", { title: title(i, j) }, text(i, j));
          cell.style.setProperty("--share", share.toFixed(3));
          if (share > 0.7) cell.classList.add("strong");
          return cell;
        }),
      ),
    );
    return el(
      "div",
      { class: "scroll-x", tabindex: 0, role: "region", "aria-label": caption },
      el(
        "table",
        { class: "matrix" },
        el("caption", {}, caption),
        el("thead", {}, head),
        el("tbody", {}, ...body),
      ),
    );
  }

  /** Which classes merge first, as a tree that grows to the right. */
  function tree(linkage, order, name, color) {
    const row = 22;
    const n = order.length;
    const left = 150;
    const width = 560;
    const height = n * row + 8;
    const highest = Math.max(...linkage.map((merge) => merge[2]), 1e-12);
    const across = (cost) => left + Math.sqrt(cost / highest) * (width - left - 12);
    const nodes = new Map(order.map((leaf, place) => [leaf, { x: left, y: place * row + 16 }]));
    const lines = linkage.map(([a, b, cost], step) => {
      const one = nodes.get(a);
      const other = nodes.get(b);
      const x = across(cost);
      nodes.set(n + step, { x, y: (one.y + other.y) / 2 });
      return el("path", { d: `M${one.x},${one.y}H${x}V${other.y}H${other.x}`, class: "branch" });
    });
    const leaves = order.flatMap((leaf, place) => {
      const label = visible(name(leaf));
      const short = label.length > 20 ? label.slice(0, 19) + "…" : label;
      const y = place * row + 16;
      return [
        el("circle", { cx: left - 8, cy: y, r: 4, fill: color(leaf) }),
        el("text", { x: left - 18, y: y + 4, "text-anchor": "end" }, short, el("title", {}, label)),
      ];
    });
    const first = linkage[0] || [0, 0];
    const label =
      `Tree of merges. ${visible(name(first[0]))} and ${visible(name(first[1]))} would be merged first.`;
    return el(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "tree" },
      ...lines,
      ...leaves,
    );
  }

  window.skscan.charts = { histogram, matrix, tree };
})();
