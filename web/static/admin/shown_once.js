// Copies the secret. Reloading the page opens the list instead of creating another secret.
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
