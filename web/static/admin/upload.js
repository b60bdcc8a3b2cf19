// Sends the file's modification time with it: the figures count as of that time, unless the file states another.
(() => {
  "use strict";

  const form = document.querySelector("[data-upload]");
  const note = () => {
    form.elements.modified_ms.value = form.elements.file.files[0]?.lastModified ?? "";
  };
  form?.elements.file.addEventListener("change", note);
  form?.addEventListener("submit", note); // a file may have been chosen before this script ran
})();
