// Decisions are kept by the server: each is saved at once. Every tab knows which version its
// decisions are built on; the server takes them only if no other tab has saved since.
(function () {
  "use strict";
  const { store, review, merging, say, count } = window.skscan;
  const SECONDS_TO_WAIT = 2;

  let base = { version: 0, log: [], cursor: 0 };
  let tell = () => {};
  let wanted = false;
  let saving = false;
  let stopped = false; // the server holds another run by now
  let failing = false;
  const otherTabs = new BroadcastChannel(`skscan ${location.pathname}`);

  const snapshot = (version) => ({ version, log: [...review.log], cursor: review.cursor });

  class Refused extends Error {}

  async function ask(address, options) {
    const response = await fetch(address, { cache: "no-store", ...options });
    if (response.ok || response.status === 409) return response;
    const answer = await response.json().catch(() => ({}));
    const error = new Refused(answer.error || `the server answers ${response.status}`);
    error.status = response.status;
    throw error;
  }

  /** Put what this tab has not saved yet on top of what another has saved. */
  function merge({ version, decisions }) {
    const mine = merging.decisionsBetween(base, review);
    review.restore(decisions.review);
    base = snapshot(version);
    const nLost = merging.decideAgain(mine);
    if (nLost > 0) {
      const lost = count(nLost, "change");
      say(`Another tab decided at the same time; ${lost} of this tab could not be kept beside that.`, true);
    }
  }

  async function saveOnce() {
    for (;;) {
      if (merging.decisionsBetween(base, review).length === 0) return;
      const sent = snapshot(base.version);
      const { log, cursor } = sent;
      const decisions = { ...review.exported(true), review: { ...review.state(), log, cursor } };
      const response = await ask("decisions", {
        method: "PUT",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ based_on: base.version, decisions }),
      });
      const answer = await response.json();
      if (response.status === 409) {
        merge(answer);
        continue;
      }
      base = { ...sent, version: answer.version };
      otherTabs.postMessage(base.version);
      return;
    }
  }

  async function saveAll() {
    saving = true;
    while (wanted && !stopped) {
      wanted = false;
      try {
        await saveOnce();
        if (failing) say("Saved: the server answers again.");
        failing = false;
      } catch (error) {
        wanted = true;
        failing = true;
        stopped = error.status === 410;
        if (stopped) say(`Not saved: ${error.message}.`, true);
        else if (error instanceof Refused) say(`${store.keeping.failed} (${error.message})`, true);
        else say(store.keeping.failed, true);
        if (!stopped) await new Promise((resolve) => setTimeout(resolve, 1000 * SECONDS_TO_WAIT));
      }
    }
    saving = false;
  }

  /** Look whether another tab has saved something. */
  async function look() {
    if (saving || stopped) return; // saving finds it out by itself
    try {
      const found = await (await ask("decisions")).json();
      if (!saving && found.version > base.version) {
        tell(found.decisions.review);
        base = snapshot(found.version);
      }
    } catch {
      // the next decision tells whether the server is gone
    }
  }

  Object.assign(store, {
    keeping: {
      until: "is saved to disk at once",
      now: "They are saved to disk at once. To carry them out",
      failed:
        "Not saved: the server does not answer. It is tried again; leave this page open, or export.",
      unreadable: "What was saved cannot be read, and is left out.",
      exported: "Saved a copy of decisions.json, which is kept in the results folder anyway.",
    },

    async load() {
      const found = await (await ask("decisions")).json();
      if (found.decisions === null) return null;
      const { review: state } = found.decisions;
      if (!state) {
        review.import(found.decisions); // exported elsewhere: one step, saved with the next
        return null;
      }
      base = { version: found.version, log: [...state.log], cursor: state.cursor };
      return state;
    },

    async save() {
      wanted = true;
      if (!stopped && !saving) await saveAll();
    },

    /** Whether something is decided that is not on disk yet. */
    unsaved: () => saving || wanted,

    onChange(callback) {
      tell = callback;
      otherTabs.addEventListener("message", look);
      document.addEventListener("visibilitychange", () => document.hidden || look());
      addEventListener("focus", look);
    },
  });

  addEventListener("beforeunload", (event) => {
    if (store.unsaved()) event.preventDefault();
  });
})();
