// What a person decides: names, merges, splits, moves, rejections; with undo and redo. No drawing.
//
// A decision is a list of changes [kind, key, before, after], so that undoing one is to put each
// "before" back. Classes begin as the clusters; "home" says which class a cluster belongs to, and
// "image" which class single images were moved to. Images go by their numbers in it (see store.js),
// also those that are not on this page.
(function () {
  "use strict";
  const { store, visible, count } = window.skscan;
  const { images, content } = store;
  const MAX_NAME = 100;

  class Review extends EventTarget {
    constructor() {
      super();
      this.reset();
    }

    reset() {
      this.log = [];
      this.cursor = 0;
      this.classes = new Map();
      this.home = [];
      this.moved = new Map();
      this.rejected = new Set();
      this.elsewhere = {}; // path and cluster of images that were decided on, by number
      for (let cluster = 0; cluster < content.run.n_clusters; cluster++) {
        const id = String(cluster);
        this.classes.set(id, { id, order: cluster, name: null, reviewed: false });
        this.home.push(id);
      }
      this.nextOrder = content.run.n_clusters;
      this.forgetMembers();
    }

    // ---- what is so now

    list() {
      return [...this.classes.values()].sort((a, b) => a.order - b.order);
    }

    nameOf(id) {
      const known = this.classes.get(id);
      if (!known) return "";
      if (known.name !== null) return known.name;
      return known.made ? `New class ${known.order - content.run.n_clusters + 1}` : `Cluster ${id}`;
    }

    classOf(image) {
      return this.moved.get(store.numberOf(image)) ?? this.home[images.cluster[image]];
    }

    isRejected(image) {
      return this.rejected.has(store.numberOf(image));
    }

    /** Rejected images on this page. */
    rejectedImages() {
      return [...this.rejected].map(store.imageOf).filter((image) => image !== undefined);
    }

    colorOf(id) {
      return window.skscan.color(this.classes.get(id)?.order ?? 0);
    }

    /** Images of a class on this page, without rejected ones. */
    members(id) {
      if (this.memberLists === null) {
        this.memberLists = new Map();
        for (let image = 0; image < images.n; image++) {
          if (this.isRejected(image)) continue;
          const own = this.classOf(image);
          if (!this.memberLists.has(own)) this.memberLists.set(own, []);
          this.memberLists.get(own).push(image);
        }
      }
      return this.memberLists.get(id) || [];
    }

    /** Number of all images of a class, also of those that this page has no picture of. */
    size(id) {
      let size = this.members(id).length;
      if (images.n === content.run.n_images) return size;
      this.home.forEach((own, cluster) => {
        if (own === id) size += content.classes[cluster].size - this.shownOf(cluster);
      });
      return size;
    }

    shownOf(cluster) {
      if (!this.shownCounts) {
        this.shownCounts = new Array(content.run.n_clusters).fill(0);
        for (const own of images.cluster) this.shownCounts[own]++;
      }
      return this.shownCounts[cluster];
    }

    clustersOf(id) {
      return this.home.flatMap((own, cluster) => (own === id ? [cluster] : []));
    }

    get nReviewed() {
      return this.list().filter((known) => known.reviewed).length;
    }

    // ---- decisions

    /** Why a class must not have this name, or null. */
    objectionTo(id, name) {
      const wanted = name.trim();
      if (wanted === "-1") return "-1 means “unknown”; choose another name.";
      if (wanted.length > MAX_NAME) return `A name has at most ${MAX_NAME} characters.`;
      const same = (text) => text.normalize("NFC").toLowerCase();
      for (const other of this.classes.keys()) {
        if (other !== id && wanted && same(this.nameOf(other)) === same(wanted)) {
          return `Another class is named ${visible(wanted)}; merge the two instead.`;
        }
      }
      return null;
    }

    rename(id, name) {
      const before = this.classes.get(id).name;
      const after = name.trim() || null;
      if (before === after || this.objectionTo(id, name) !== null) return;
      const label = after ? `Named ${visible(after)}` : "Took the name away";
      this.decide(label, [["name", id, before, after]]);
    }

    setReviewed(id, reviewed) {
      const label = `${reviewed ? "Looked through" : "To be looked through:"} ${this.shown(id)}`;
      this.decide(label, [["reviewed", id, this.classes.get(id).reviewed, reviewed]]);
    }

    merge(sources, target) {
      const gone = sources.filter((id) => id !== target && this.classes.has(id));
      if (gone.length === 0) return;
      const changes = [];
      this.home.forEach((own, cluster) => {
        if (gone.includes(own)) changes.push(["home", cluster, own, target]);
      });
      for (const [number, own] of this.moved) {
        if (gone.includes(own)) changes.push(["image", number, own, target]);
      }
      for (const id of gone) changes.push(["class", id, { ...this.classes.get(id) }, null]);
      const names = gone.map((id) => this.shown(id)).join(", ");
      this.decide(`Merged ${names} into ${this.shown(target)}`, changes);
    }

    move(list, target) {
      const changes = this.changesToMove(list, target);
      const label = `Moved ${count(changes.length, "image")} to ${this.shown(target)}`;
      this.decide(label, changes);
    }

    changesToMove(list, target) {
      return list
        .filter((image) => this.classOf(image) !== target)
        .map(store.numberOf)
        .map((number) => ["image", number, this.moved.get(number) ?? null, target]);
    }

    /** Make a class of some images; returns its id. */
    split(list, name) {
      const order = this.nextOrder;
      const id = `new-${order - content.run.n_clusters + 1}`;
      const made = { id, order, name: name.trim() || null, reviewed: false, made: true };
      const changes = [["class", id, null, made], ...this.changesToMove(list, id)];
      this.decide(`Made a class of ${count(list.length, "image")}`, changes);
      return id;
    }

    reject(list, rejected) {
      const changes = list
        .filter((image) => this.isRejected(image) !== rejected)
        .map((image) => ["rejected", store.numberOf(image), !rejected, rejected]);
      const verb = rejected ? "Rejected" : "Took back";
      this.decide(`${verb} ${count(changes.length, "image")}`, changes);
    }

    decide(label, changes) {
      if (changes.length === 0) return;
      this.log.length = this.cursor;
      this.log.push({ label, changes });
      this.redo();
    }

    undo() {
      if (this.cursor === 0) return;
      const { label, changes } = this.log[--this.cursor];
      for (const [kind, key, before] of [...changes].reverse()) this.set(kind, key, before);
      this.changed(`Undone: ${label}`);
    }

    redo() {
      if (this.cursor === this.log.length) return;
      const { label, changes } = this.log[this.cursor++];
      for (const [kind, key, , after] of changes) this.set(kind, key, after);
      this.changed(label);
    }

    set(kind, key, value) {
      if (kind === "name") this.classes.get(key).name = value;
      else if (kind === "reviewed") this.classes.get(key).reviewed = value;
      else if (kind === "home") this.home[key] = value;
      else if (kind === "rejected") value ? this.rejected.add(key) : this.rejected.delete(key);
      else if (kind === "image") {
        value === null ? this.moved.delete(key) : this.moved.set(key, value);
      } else if (value === null) this.classes.delete(key);
      else {
        this.classes.set(key, { ...value });
        this.nextOrder = Math.max(this.nextOrder, value.order + 1);
      }
    }

    shown(id) {
      return visible(this.nameOf(id));
    }

    forgetMembers() {
      this.memberLists = null;
    }

    changed(message) {
      this.forgetMembers();
      this.dispatchEvent(new CustomEvent("change", { detail: { message } }));
    }

    // ---- keeping

    state() {
      const { log, cursor } = this;
      return { version: 1, run: content.run.id, log, cursor, elsewhere: this.whereabouts() };
    }

    /** Path and cluster of all images that were moved or rejected: another page may lack them. */
    whereabouts() {
      const known = {};
      for (const number of [...this.moved.keys(), ...this.rejected]) {
        const image = store.imageOf(number);
        if (image === undefined) known[number] = this.elsewhere[number];
        else known[number] = { path: store.path(image), cluster: images.cluster[image] };
      }
      return known;
    }

    /** Take over what was kept: replay its decisions. */
    restore(state) {
      if (!state || state.version !== 1 || state.run !== content.run.id) return false;
      this.reset();
      this.log = state.log;
      for (const { changes } of this.log.slice(0, state.cursor)) {
        for (const [kind, key, , after] of changes) this.set(kind, key, after);
      }
      this.cursor = state.cursor;
      this.elsewhere = state.elsewhere ?? {};
      this.changed(null);
      return true;
    }

    /**
     * The decisions as the one object that `skscan apply` and `Decisions.load` read; a brief one
     * leaves out images that are where their cluster is.
     */
    exported(brief) {
      const complete = images.n === content.run.n_images && !brief;
      const listed = [];
      for (let image = 0; image < images.n; image++) {
        const moved = this.moved.has(store.numberOf(image));
        const rejected = this.isRejected(image);
        if (!complete && !moved && !rejected) continue;
        const place = { path: store.path(image), cluster: images.cluster[image] };
        listed.push(this.entry(place, this.classOf(image), moved, rejected));
      }
      if (!complete) listed.push(...this.exportedElsewhere());
      const clusters = new Map(this.list().map((known) => [known.id, []]));
      this.home.forEach((own, cluster) => clusters.get(own).push(cluster));
      return {
        format: "skscan decisions",
        format_version: 1,
        run: content.run.id,
        saved: new Date().toISOString(),
        complete,
        classes: this.list().map((known) => ({
          id: known.id,
          name: this.nameOf(known.id),
          named: known.name !== null,
          reviewed: known.reviewed,
          clusters: clusters.get(known.id),
        })),
        images: listed,
      };
    }

    entry(place, own, moved, rejected) {
      const entry = { ...place, class: own };
      if (moved) entry.moved = true;
      if (rejected) entry.rejected = true;
      return entry;
    }

    /** Images that were decided on while they were on the page, and that it lacks now. */
    exportedElsewhere() {
      return Object.entries(this.whereabouts())
        .map(([number, place]) => [Number(number), place])
        .filter(([number, place]) => place && store.imageOf(number) === undefined)
        .map(([number, place]) => {
          const own = this.moved.get(number) ?? this.home[place.cluster];
          return this.entry(place, own, this.moved.has(number), this.rejected.has(number));
        });
    }

    /** Take over an exported file, as one decision that can be undone. */
    import(file) {
      if (file?.format !== "skscan decisions" || file.format_version !== 1) {
        throw new Error("This file holds no decisions of skscan.");
      }
      if (file.run !== content.run.id) throw new Error("These decisions are on another run.");
      const changes = [];
      const wanted = new Map(file.classes.map((known) => [known.id, known]));
      for (const known of this.list()) {
        if (!wanted.has(known.id)) changes.push(["class", known.id, { ...known }, null]);
      }
      for (const { id, name, named, reviewed } of file.classes) {
        const known = this.classes.get(id);
        const number = /^new-(\d+)$/.exec(id);
        const order = number ? content.run.n_clusters + Number(number[1]) - 1 : Number(id);
        const after = { id, order, name: named ? name : null, reviewed, made: Boolean(number) };
        changes.push(["class", id, known ? { ...known } : null, after]);
      }
      for (const { id, clusters } of file.classes) {
        for (const cluster of clusters) changes.push(["home", cluster, this.home[cluster], id]);
      }
      const byPath = new Map(file.images.map((entry) => [entry.path, entry]));
      for (let image = 0; image < images.n; image++) {
        const entry = byPath.get(store.path(image));
        const to = entry?.moved ? entry.class : null;
        const number = store.numberOf(image);
        changes.push(["image", number, this.moved.get(number) ?? null, to]);
        changes.push(["rejected", number, this.isRejected(image), Boolean(entry?.rejected)]);
      }
      const differing = changes.filter(([, , a, b]) => JSON.stringify(a) !== JSON.stringify(b));
      this.decide("Took over decisions from a file", differing);
    }
  }

  window.skscan.review = new Review();
})();
