// Small behaviour of every page: ages that keep counting, notes that leave, charts that follow the theme.
(() => {
  const STEPS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const words = (age) => {
    for (const [size, unit] of STEPS) if (age >= size) return `${Math.floor(age / size)} ${unit} ago`;
    return "just now";
  };
  const tick = () => {
    for (const stamp of document.querySelectorAll("time[data-ago]")) {
      const text = words((Date.now() - Date.parse(stamp.dateTime)) / 1000);
      if (stamp.textContent !== text) stamp.textContent = text;
    }
  };
  setInterval(tick, 1000);

  const note = (text, tone = "danger") => {
    const box = document.createElement("div");
    box.className = `alert alert-${tone} shadow`;
    box.setAttribute("role", "alert");
    box.textContent = text;
    document.getElementById("notes")?.append(box);
  };
  const notes = document.getElementById("notes");
  if (notes) new MutationObserver((changes) => {
    for (const change of changes) for (const box of change.addedNodes) setTimeout(() => box.remove(), 8000);
  }).observe(notes, { childList: true });

  // A part that cannot be refreshed stays as it was: only an action of the person is worth a note.
  const isAction = (event) => event.detail.requestConfig?.verb !== "get";
  document.addEventListener("htmx:sendError", (event) => { if (isAction(event)) note("PolyHub does not answer. Nothing was changed; try again."); });
  document.addEventListener("htmx:timeout", (event) => { if (isAction(event)) note("That took too long. Look at the page again before you repeat it."); });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const failed = event.detail.xhr.status >= 400;
    if (failed && !isAction(event)) event.detail.shouldSwap = false;
  });

  // But the strip is about now: without an answer it says so instead of repeating what was.
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.target.id === "system-strip") event.target.toggleAttribute("data-stale", !event.detail.successful);
  });

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset?.confirm;
    if (question && !window.confirm(question)) { event.preventDefault(); event.stopImmediatePropagation(); }
  }, true);
  document.addEventListener("change", (event) => {
    const switcher = event.target.closest("[data-shows]");
    if (switcher) show(switcher);
    if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
  });
  const show = (switcher) => {
    const chosen = switcher.querySelector("input:checked")?.value;
    for (const part of document.querySelectorAll("[data-shown-for]")) part.hidden = part.dataset.shownFor !== chosen;
  };
  document.querySelectorAll("[data-shows]").forEach(show);
})();
