// Puts the page together.
(function () {
  "use strict";
  const { el, number, say, visible, store, review, cards, map, overview } = window.skscan;
  const { content } = store;
  const byId = (id) => document.getElementById(id);
  const THEME = "skscan-theme";

  window.skscan.setTheme = function (theme) {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem(THEME, theme);
    } catch {
      // a browser that keeps nothing still shows the theme
    }
    map.redraw();
  };

  function restoreTheme() {
    try {
      const theme = localStorage.getItem(THEME);
      if (theme) document.documentElement.dataset.theme = theme;
    } catch {
      // as above
    }
  }

  function drawBar() {
    const undo = byId("undo");
    const redo = byId("redo");
    undo.disabled = review.cursor === 0;
    redo.disabled = review.cursor === review.log.length;
    undo.title = undo.disabled ? "Nothing to undo" : `Undo: ${review.log[review.cursor - 1].label}`;
    redo.title = redo.disabled ? "Nothing to redo" : `Redo: ${review.log[review.cursor].label}`;
    const n = review.classes.size;
    const done = review.nReviewed;
    byId("review-progress").textContent = `${number(done)} of ${number(n)} classes looked through`;
  }

  function wireBar() {
    byId("title").append(window.skscan.named(content.run.title));
    byId("version").textContent = content.run.version;
    byId("undo").addEventListener("click", () => review.undo());
    byId("redo").addEventListener("click", () => review.redo());
    byId("export").addEventListener("click", () => window.skscan.download());
    byId("more").addEventListener("click", () => window.skscan.showMore());
    for (const section of document.querySelectorAll("main > section")) {
      if (section.hidden || section.id === "overview") continue;
      const title = LINKS[section.id];
      if (title) byId("section-links").append(el("a", { href: `#${section.id}` }, title));
    }
    document.addEventListener("keydown", (event) => {
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "checkbox";
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !typing) {
        event.preventDefault();
        if (event.shiftKey) review.redo();
        else review.undo();
      } else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "y" && !typing) {
        event.preventDefault();
        review.redo();
      } else if (event.key === "/" && !typing && !document.querySelector("dialog")) {
        event.preventDefault();
        byId("find-class").focus();
      }
    });
  }

  const LINKS = {
    classes: "Classes",
    "new-images": "New images", // where a server sorts them
    map: "Map",
    nearness: "Nearness",
    evaluation: "Folders",
    duplicates: "Copies",
    skipped: "Skipped",
    made: "Settings",
  };

  async function keep() {
    try {
      await store.save(review.state());
    } catch {
      say(store.keeping.failed, true);
    }
  }

  let drawn = false;
  let restoring = true;

  async function start() {
    restoreTheme();
    try {
      review.restore(await store.load());
    } catch {
      say(store.keeping.unreadable, true);
      review.reset();
    }
    restoring = false;
    overview.drawOverview(byId("overview"));
    cards.draw(byId("classes"));
    if (content.n_shown === 0) {
      byId("classes").append(el("p", {}, "No image is left: nothing could be read."));
      byId("map").hidden = true;
    }
    byId("evaluation").hidden = !content.evaluation;
    byId("duplicates").hidden = !content.duplicates || content.duplicates.n === 0;
    overview.drawSkipped(byId("skipped"));
    overview.drawMade(byId("made"));
    wireBar();
    drawBar();
    drawn = true;
    // what is further down comes after the first paint, a piece at a time
    const soon = window.requestIdleCallback || ((callback) => setTimeout(callback, 30));
    const idle = () => new Promise((resolve) => soon(resolve, { timeout: 500 }));
    const later = [
      () => overview.drawNearness(byId("nearness")),
      () => overview.drawEvaluation(byId("evaluation")),
      () => overview.drawDuplicates(byId("duplicates")),
      () => content.n_shown > 0 && map.draw(byId("map")),
    ];
    for (const draw of later) {
      await idle();
      draw();
    }
    document.documentElement.dataset.ready = "yes";
  }

  review.addEventListener("change", ({ detail }) => {
    if (restoring) return;
    drawBar();
    if (drawn) overview.drawNearness(byId("nearness"));
    if (detail.message === null) return;
    say(visible(detail.message));
    keep();
  });

  store.onChange((state) => {
    review.restore(state);
    say("Decisions of another tab were taken over.");
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => map.redraw());
  start();
})();
