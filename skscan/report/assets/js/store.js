// The one way to the data: what the run found, thumbnails, and where decisions are kept. Where a
// server keeps them, it replaces keeping, load, save and onChange.
(function () {
  "use strict";

  const content = JSON.parse(document.getElementById("page-data").textContent);
  const KEY = `skscan-decisions-${content.run.id}`;

  const ARRAYS = { u1: Uint8Array, "<u2": Uint16Array, "<u4": Uint32Array, "<i4": Int32Array };

  function unpack(base64, type) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new ARRAYS[type](bytes.buffer);
  }

  const packed = content.images;
  const images = {
    n: content.n_shown,
    x: unpack(packed.x, "<u2"),
    y: unpack(packed.y, "<u2"),
    cluster: unpack(packed.cluster, "<i4"),
    second: unpack(packed.second, "<i4"),
    confidence: unpack(packed.confidence, "<u2"), // 65535 is 1
    agreement: unpack(packed.agreement, "u1"), // 255 is 1
    typical: unpack(packed.typical, "<u4"),
    odd: unpack(packed.odd, "<u4"),
  };
  const folders = unpack(packed.folder, "<u4");

  // What an image goes by in decisions, which outlast its place on the page: when images were added
  // or are gone, the others have other places. Null where the two are the same.
  const numbers = packed.number === null ? null : unpack(packed.number, "<u4");
  let imageByNumber = null;

  function imageOf(number) {
    if (numbers === null) return number < images.n ? number : undefined;
    if (imageByNumber === null) {
      imageByNumber = new Map();
      numbers.forEach((own, image) => imageByNumber.set(own, image));
    }
    return imageByNumber.get(number);
  }

  const thumbnails = content.thumbnails;
  let places = null; // of embedded thumbnails: image -> line
  const chunks = [];

  function placeOf(image) {
    if (places === null) {
      places = new Int32Array(images.n);
      thumbnails.order.forEach((number, place) => (places[number] = place));
    }
    return places[image];
  }

  function embedded(image) {
    const place = placeOf(image);
    const number = Math.floor(place / thumbnails.per_chunk);
    if (!chunks[number]) {
      const block = document.getElementsByClassName("thumbnails")[number];
      const followed = block && (block.nextElementSibling || document.readyState !== "loading");
      if (!followed) return undefined; // the browser has not read so far yet
      chunks[number] = block.textContent.trimStart().split("\n");
    }
    const data = chunks[number][place % thumbnails.per_chunk];
    return data ? `data:image/${thumbnails.type};base64,${data}` : null;
  }

  const absent = new Set(thumbnails.missing);
  const names = thumbnails.names === null ? null : unpack(thumbnails.names, "u1");
  const NAME_BYTES = 8;

  function nameOf(image) {
    const bytes = names.subarray(NAME_BYTES * image, NAME_BYTES * (image + 1));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function address(image) {
    if (absent.has(image)) return null;
    if (thumbnails.folder === null) return embedded(image);
    const name = names === null ? String(image) : nameOf(image);
    const folder = names === null ? Math.floor(image / thumbnails.per_folder) : name.slice(0, 2);
    return `${thumbnails.folder}/${folder}/${name}.${thumbnails.type}`;
  }

  const NOTHING = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";

  function missing(img) {

    img.src = NOTHING;
    img.classList.add("missing");
  }

  window.skscan.store = {
    /** Everything about the run that is no array over images. */
    content,
    images,

    /** What decisions know an image by, and the image of such a number; undefined if not here. */
    numberOf: (image) => (numbers === null ? image : numbers[image]),
    imageOf,

    /** The path of an image, as the run was given it. */
    path: (image) => packed.folders[folders[image]] + packed.names[image],
    folder: (image) => packed.folders[folders[image]].replace(/\/$/, "").replace(/^.*\//, ""),
    name: (image) => packed.names[image].replace(/^.*\\/, ""),

    /** Show the thumbnail of an image in an <img>, as soon as it is there. */
    showThumbnail(img, image) {
      const url = address(image);
      img.classList.remove("missing");
      if (url === undefined) {
        img.dataset.image = image;
        document.addEventListener("readystatechange", () => {
          if (img.dataset.image === String(image)) window.skscan.store.showThumbnail(img, image);
        }, { once: true });
        return;
      }
      delete img.dataset.image;
      img.onerror = () => missing(img);
      if (url === null) missing(img);
      else img.src = url;
    },

    /** In words, where decisions are kept. */
    keeping: {
      until: "is kept in this browser until you export it",
      now: "They are kept in this browser at once. Export them to carry them out",
      failed: "This browser does not keep decisions here. Export them before you close the page.",
      unreadable: "What this browser had kept cannot be read, and is left out.",
      exported: "Saved decisions.json.",
    },

    /** What was decided earlier, or null. */
    async load() {
      const text = localStorage.getItem(KEY);
      return text === null ? null : JSON.parse(text);
    },

    /** Keep what is decided; rejects if it cannot be kept. */
    async save(state) {
      localStorage.setItem(KEY, JSON.stringify(state));
    },

    /** Call back with what another tab has decided on the same run. */
    onChange(callback) {
      window.addEventListener("storage", (event) => {
        if (event.key === KEY && event.newValue) callback(JSON.parse(event.newValue));
      });
    },
  };
})();
