// What the pages that make something share: the command that would make it, and how far the work is that does.
import { ask, AT_WORK, command, duration, el, fail, follow, h, progressOf, stateOf, stop, trying } from "./studio.js";

/** Shows, a little after it was called last, the command that `address` says for `asked()`; where that says nothing, `instead`. */
export function commandTeller(address, asked, { wait = 120, instead = () => [] } = {}) {
  let later = 0, told = "";
  const none = (...shown) => { el("command").replaceChildren(...shown); told = ""; };
  return () => {
    clearTimeout(later);
    later = setTimeout(async () => {
      try {
        const body = asked();
        if (!body) return none(...instead());
        const found = (await ask(address, { body })).command;
        if (found !== told) el("command").replaceChildren(command(found));
        told = found;
      } catch (error) { if (error.status !== 422) fail(error); else none(h("p", { class: "warning" }, error.message)); }
    }, wait);
  };
}

/** Shows a piece of work, the newest only, under what `title` says of its record; tells what it made, once it is done. */
export function workWatcher(title = (record) => record.title) {
  let watched = null;
  return async (work) => {
    if (watched) watched.abort();
    watched = new AbortController();
    el("work-section").hidden = false;
    el("stop").onclick = trying(() => stop(work));
    const end = await follow(work.record.number, ({ work: now }) => {
      const atWork = AT_WORK.includes(now.state);
      el("work-title").textContent = title(now.record);
      el("work-state").replaceChildren(stateOf(now), ` ${duration(now.seconds)}`);
      el("stop").hidden = !atWork;
      el("work-progress").replaceChildren(...(atWork ? [progressOf(now)] : []));
      el("work-said").textContent = now.said || (atWork && now.progress ? now.progress.words : "");
    }, { signal: watched.signal });
    return end && end.work.state === "done" ? end.work.record.makes : null;
  };
}
