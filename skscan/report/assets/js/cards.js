// The classes as cards; a card is drawn when it comes into view.
(function () {
  "use strict";
  const { el, button, named, count, number, percent, say, visible } = window.skscan;
  const { store, review, thumbnail, chooseClass, doubt, dot, showClass, showImage, splitClass } =
    window.skscan;
  const { images, content } = store;
  const N_TYPICAL = 12;
  const N_OTHERS = 6;

  const SORTS = {
    number: ["By number", (a, b) => a.order - b.order],
    largest: ["Largest first", (a, b) => review.size(b.id) - review.size(a.id)],
    smallest: ["Smallest first", (a, b) => review.size(a.id) - review.size(b.id)],
    uncertain: ["Least certain first", (a, b) => meanDoubt(a.id) - meanDoubt(b.id)],
    open: ["Not looked through first", (a, b) => a.reviewed - b.reviewed || a.order - b.order],
    name: ["By name", (a, b) => review.nameOf(a.id).localeCompare(review.nameOf(b.id))],
  };

  function meanDoubt(id) {
    const members = review.members(id);
    if (members.length === 0) return Infinity;
    return members.reduce((sum, image) => sum + doubt(image), 0) / members.length;
  }

  // A fixed draw: the same images each time the card is drawn.
  const lot = (image) => Math.imul(image + 1, 2654435761) >>> 0;

  /** The first `n` of a list in an order, without sorting all of it. */
  function best(list, value, n) {
    return list
      .map((image) => [value(image), image])
      .sort((a, b) => a[0] - b[0])
      .slice(0, n)
      .map((pair) => pair[1]);
  }

  function strip(title, list, note) {
    return el(
      "div",
      { class: "strip" },
      el("h3", { title: note }, title),
      el(
        "div",
        { class: "strip-images" },
        ...list.map((image) =>
          el(
            "button",
            {
              type: "button",
              class: "thumb-button",
              title: visible(store.path(image)),
              onclick: () => showImage(image),
            },
            thumbnail(image),
          ),
        ),
      ),
    );
  }

  function nameField(id) {
    const known = review.classes.get(id);
    const input = el("input", {
      class: "class-name",
      type: "text",
      value: known.name ?? "",
      placeholder: `${review.nameOf(id)}: name it`,
      "aria-label": `Name of ${visible(review.nameOf(id))}`,
      maxlength: 100,
      autocomplete: "off",
      spellcheck: "false",
      dir: "auto",
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") input.blur();
      if (event.key === "Escape") input.value = known.name ?? "";
    });
    input.addEventListener("input", () => {
      input.setCustomValidity("");
    });
    input.addEventListener("change", () => {
      const objection = review.objectionTo(id, input.value);
      if (objection === null) review.rename(id, input.value);
      else {
        input.setCustomValidity(objection);
        input.reportValidity();
        say(objection, true);
        input.value = known.name ?? "";
      }
    });
    return input;
  }

  function facts(id, members) {
    const size = review.size(id);
    const parts = [count(size, "image"), percent(size / Math.max(1, content.run.n_images)) + " of all"];
    if (members.length) {
      const sum = members.reduce((total, image) => total + images.confidence[image] / 65535, 0);
      parts.push(`mean confidence ${(sum / members.length).toFixed(2)}`);
    }
    const clusters = review.clustersOf(id);
    if (clusters.length > 1) parts.push(`clusters ${clusters.join(", ")}`);
    else if (review.classes.get(id).name !== null && clusters.length) parts.push(`cluster ${id}`);
    return el("p", { class: "facts" }, parts.join(" · "));
  }

  function nearOnes(id) {
    const own = review.clustersOf(id);
    if (own.length !== 1) return null;
    const near = content.classes[own[0]].near
      .map(([cluster, share]) => [review.home[cluster], share])
      .filter(([other, share]) => other !== id && share >= 0.005);
    if (near.length === 0) return null;
    return el(
      "p",
      { class: "near" },
      "Near: ",
      ...near.map(([other, share]) =>
        el(
          "button",
          { type: "button", class: "link", onclick: () => goTo(other) },
          named(review.nameOf(other)),
          ` (${percent(share)})`,
        ),
      ),
    );
  }

  function fill(card) {
    const id = card.dataset.id;
    const known = review.classes.get(id);
    if (!known) return;
    const members = review.members(id);
    const looked = el("input", { type: "checkbox", onchange: (e) => review.setReviewed(id, e.target.checked) });
    looked.checked = known.reviewed;
    const typical = best(members, (image) => images.typical[image], N_TYPICAL);
    const content = [
      el("div", { class: "card-head" }, dot(id), nameField(id)),
      facts(id, members),
      nearOnes(id),
      strip("Most typical", typical, "Sure, and surrounded by images of the same class"),
    ];
    if (members.length > N_TYPICAL) {
      content.push(
        el(
          "div",
          { class: "strips" },
          strip("Random", best(members, lot, N_OTHERS), "Drawn by lot: what the class is really like"),
          strip("Least certain", best(members, doubt, N_OTHERS), "Perhaps in the wrong class"),
          strip("Outlying", best(members, (image) => -images.odd[image], N_OTHERS), "Unlike any other image"),
        ),
      );
    }
    if (members.length === 0) content.push(el("p", { class: "faint" }, "No image is left in this class."));
    const shown = visible(review.nameOf(id));
    content.push(
      el(
        "div",
        { class: "card-actions" },
        button(`Show all ${number(members.length)}`, () => showClass(id, "typical"), {
          "aria-label": `Show all images of ${shown}`,
        }),
        button("Merge…", () =>
          chooseClass(`Merge ${shown} into`, [id], (target) => review.merge([id], target)),
          { "aria-label": `Merge ${shown} into another class` }),
        button("Split…", () => splitClass(id), { "aria-label": `Split ${shown}` }),
        el("label", { class: "looked" }, looked, "Looked through"),
      ),
    );
    card.replaceChildren(...content.filter(Boolean));
    card.classList.toggle("reviewed", known.reviewed);
    card.setAttribute("aria-label", shown);
    card.dataset.filled = "yes";
  }

  let observer = null;
  let list = null;
  let sort = "number";
  let wanted = "";

  function drawList() {
    const classes = review
      .list()
      .filter((known) => review.nameOf(known.id).toLowerCase().includes(wanted))
      .sort(SORTS[sort][1]);
    const old = new Map([...list.children].map((card) => [card.dataset.id, card]));
    const cards = classes.map(
      (known) =>
        old.get(known.id) ||
        el("article", { class: "card", "data-id": known.id, id: `class-${known.id}`, tabindex: -1 }),
    );
    const kept = new Set(cards);
    for (const child of [...list.children]) if (!kept.has(child)) child.remove();
    const same = cards.length === list.children.length && cards.every((card, i) => card === list.children[i]);
    if (!same) list.replaceChildren(...cards);
    if (cards.length === 0) list.append(el("p", { class: "faint" }, "No class has such a name."));
    cards.forEach((card) => observer.observe(card));
  }

  /** Scroll to the card of a class. */
  function goTo(id) {
    wanted = "";
    document.getElementById("find-class").value = "";
    drawList();
    const card = document.getElementById(`class-${id}`);
    if (!card) return;
    if (!card.dataset.filled) fill(card);
    card.scrollIntoView({ block: "start" });
    card.focus({ preventScroll: true });
  }

  function draw(section) {
    const search = el("input", {
      type: "search",
      id: "find-class",
      placeholder: "Find a class",
      "aria-label": "Find a class",
      oninput: () => {
        wanted = search.value.trim().toLowerCase();
        drawList();
      },
    });
    const sorter = el(
      "select",
      {
        "aria-label": "Order of classes",
        onchange: () => {
          sort = sorter.value;
          drawList();
        },
      },
      ...Object.entries(SORTS).map(([key, [label]]) => el("option", { value: key }, label)),
    );
    list = el("div", { class: "cards" });
    observer = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          if (isIntersecting && !target.dataset.filled) fill(target);
        }
      },
      { rootMargin: "600px 0px" },
    );
    section.append(
      el("h2", { id: "classes-title" }, "Classes"),
      el(
        "p",
        { class: "lead" },
        "Give each class a name; merge what belongs together; split or move what does not. " +
          `Everything can be undone, and ${store.keeping.until}.`,
      ),
      el("div", { class: "tools" }, search, sorter),
      list,
    );
    drawList();
    review.addEventListener("change", () => {
      const focused = document.activeElement?.closest?.(".card")?.dataset.id;
      const role = document.activeElement?.className;
      for (const card of list.children) delete card.dataset.filled;
      drawList();
      const margin = innerHeight + 600;
      const cards = [...list.children].filter((card) => card.dataset.id);
      const inView = cards.filter((card) => {
        const { top, bottom } = card.getBoundingClientRect();
        return bottom > -600 && top < margin;
      });
      inView.forEach(fill);
      for (const card of cards) {
        observer.unobserve(card); // so that those out of view are told of again when they come
        observer.observe(card);
      }
      if (focused) {
        const card = document.getElementById(`class-${focused}`);
        const again = (role && card?.getElementsByClassName(role)[0]) || card;
        again?.focus({ preventScroll: true });
      }
    });
  }

  window.skscan.cards = { draw, goTo };
})();
