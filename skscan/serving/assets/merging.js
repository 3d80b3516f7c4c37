// Two tabs decided at the same time: what one has not saved yet is put on top of what the other has.
//
// Decisions are lists of changes [kind, key, before, after] (see review.js). To put one on top of
// another state is to look up each "before" anew, and to leave out what has lost its ground: the
// name of a class that is gone, a move to it.
(function () {
  "use strict";
  const { review } = window.skscan;

  const inverse = (changes) =>
    [...changes].reverse().map(([kind, key, before, after]) => [kind, key, after, before]);

  /** The decisions that lead from one state of the review to another; what was undone comes first. */
  function decisionsBetween(from, to) {
    const common = Math.min(from.cursor, to.cursor);
    let same = 0;
    while (same < common && from.log[same] === to.log[same]) same++;
    const undone = from.log
      .slice(same, from.cursor)
      .reverse()
      .map(({ label, changes }) => ({ label: `Undone: ${label}`, changes: inverse(changes) }));
    return [...undone, ...to.log.slice(same, to.cursor)];
  }

  const present = {
    name: (key) => review.classes.get(key)?.name ?? null,
    reviewed: (key) => review.classes.get(key)?.reviewed ?? false,
    home: (key) => review.home[key],
    rejected: (key) => review.rejected.has(key),
    image: (key) => review.moved.get(key) ?? null,
  };

  /** A number for a new class that no other tab has given meanwhile. */
  function renumbered(made) {
    const order = review.nextOrder;
    const id = `new-${order - review.home.length + 1}`;
    return { ...made, id, order };
  }

  /** The changes of one decision as they are to be made now, and how many of them no longer can. */
  function rebased(changes, renamed) {
    const now = (id) => renamed.get(id) ?? id;
    const made = new Set();
    const gone = new Set();
    const heirs = new Map();
    const kept = [];
    let lost = 0;
    const exists = (id) => made.has(id) || (review.classes.has(id) && !gone.has(id));
    const keep = (kind, key, after) => kept.push([kind, key, present[kind](key), after]);

    for (const [kind, key, before, after] of changes) {
      if (kind !== "class" || after === null) continue;
      let created = after;
      if (review.classes.has(now(key))) {
        if (!after.made) continue; // another tab has brought it back, too
        created = renumbered(after);
        renamed.set(key, created.id);
      }
      if (created.name !== null && review.objectionTo(created.id, created.name) !== null) {
        created = { ...created, name: null };
        lost++;
      }
      made.add(created.id);
      kept.push(["class", created.id, null, created]);
    }
    for (const [kind, key, before, after] of changes) {
      if (kind === "class") {
        if (after === null) gone.add(now(key));
      } else if (kind === "home" || kind === "image") {
        if (after !== null && !exists(now(after))) lost++;
        else {
          keep(kind, key, after === null ? null : now(after));
          if (before !== null && after !== null) heirs.set(now(before), now(after));
        }
      } else if (kind === "rejected") keep(kind, key, after);
      else if (!exists(now(key))) lost++;
      else if (kind === "name" && after !== null && review.objectionTo(now(key), after) !== null) lost++;
      else keep(kind, now(key), after);
    }
    for (const id of gone) {
      if (review.classes.has(id) && !emptied(id, heirs.get(id), kept)) lost++;
    }
    const differing = kept.filter(([, , a, b]) => JSON.stringify(a) !== JSON.stringify(b));
    return { changes: differing, lost };
  }

  /**
   * Take a class away, with what another tab has put into it going where the rest of it goes.
   * Returns false if that is nowhere: then the class stays.
   */
  function emptied(id, heir, kept) {
    const handled = new Set(kept.map(([kind, key]) => `${kind} ${key}`));
    const left = [];
    review.home.forEach((own, cluster) => own === id && left.push(["home", cluster, own, heir]));
    review.moved.forEach((own, image) => own === id && left.push(["image", image, own, heir]));
    const open = left.filter(([kind, key]) => !handled.has(`${kind} ${key}`));
    const stays = kept.some(([kind, , , after]) => (kind === "home" || kind === "image") && after === id);
    if (stays || (open.length > 0 && (heir === undefined || heir === id))) return false;
    kept.push(...open, ["class", id, { ...review.classes.get(id) }, null]);
    return true;
  }

  /** Make decisions on top of the present state; returns how many of their changes were lost. */
  function decideAgain(decisions) {
    const renamed = new Map();
    let nLost = 0;
    for (const { label, changes } of decisions) {
      const { changes: possible, lost } = rebased(changes, renamed);
      nLost += lost;
      review.decide(label, possible);
    }
    return nLost;
  }

  window.skscan.merging = { decisionsBetween, decideAgain };
})();
