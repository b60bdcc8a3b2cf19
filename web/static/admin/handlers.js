// Replaces inline handlers of starlette-admin's pages, which the content security policy forbids.
document.addEventListener("change", ({ target }) => {
  if (target.matches("[data-goes-to-value]")) window.location = target.value;
});
document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-applies-columns]")) applyColumnVisibility();
});
