// Small helpers that every other file uses. Text from outside (names of files and classes) reaches
// the page through text nodes and attributes only, never as HTML.
(function () {
  "use strict";
  const skscan = (window.skscan = {});

  const SVG = "http://www.w3.org/2000/svg";
  const SVG_TAGS = new Set(["svg", "g", "path", "rect", "line", "text", "title", "circle"]);

  // Control characters, halves of surrogate pairs (bytes that are no UTF-8) and marks that turn the
  // direction of writing: they could make one name look like another.
  const UNSEEN = /[\p{Cc}\p{Cs}\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/gu;

  function escapeUnseen(character) {
    const code = character.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) return "\\x" + (code - 0xdc00).toString(16);
    if (character === "\n") return "\\n";
    return code < 256
      ? "\\x" + code.toString(16).padStart(2, "0")
      : "\\u" + code.toString(16).padStart(4, "0");
  }

  /** Return a name as one line in which nothing is hidden. */
  skscan.visible = (name) => String(name).replace(UNSEEN, escapeUnseen);

  /** Make an element: el("p", {class: "note", onclick: f}, "text", child, ...). */
  skscan.el = function (tag, properties, ...children) {
    const element = SVG_TAGS.has(tag)
      ? document.createElementNS(SVG, tag)
      : document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "style") Object.assign(element.style, value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  };

  /** A name from outside, kept from changing the direction of the text around it. */
  skscan.named = (name) => skscan.el("bdi", {}, skscan.visible(name));

  skscan.button = (label, onclick, properties) =>
    skscan.el("button", { type: "button", onclick, ...properties }, label);

  skscan.number = (value) => value.toLocaleString("en-US");

  skscan.percent = function (share) {
    const value = 100 * share;
    if (value > 0 && value < 1) return "<1 %";
    if (value > 99 && value < 100) return ">99 %";
    return `${Math.round(value)} %`;
  };

  skscan.count = (n, one, many) => `${skscan.number(n)} ${n === 1 ? one : many || one + "s"}`;

  /** Say something for a few seconds, also to screen readers. */
  let timer = 0;
  skscan.say = function (message, lasting) {
    const status = document.getElementById("status");
    status.textContent = message;
    if (status.showPopover) {
      // once more on top of what has been opened since
      status.togglePopover(false);
      status.togglePopover(true);
    }
    status.classList.add("shown");
    clearTimeout(timer);
    timer = setTimeout(() => status.classList.remove("shown"), lasting ? 15000 : 4000);
  };

  // Colours of classes: told apart on light and on dark paper; further ones go round the wheel.
  const COLORS = [
    "#3f7fd0", "#e07b28", "#3a9b58", "#d1495b", "#8a63c9", "#9a6b4f", "#d867a8", "#7d8590",
    "#a3a032", "#2fa6b5", "#5b5fc7", "#c98a1b", "#2f8f7f", "#b0413e", "#b06bd1", "#6d8f2f",
  ];
  skscan.color = function (order) {
    if (order < COLORS.length) return COLORS[order];
    return `hsl(${Math.round((order * 137.508) % 360)} 52% 54%)`;
  };
})();
