// New images are dropped into the page, and the model of the run says which class each belongs to.
(function () {
  "use strict";
  const { el, button, count, named, percent, say, visible, store, review, cards, dot } = window.skscan;
  const { max_upload: MAX_BYTES, sorts } = store.content.serving;
  const MAX_SHOWN = 500;
  if (!sorts) return; // a run on features

  const results = el("ul", { class: "new-images", "aria-label": "New images", hidden: true });
  const state = el("p", { class: "faint", role: "status" });
  const input = el("input", { type: "file", multiple: true, accept: "image/*", hidden: true });
  const zone = el(
    "div",
    { class: "drop-zone" },
    el("p", {}, "Drop images anywhere on this page, or "),
    button("Choose images…", () => input.click()),
    input,
  );
  const section = el(
    "section",
    { id: "new-images", "aria-labelledby": "new-images-title" },
    el("h2", { id: "new-images-title" }, "New images"),
    el(
      "p",
      { class: "lead" },
      "See which class an image belongs to that was not sorted yet. It is only looked at: it goes " +
        "to the model on this computer, and is not added to the classes.",
    ),
    zone,
    state,
    results,
  );
  document.getElementById("map").before(section);

  // ---- one result

  /** Classes of an image, most probable first: clusters that were merged count together. */
  function classesOf(clusters) {
    const shares = new Map();
    for (const [cluster, share] of clusters) {
      const own = review.home[cluster];
      shares.set(own, (shares.get(own) || 0) + share);
    }
    return [...shares].sort((a, b) => b[1] - a[1]);
  }

  function verdict({ clusters, error }) {
    if (error) return el("p", { class: "refused" }, visible(error));
    const [[id, share], second] = classesOf(clusters);
    return el(
      "div",
      {},
      el(
        "p",
        {},
        dot(id),
        el("button", { type: "button", class: "link", onclick: () => cards.goTo(id) }, named(review.nameOf(id))),
        ` ${percent(share)}`,
      ),
      second && second[1] >= 0.01
        ? el("p", { class: "faint" }, "or ", named(review.nameOf(second[0])), ` (${percent(second[1])})`)
        : null,
    );
  }

  const shown = []; // [row, answer, address of the picture]

  function show(file, answer) {
    const address = URL.createObjectURL(file);
    const picture = el("img", { class: "thumb", alt: "", decoding: "async" });
    picture.onerror = () => picture.replaceWith(el("div", { class: "thumb missing" }));
    picture.src = address;
    const name = el("p", { class: "file-name", title: visible(file.name) }, named(file.name));
    const row = el("li", {}, picture, el("div", {}, name, verdict(answer)));
    results.prepend(row);
    results.hidden = false;
    shown.push([row, answer, address]);
    if (shown.length > MAX_SHOWN) {
      const [old, , itsAddress] = shown.shift();
      old.remove();
      URL.revokeObjectURL(itsAddress);
    }
  }

  review.addEventListener("change", () => {
    for (const [row, answer] of shown) row.lastChild.replaceChild(verdict(answer), row.lastChild.lastChild);
  });

  // ---- asking

  async function ask(file) {
    if (file.size > MAX_BYTES) {
      return { error: `too large: at most ${Math.floor(MAX_BYTES / 2 ** 20)} MB are taken` };
    }
    let body;
    try {
      body = await file.arrayBuffer();
    } catch {
      return { error: "cannot be read; drop files, not folders" };
    }
    try {
      const response = await fetch(`new-images?name=${encodeURIComponent(file.name.toWellFormed?.() ?? file.name)}`, {
        method: "POST",
        headers: { "Content-Type": "application/octet-stream" },
        body,
      });
      const answer = await response.json();
      return response.ok ? answer : { error: answer.error };
    } catch {
      return { error: "the server does not answer" };
    }
  }

  const waiting = [];
  let working = false;

  async function sortAll(files) {
    waiting.push(...files);
    if (working || waiting.length === 0) return;
    working = true;
    let nSorted = 0;
    let nRefused = 0;
    while (waiting.length) {
      const file = waiting.shift();
      const patience = shown.length ? "" : " The first one takes a few seconds.";
      state.textContent = `Sorting ${visible(file.name)}; ${count(waiting.length, "image")} to come.${patience}`;
      const answer = await ask(file);
      if (answer.error) nRefused++;
      else nSorted++;
      show(file, answer);
    }
    working = false;
    const refused = nRefused ? `, ${nRefused} refused` : "";
    state.textContent = `${count(nSorted, "image")} sorted${refused}.`;
  }

  input.addEventListener("change", () => {
    sortAll(input.files);
    input.value = "";
  });

  // ---- dropping

  const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  let depth = 0;

  function leave() {
    depth = 0;
    document.body.classList.remove("dropping");
  }

  document.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth++;
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (hasFiles(event) && --depth <= 0) leave();
  });
  document.addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // the browser would leave the page and show the file
    leave();
    if (document.querySelector("dialog[open]")) {
      say("Close the window first, then drop the images.");
      return;
    }
    section.scrollIntoView();
    sortAll(event.dataTransfer.files);
  });
})();
