// Shows the OpenAPI document that the page names; the key that is entered stays in this tab.
"use strict";

const place = document.getElementById("docs");
window.SwaggerUIBundle({
  url: place.dataset.openapi,
  domNode: place,
  deepLinking: false, // it would put links into buttons
  validatorUrl: null,
  defaultModelsExpandDepth: -1, // the list of schemas has buttons within buttons; each operation shows its own
});

// Swagger UI leaves the choice of a body's or an answer's form without a name.
new MutationObserver(() => {
  for (const choice of place.querySelectorAll("select:not([aria-label])")) {
    choice.setAttribute("aria-label", "form");
  }
}).observe(place, { childList: true, subtree: true });
