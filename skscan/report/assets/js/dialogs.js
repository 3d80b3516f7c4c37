// Windows over the page: images of a class or selection, the choice of a class, help and files.
(function () {
  "use strict";
  const { el, button, named, count, number, percent, say, visible } = window.skscan;
  const { store, review, Gallery } = window.skscan;
  const { images, content } = store;
  const MAX_CHOICES = 100;

  function open(title, className, build) {
    const heading = el("h2", { id: `dialog-title-${document.querySelectorAll("dialog").length}` });
    heading.append(title);
    const dialog = el("dialog", { class: className, "aria-labelledby": heading.id });
    const close = () => dialog.close();
    const bar = el(
      "div",
      { class: "dialog-head" },
      heading,
      button("Close", close, { class: "quiet", "aria-label": "Close window" }),
    );
    dialog.append(bar, ...build(close, dialog));
    dialog.addEventListener("click", (event) => event.target === dialog && close());
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
  }

  /** Let the user choose a class; calls back with its id, or null for a new one. */
  function chooseClass(title, without, chosen, withNew) {
    open(title, "chooser", (close) => {
      const list = el("div", { class: "choices" });
      const choose = (id) => {
        close();
        chosen(id);
      };
      const fill = () => {
        const wanted = search.value.trim().toLowerCase();
        const found = review
          .list()
          .filter((known) => !without.includes(known.id))
          .filter((known) => review.nameOf(known.id).toLowerCase().includes(wanted));
        list.replaceChildren(
          ...found.slice(0, MAX_CHOICES).map((known) =>
            el(
              "button",
              { type: "button", onclick: () => choose(known.id) },
              dot(known.id),
              named(review.nameOf(known.id)),
              el("span", { class: "faint" }, number(review.size(known.id))),
            ),
          ),
        );
        if (found.length === 0) list.append(el("p", { class: "faint" }, "No class has such a name."));
        if (found.length > MAX_CHOICES) {
          const rest = number(found.length - MAX_CHOICES);
          list.append(el("p", { class: "faint" }, `${rest} more: type a part of the name.`));
        }
      };
      const search = el("input", {
        type: "search",
        placeholder: "Find a class",
        "aria-label": "Find a class",
        autofocus: true,
        oninput: fill,
        onkeydown: (event) => {
          if (event.key === "Enter") list.querySelector("button")?.click();
        },
      });
      fill();
      const made = withNew ? [button("A new class", () => choose(null), { class: "new-class" })] : [];
      return [search, ...made, list];
    });
  }

  function dot(id) {
    return el("span", { class: "dot", "aria-hidden": "true", style: { background: review.colorOf(id) } });
  }

  const ORDERS = {
    typical: ["Most typical first", (a, b) => images.typical[a] - images.typical[b]],
    uncertain: ["Least certain first", (a, b) => doubt(a) - doubt(b)],
    odd: ["Most outlying first", (a, b) => images.odd[b] - images.odd[a]],
    name: ["By name", (a, b) => (store.path(a) < store.path(b) ? -1 : 1)],
    given: ["As they come", null],
  };

  function doubt(image) {
    return images.confidence[image] / 65535 + images.agreement[image] / 255;
  }

  /**
   * Show images to select, move and reject.
   * `find` returns them anew after each decision; `order` is a key of ORDERS.
   */
  function showImages({ title, find, order, preselected, home }) {
    let gallery;
    const dialog = open(title, "images", (close) => {
      const chosen = () => [...gallery.selected];
      const info = el("span", { class: "selection", role: "status" });
      const act = (label, action, properties) => button(label, action, { disabled: true, ...properties });
      const move = act("Move to…", () => {
        const list = chosen();
        chooseClass(`Move ${count(list.length, "image")} to`, home ? [home] : [], (id) => {
          if (id === null) review.split(list, "");
          else review.move(list, id);
        }, true);
      }, { class: "primary" });
      const split = act("New class", () => review.split(chosen(), ""));
      const reject = act("Reject", () => review.reject(chosen(), true));
      const restore = act("Take back", () => review.reject(chosen(), false));
      const actions = [move, split, reject, restore];
      gallery = new Gallery("Images", (selected) => {
        actions.forEach((action) => (action.disabled = selected.size === 0));
        const anyRejected = [...selected].some((image) => review.isRejected(image));
        restore.hidden = !anyRejected;
        const n = number(gallery ? gallery.images.length : 0);
        info.textContent = selected.size ? `${number(selected.size)} of ${n} selected` : `${n} images`;
      });
      const sorter = el(
        "select",
        { "aria-label": "Order", onchange: () => refresh() },
        ...Object.entries(ORDERS).map(([key, [label]]) =>
          el("option", { value: key, selected: key === order }, label),
        ),
      );
      const refresh = () => {
        const list = [...find()];
        const [, compare] = ORDERS[sorter.value];
        if (compare) list.sort(compare);
        gallery.show(list);
      };
      const changed = () => {
        gallery.selected.clear();
        refresh();
      };
      review.addEventListener("change", changed);
      queueMicrotask(() => {
        dialog.addEventListener("close", () => {
          review.removeEventListener("change", changed);
          gallery.close();
        });
        gallery.selected = new Set(preselected || []);
        refresh();
        gallery.element.focus();
      });
      const undo = button("Undo", () => review.undo());
      return [
        el(
          "div",
          { class: "dialog-tools" },
          sorter,
          button("Select all", () => gallery.selectAll(true)),
          button("Select none", () => gallery.selectAll(false)),
          info,
        ),
        gallery.element,
        el("div", { class: "dialog-actions" }, ...actions, undo),
      ];
    });
  }

  function showClass(id, order, preselected) {
    const title = el("span", {}, named(review.nameOf(id)));
    showImages({ title, find: () => review.members(id), order, preselected, home: id });
  }

  /** Propose a second half of a class: two centres on the map. */
  function splitClass(id) {
    const members = review.members(id);
    if (members.length < 2) {
      say("A class of one image cannot be split.");
      return;
    }
    const far = (from) =>
      members.reduce((best, image) => (apart(image, from) > apart(best, from) ? image : best));
    let centers = [far(members[0])];
    centers.push(far(centers[0]));
    centers = centers.map((image) => [images.x[image], images.y[image]]);
    let side = [];
    for (let pass = 0; pass < 20; pass++) {
      side = members.map((image) => (distance(image, centers[1]) < distance(image, centers[0]) ? 1 : 0));
      centers = centers.map((center, half) => {
        const own = members.filter((_, i) => side[i] === half);
        if (own.length === 0) return center;
        const mean = (axis) => own.reduce((sum, image) => sum + images[axis][image], 0) / own.length;
        return [mean("x"), mean("y")];
      });
    }
    const nSecond = side.filter(Boolean).length;
    const smaller = nSecond * 2 <= members.length ? 1 : 0;
    const part = members.filter((_, i) => side[i] === smaller);
    say("The smaller half on the map is selected. Change the selection, then choose New class.", true);
    showClass(id, "typical", part);
  }

  const distance = (image, [x, y]) => (images.x[image] - x) ** 2 + (images.y[image] - y) ** 2;
  const apart = (a, b) => distance(a, [images.x[b], images.y[b]]);

  // ---- one image, help, files

  function showImage(image) {
    const id = review.classOf(image);
    const second = images.second[image];
    const facts = [
      ["File", named(store.path(image))],
      ["Class", named(review.nameOf(id))],
      ["Confidence", percent(images.confidence[image] / 65535)],
      ["Look-alikes in the same cluster", percent(images.agreement[image] / 255)],
    ];
    if (second >= 0) facts.push(["Second choice", named(review.nameOf(review.home[second]))]);
    open(named(store.name(image)), "one-image", (close) => [
      window.skscan.thumbnail(image, { class: "thumb large" }),
      el("dl", {}, ...facts.flatMap(([term, fact]) => [el("dt", {}, term), el("dd", {}, fact)])),
      el(
        "div",
        { class: "dialog-actions" },
        button("Move to…", () => {
          close();
          chooseClass("Move this image to", [id], (target) => {
            if (target === null) review.split([image], "");
            else review.move([image], target);
          }, true);
        }, { class: "primary" }),
        button(review.isRejected(image) ? "Take back" : "Reject", () => {
          close();
          review.reject([image], !review.isRejected(image));
        }),
      ),
    ]);
  }

  function download() {
    const text = JSON.stringify(review.exported(), null, 1);
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    const link = el("a", { href: url, download: "decisions.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    say(`${store.keeping.exported} Next: ${visible(content.run.next)}`, true);
  }

  function upload() {
    const input = el("input", { type: "file", accept: ".json,application/json" });
    input.addEventListener("change", async () => {
      try {
        review.import(JSON.parse(await input.files[0].text()));
      } catch (error) {
        say(`Not taken over: ${error.message}`, true);
      }
    });
    input.click();
  }

  const KEYS = [
    ["Ctrl Z", "undo"],
    ["Ctrl Shift Z", "redo"],
    ["/", "find a class"],
    ["arrow keys", "go from image to image, or move the map"],
    ["Space", "select the image"],
    ["Shift arrow", "select several"],
    ["Ctrl A", "select all"],
    ["+ − 0", "zoom the map in, out, or back"],
    ["Esc", "close a window"],
  ];

  function showMore() {
    const theme = document.documentElement;
    open("More", "more", (close) => [
      el(
        "div",
        { class: "more-actions" },
        button("Take over decisions from a file…", () => { close(); upload(); }),
        button("Light or dark", () => {
          const dark = theme.dataset.theme
            ? theme.dataset.theme === "dark"
            : matchMedia("(prefers-color-scheme: dark)").matches;
          window.skscan.setTheme(dark ? "light" : "dark");
        }),
        button("Rejected images", () => {
          close();
          const title = "Rejected images";
          showImages({ title, find: () => review.rejectedImages(), order: "name" });
        }),
      ),
      el("h3", {}, "Keys"),
      el(
        "dl",
        { class: "keys" },
        ...KEYS.flatMap(([key, text]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)]),
      ),
      el("h3", {}, "What becomes of decisions"),
      el(
        "p",
        {},
        `${store.keeping.now}: skscan apply copies, ` +
          "moves or links the images into a folder for each class, and can undo that.",
      ),
      el("p", {}, el("kbd", { class: "command" }, visible(content.run.next))),
      el("p", {}, `Run ${content.run.id}, ${visible(content.run.title)}.`),
    ]);
  }

  Object.assign(window.skscan, {
    chooseClass, dot, doubt, download, showClass, showImage, showImages, showMore, splitClass,
  });
})();
