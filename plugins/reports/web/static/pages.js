"use strict";
// Inside Airflow's UI: its colour mode, one scroll bar, and links that leave the frame. Without it all pages still work.

const outer = (() => {
  try {
    return window.parent === window ? null : window.parent.document;
  } catch {
    return null;
  }
})();

const follow = () => {
  const { classList } = outer.documentElement;
  const mode = classList.contains("dark") ? "dark" : classList.contains("light") ? "light" : "light dark";
  const report = document.querySelector("iframe.report")?.contentDocument;
  for (const page of [document, report]) page?.documentElement?.style.setProperty("color-scheme", mode);
};

if (outer) {
  follow();
  new MutationObserver(follow).observe(outer.documentElement, { attributeFilter: ["class"] });
}

document.addEventListener("DOMContentLoaded", () => {
  const frame = document.querySelector("iframe.report");
  if (!frame) return;
  const settle = () => {
    const inner = frame.contentDocument;
    if (!inner?.body) return;
    if (outer) follow();
    const fit = () => { frame.style.height = `${inner.documentElement.getBoundingClientRect().height + 4}px`; };
    fit();
    new ResizeObserver(fit).observe(inner.documentElement);
    inner.addEventListener("click", (event) => {
      const link = event.target.closest("a[href]");
      if (!link || link.hash) return;
      event.preventDefault();
      const away = (outer ?? document).createElement("a");
      Object.assign(away, { href: link.href, target: outer ? "_top" : "_blank", rel: "noopener" });
      away.click();
    });
  };
  frame.addEventListener("load", settle);
  if (frame.contentDocument?.readyState === "complete") settle();
});
