// A file's time of change goes with it: it says when the figures were true, where the file itself does not.
(() => {
  "use strict";

  const form = document.querySelector("[data-upload]");
  form?.elements.file.addEventListener("change", (event) => {
    form.elements.modified_ms.value = event.target.files[0]?.lastModified ?? "";
  });
})();
