// Copies the secret; loading the page anew leads to the list, not to another secret.
const card = document.querySelector("[data-instead]");
history.replaceState(null, "", card.dataset.instead);
card.querySelector("[data-copy]").addEventListener("click", async ({ currentTarget }) => {
  const field = document.getElementById(currentTarget.dataset.copy);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // without https a browser has no clipboard for scripts
  }
  card.querySelector("[data-copied]").hidden = false;
});
