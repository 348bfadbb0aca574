// Light or dark before the first paint: what was chosen here, else what the system prefers.
(() => {
  const KEY = "polyhub-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const apply = () => document.documentElement.setAttribute("data-bs-theme", chosen() || (dark.matches ? "dark" : "light"));
  apply();
  dark.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    const next = document.documentElement.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    try { localStorage.setItem(KEY, next); } catch { /* a private window: the choice lasts for this page */ }
    document.documentElement.setAttribute("data-bs-theme", next);
    document.dispatchEvent(new CustomEvent("hub:theme", { detail: next }));
  });
})();
