// A grid of thumbnails of any number of images, of which only those in view are drawn; images are
// selected by click, Shift, arrow keys and Space.
(function () {
  "use strict";
  const { el, store, review, visible, percent } = window.skscan;
  const { images } = store;
  const ROWS_AROUND = 2;

  /** What a thumbnail shows, in words. */
  function describe(image) {
    const parts = [visible(store.name(image)), visible(review.nameOf(review.classOf(image)))];
    parts.push(`confidence ${percent(images.confidence[image] / 65535)}`);
    if (review.isRejected(image)) parts.push("rejected");
    return parts.join(", ");
  }

  /** An <img> of an image's thumbnail. */
  function thumbnail(image, properties) {
    const img = el("img", { alt: describe(image), decoding: "async", class: "thumb", ...properties });
    store.showThumbnail(img, image);
    return img;
  }

  class Gallery {
    constructor(label, onSelect) {
      this.onSelect = onSelect;
      this.images = [];
      this.selected = new Set();
      this.active = 0;
      this.anchor = 0;
      this.tiles = new Map();
      this.space = el("div", { class: "gallery-space", role: "presentation" });
      this.element = el(
        "div",
        {
          class: "gallery",
          role: "listbox",
          "aria-multiselectable": "true",
          "aria-label": label,
          tabindex: 0,
          onscroll: () => this.later(),
          onkeydown: (event) => this.key(event),
          onclick: (event) => this.click(event),
        },
        this.space,
      );
      this.observer = new ResizeObserver(() => this.draw());
      this.observer.observe(this.element);
    }

    /** Show these images; keeps what is selected of them. */
    show(list) {
      this.images = list;
      const known = new Set(list);
      for (const image of this.selected) if (!known.has(image)) this.selected.delete(image);
      this.active = Math.min(this.active, Math.max(0, list.length - 1));
      this.anchor = this.active;
      for (const tile of this.tiles.values()) tile.remove();
      this.tiles.clear();
      this.draw();
      this.onSelect(this.selected);
    }

    later() {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => {
        this.waiting = false;
        this.draw();
      });
    }

    draw() {
      const { clientWidth, clientHeight, scrollTop } = this.element;
      if (clientWidth === 0) return;
      const width = clientWidth < 520 ? 84 : 112;
      const columns = Math.max(1, Math.floor((clientWidth - 8) / width));
      const cell = Math.floor((clientWidth - 8) / columns);
      if (cell !== this.cell || columns !== this.columns) {
        for (const tile of this.tiles.values()) tile.remove();
        this.tiles.clear();
      }
      this.columns = columns;
      this.cell = cell;
      this.space.style.height = `${Math.ceil(this.images.length / columns) * cell + 8}px`;
      const first = Math.max(0, Math.floor(scrollTop / cell) - ROWS_AROUND) * columns;
      const rows = Math.ceil(clientHeight / cell) + 2 * ROWS_AROUND + 1;
      const end = Math.min(this.images.length, first + rows * columns);
      for (const [place, tile] of this.tiles) {
        if (place < first || place >= end) {
          tile.remove();
          this.tiles.delete(place);
        }
      }
      for (let place = first; place < end; place++) {
        if (!this.tiles.has(place)) this.tiles.set(place, this.make(place));
      }
      this.mark();
    }

    make(place) {
      const image = this.images[place];
      const tile = el(
        "div",
        {
          class: "tile",
          role: "option",
          id: `tile-${place}`,
          title: describe(image),
          "data-place": place,
          "aria-posinset": place + 1,
          "aria-setsize": this.images.length,
          style: {
            left: `${4 + (place % this.columns) * this.cell}px`,
            top: `${4 + Math.floor(place / this.columns) * this.cell}px`,
            width: `${this.cell - 6}px`,
            height: `${this.cell - 6}px`,
          },
        },
        thumbnail(image),
        el("span", { class: "tile-check", "aria-hidden": "true" }, "✓"),
      );
      if (review.isRejected(image)) tile.classList.add("rejected");
      this.space.append(tile);
      return tile;
    }

    mark() {
      for (const [place, tile] of this.tiles) {
        const selected = this.selected.has(this.images[place]);
        tile.setAttribute("aria-selected", selected);
        tile.classList.toggle("active", place === this.active);
      }
      if (this.images.length) {
        this.element.setAttribute("aria-activedescendant", `tile-${this.active}`);
      }
    }

    click(event) {
      const tile = event.target.closest(".tile");
      if (!tile) return;
      const place = Number(tile.dataset.place);
      if (event.shiftKey) this.selectRange(this.anchor, place);
      else {
        this.toggle(place);
        this.anchor = place;
      }
      this.active = place;
      this.mark();
      this.onSelect(this.selected);
    }

    toggle(place) {
      const image = this.images[place];
      if (image === undefined) return;
      if (!this.selected.delete(image)) this.selected.add(image);
    }

    selectRange(from, to) {
      for (let place = Math.min(from, to); place <= Math.max(from, to); place++) {
        this.selected.add(this.images[place]);
      }
    }

    selectAll(all) {
      this.selected = new Set(all ? this.images : []);
      this.mark();
      this.onSelect(this.selected);
    }

    key(event) {
      const page = Math.max(1, Math.floor(this.element.clientHeight / this.cell)) * this.columns;
      const steps = {
        ArrowRight: 1,
        ArrowLeft: -1,
        ArrowDown: this.columns,
        ArrowUp: -this.columns,
        PageDown: page,
        PageUp: -page,
        Home: -Infinity,
        End: Infinity,
      };
      if (event.key in steps) {
        const last = this.images.length - 1;
        const to = Math.max(0, Math.min(last, this.active + steps[event.key]));
        if (event.shiftKey) this.selectRange(this.active, to);
        this.active = to;
        this.reveal();
      } else if (event.key === " ") {
        this.toggle(this.active);
        this.anchor = this.active;
      } else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) {
        this.selectAll(true);
      } else return;
      event.preventDefault();
      this.mark();
      this.onSelect(this.selected);
    }

    reveal() {
      const top = Math.floor(this.active / this.columns) * this.cell;
      const { scrollTop, clientHeight } = this.element;
      if (top < scrollTop) this.element.scrollTop = top;
      else if (top + this.cell + 8 > scrollTop + clientHeight) {
        this.element.scrollTop = top + this.cell + 8 - clientHeight;
      }
      this.draw();
    }

    close() {
      this.observer.disconnect();
    }
  }

  Object.assign(window.skscan, { Gallery, thumbnail, describe });
})();
