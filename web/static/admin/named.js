// Names the fields of several choices by their labels for screen readers; starlette-admin does so for single choices only.
(() => {
  "use strict";

  function nameFields() {
    for (const selection of document.querySelectorAll(".select2-selection--multiple:not([aria-labelledby])")) {
      const label = document.querySelector(`label[for="${selection.closest(".select2").previousElementSibling?.id}"]`);
      if (!label) continue;
      label.id ||= `${label.htmlFor}-label`;
      selection.setAttribute("aria-labelledby", label.id);
    }
  }

  new MutationObserver(nameFields).observe(document.body, { childList: true, subtree: true });
  nameFields();
})();
