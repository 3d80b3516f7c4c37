// What was done, how far it can be trusted, and the tables: nearness, evaluation, copies, skipped.
(function () {
  "use strict";
  const { el, button, named, count, number, percent, visible } = window.skscan;
  const { store, review, charts, thumbnail, showImage, showImages, showClass, cards } = window.skscan;
  const { content } = store;
  const { run } = content;

  const TITLES = {
    uncertain: "Uncertain images",
    outliers: "Images like no other",
  };

  function show(what) {
    if (Array.isArray(what)) {
      const id = review.home[what[1]];
      cards.goTo(id);
    } else if (what in TITLES) {
      const listed = content[what].images;
      const order = what === "uncertain" ? "given" : "odd";
      showImages({ title: TITLES[what], find: () => listed, order });
    } else {
      document.getElementById(what).scrollIntoView();
    }
  }

  function drawOverview(section) {
    const skipped = run.n_skipped ? ` ${count(run.n_skipped, "file")} could not be read.` : "";
    const seconds = run.seconds.total;
    const took = seconds ? ` It took ${duration(seconds)}.` : "";
    section.append(
      el("h1", { id: "overview-title" }, named(run.title)),
      el(
        "p",
        { class: "lead" },
        `${count(run.n_images, "image")}, sorted into ${count(run.n_clusters, "class", "classes")} ` +
          `without labels.${took}${skipped}`,
      ),
      el(
        "div",
        { class: "two-columns" },
        el(
          "div",
          { class: "panel" },
          el("h2", {}, "How far to trust it"),
          el("ul", { class: "trust" }, ...content.trust.map(statement)),
        ),
        run.n_images
          ? el(
              "div",
              { class: "panel" },
              el("h2", {}, "Confidence of all images"),
              charts.histogram(content.histogram),
              el("p", { class: "faint" }, "Probability of an image's own class: 1 is sure, 0 is not. Sure is not always right."),
            )
          : null,
      ),
    );
    if (run.proposals.length > 1) {
      const [first, ...others] = run.proposals;
      section.append(
        el("p", {}, `The number of classes was looked for: ${first} was found; ${others.join(" and ")} would be likely, too.`),
      );
    }
  }

  function statement({ text, show: what }) {
    return el("li", {}, text, " ", what === null ? null : button("Show", () => show(what), { class: "link" }));
  }

  function duration(seconds) {
    if (seconds < 90) return `${Math.round(seconds)} seconds`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} minutes`;
    return `${(seconds / 3600).toFixed(1)} hours`;
  }

  // ---- nearness

  const nameOfCluster = (cluster) => review.nameOf(review.home[cluster]) || `Cluster ${cluster}`;

  function drawNearness(section) {
    const { matrix, linkage, order, pairs } = content.nearness;
    section.replaceChildren();
    if (run.n_clusters < 2) {
      section.hidden = true;
      return;
    }
    section.append(
      el("h2", { id: "nearness-title" }, "Which classes are near each other"),
      el(
        "p",
        { class: "lead" },
        "Classes whose images have look-alikes in each other are near; the nearest pairs may be one class.",
      ),
    );
    const parts = [];
    if (matrix) {
      const labels = order.map((cluster) => visible(nameOfCluster(cluster)));
      const share = (i, j) => matrix[order[i]][order[j]];
      parts.push(
        el(
          "div",
          { class: "panel" },
          charts.matrix({
            caption: "Where the look-alikes of each class lie (rows add up to 100 %)",
            corner: "Look-alikes of",
            rows: labels,
            columns: labels,
            value: share,
            title: (i, j) => `${percent(share(i, j))} of the look-alikes of ${labels[i]} are in ${labels[j]}`,
            text: (i, j) => (share(i, j) >= 0.005 ? String(Math.round(100 * share(i, j))) : ""),
          }),
        ),
      );
    }
    if (linkage && linkage.length) {
      const leafColor = (cluster) => review.colorOf(review.home[cluster]);
      parts.push(
        el(
          "div",
          { class: "panel" },
          el("h3", {}, "Order in which classes would merge"),
          charts.tree(linkage, order, nameOfCluster, leafColor),
          el("p", { class: "faint" }, "The further left two branches meet, the more alike the classes are."),
        ),
      );
    }
    section.append(el("div", { class: "two-columns" }, ...parts), nearPairs(pairs));
  }

  function nearPairs(pairs) {
    const open = pairs.filter(([a, b]) => review.home[a] !== review.home[b]).slice(0, 8);
    return el(
      "ul",
      { class: "pairs" },
      ...open.map(([a, b, share]) => {
        const [one, other] = [review.home[a], review.home[b]];
        const names = `${visible(review.nameOf(one))} and ${visible(review.nameOf(other))}`;
        return el(
          "li",
          {},
          named(review.nameOf(one)),
          " and ",
          named(review.nameOf(other)),
          el("span", { class: "faint" }, ` ${percent(share)}`),
          button("Merge", () => review.merge([other], one), { class: "link", "aria-label": `Merge ${names}` }),
        );
      }),
    );
  }

  // ---- evaluation

  function drawEvaluation(section) {
    const { evaluation } = content;
    if (!evaluation) return;
    section.hidden = false;
    const { scores, classes, counts, class_of_cluster: assigned } = evaluation;
    const titles = { accuracy: "accuracy", many_to_one_accuracy: "many-to-one accuracy", nmi: "NMI", ari: "ARI" };
    const figures = Object.entries(titles)
      .filter(([key]) => key in scores)
      .map(([key, title]) => `${title} ${scores[key].toFixed(3)}`);
    section.append(
      el("h2", { id: "evaluation-title" }, "Against the folders"),
      el("p", { class: "lead" }, `Folder names were taken as the true classes: ${figures.join(", ")}.`),
    );
    if (!classes) return;
    const clusterOf = classes.map((_, code) => assigned.indexOf(code));
    const columns = [
      ...clusterOf.filter((cluster) => cluster >= 0),
      ...assigned.flatMap((code, cluster) => (code < 0 ? [cluster] : [])),
    ];
    const totals = counts.map((row) => row.reduce((sum, n) => sum + n, 0));
    const share = (i, j) => counts[i][columns[j]] / Math.max(1, totals[i]);
    const labels = columns.map((cluster) => `Cluster ${cluster}`);
    const names = classes.map((name) => visible(name) || "(no folder)");
    const accuracy = classes.map((_, code) =>
      clusterOf[code] < 0 ? 0 : counts[code][clusterOf[code]] / Math.max(1, totals[code]),
    );
    section.append(
      el(
        "div",
        { class: "two-columns" },
        el(
          "div",
          { class: "panel" },
          charts.matrix({
            caption: "Images of each folder (row) in each cluster (column)",
            corner: "Folder",
            rows: names,
            columns: labels,
            value: share,
            title: (i, j) => `${names[i]}: ${count(counts[i][columns[j]], "image")} in ${labels[j]}`,
            text: (i, j) => (counts[i][columns[j]] ? number(counts[i][columns[j]]) : ""),
          }),
        ),
        el("div", { class: "panel" }, accuracyTable(names, clusterOf, accuracy, totals)),
      ),
    );
  }

  function accuracyTable(names, clusterOf, accuracy, totals) {
    const order = names.map((_, i) => i).sort((a, b) => accuracy[b] - accuracy[a]);
    const rows = order.map((i) => {
      const bar = el("span", { class: "meter", "aria-hidden": "true" });
      bar.style.setProperty("--share", accuracy[i]);
      const cluster = clusterOf[i] < 0 ? "none" : String(clusterOf[i]);
      return el(
        "tr",
        {},
        el("th", { scope: "row" }, el("bdi", {}, names[i])),
        el("td", {}, cluster),
        el("td", {}, number(totals[i])),
        el("td", {}, percent(accuracy[i]), bar),
      );
    });
    const head = ["Folder", "Cluster", "Images", "In it"].map((text) => el("th", { scope: "col" }, text));
    return el(
      "table",
      { class: "plain" },
      el("caption", {}, "Accuracy of each class: share of the folder's images in its cluster"),
      el("thead", {}, el("tr", {}, ...head)),
      el("tbody", {}, ...rows),
    );
  }

  // ---- copies and skipped files

  const GROUPS_AT_ONCE = 20;

  function drawDuplicates(section) {
    const { duplicates } = content;
    if (!duplicates || duplicates.n === 0) return;
    section.hidden = false;
    const list = el("ul", { class: "groups" });
    let drawn = 0;
    const more = button("Show more", () => addGroups());
    const addGroups = () => {
      const next = duplicates.groups.slice(drawn, drawn + GROUPS_AT_ONCE);
      drawn += next.length;
      list.append(...next.map(group));
      more.hidden = drawn >= duplicates.groups.length;
    };
    const group = (images) =>
      el(
        "li",
        { class: "group" },
        el(
          "div",
          { class: "strip-images" },
          ...images.slice(0, 12).map((image) =>
            el("button", { type: "button", class: "thumb-button", title: visible(store.path(image)), "data-image": image, onclick: () => showImage(image) }, thumbnail(image)),
          ),
        ),
        el("span", { class: "faint" }, count(images.length, "image")),
        button("Keep the first", () => review.reject(images.slice(1), true), { class: "link" }),
      );
    const listed = duplicates.n > duplicates.groups.length ? ` The ${number(duplicates.groups.length)} largest are listed.` : "";
    section.append(
      el("h2", { id: "duplicates-title" }, "Nearly the same"),
      el("p", { class: "lead" }, `${count(duplicates.n, "group")} of images that are hardly to be told apart.${listed}`),
      list,
      more,
    );
    addGroups();
    const mark = () => {
      for (const shown of list.querySelectorAll("[data-image]")) {
        shown.classList.toggle("rejected", review.isRejected(Number(shown.dataset.image)));
      }
    };
    mark();
    more.addEventListener("click", mark);
    review.addEventListener("change", mark);
  }

  function drawSkipped(section) {
    if (content.n_skipped === 0) return;
    section.hidden = false;
    const rest = content.n_skipped - content.skipped.length;
    section.append(
      el("h2", { id: "skipped-title" }, "Skipped files"),
      el("p", { class: "lead" }, `${count(content.n_skipped, "file")} could not be read, and are in no class.`),
      el(
        "div",
        { class: "scroll-x", tabindex: 0, role: "region", "aria-label": "Skipped files" },
        el(
          "table",
          { class: "plain" },
          el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "File"), el("th", { scope: "col" }, "Reason"))),
          el(
            "tbody",
            {},
            ...content.skipped.map(([path, reason]) => el("tr", {}, el("td", {}, named(path)), el("td", {}, named(reason)))),
          ),
        ),
      ),
      rest > 0 ? el("p", { class: "faint" }, `${number(rest)} more are in skipped.csv.`) : null,
    );
  }

  function drawMade(section) {
    const stages = Object.entries(run.seconds).filter(([name]) => name !== "total");
    const longest = Math.max(...stages.map(([, value]) => value), 1e-9);
    const rows = stages.map(([name, value]) => {
      const bar = el("span", { class: "meter", "aria-hidden": "true" });
      bar.style.setProperty("--share", value / longest);
      return el("tr", {}, el("th", { scope: "row" }, name.replaceAll("_", " ")), el("td", {}, `${value.toFixed(1)} s`, bar));
    });
    const made = run.made ? [["Made", run.made]] : [];
    section.append(
      el("h2", { id: "made-title" }, "How it was made"),
      el(
        "div",
        { class: "two-columns" },
        el(
          "dl",
          { class: "settings panel" },
          ...[...run.settings, ...made].flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, named(value))]),
        ),
        rows.length
          ? el("div", { class: "panel" }, el("table", { class: "plain" }, el("caption", {}, "Seconds of each stage"), el("tbody", {}, ...rows)))
          : null,
      ),
    );
  }

  window.skscan.overview = { drawOverview, drawNearness, drawEvaluation, drawDuplicates, drawSkipped, drawMade };
})();
