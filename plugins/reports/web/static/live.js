"use strict";
// Keeps a live page current: an event of the server makes it ask for itself again. Without it the page reloads.

document.addEventListener("DOMContentLoaded", () => {
  const live = document.getElementById("live");
  const connection = document.getElementById("connection");
  const PAUSE_MS = 300, PATIENCE_MS = 2500, RETRY_MS = 3000;
  let source = null, busy = false, again = false, doubt = 0;

  const say = (text, look) => {
    if (connection.textContent === text) return;
    connection.textContent = text;
    connection.className = `pill ${look}`;
  };

  const lost = () => {
    doubt ||= setTimeout(() => say("connection lost: trying again", "failed"), PATIENCE_MS);
  };

  const found = () => {
    clearTimeout(doubt);
    doubt = 0;
    say("connected", "success");
  };

  const refresh = async () => {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    again = false;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      live.dataset.events = fresh.dataset.events;
      live.replaceChildren(...fresh.childNodes);
    } catch {
      lost();
    }
    setTimeout(() => {
      busy = false;
      if (again) refresh();
    }, PAUSE_MS);
  };

  const open = () => {
    source = new EventSource(live.dataset.events);
    source.onopen = () => {
      found();
      refresh();
    };
    source.onmessage = refresh;
    source.onerror = () => {
      lost();
      if (source.readyState !== EventSource.CLOSED) return;
      source = null;
      setTimeout(follow, RETRY_MS);
    };
  };

  // Browsers allow six connections to a server: a page that nobody sees holds none.
  const follow = () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source) {
      open();
    }
  };

  document.addEventListener("visibilitychange", follow);
  follow();
});
