// What the library's pages do by handlers within their tags, which the page's policy forbids.
document.addEventListener("change", ({ target }) => {
  if (target.matches("[data-goes-to-value]")) window.location = target.value;
});
document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-applies-columns]")) applyColumnVisibility();
});
