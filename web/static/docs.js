// Shows the OpenAPI document that the page names; an entered API key is kept only in this tab.
"use strict";

const place = document.getElementById("docs");
window.SwaggerUIBundle({
  url: place.dataset.openapi,
  domNode: place,
  deepLinking: false, // it would put links into buttons
  validatorUrl: null,
  defaultModelsExpandDepth: -1, // the list of schemas has buttons within buttons; each operation shows its own
});

// Names the selects of media types, which Swagger UI leaves without an accessible name.
new MutationObserver(() => {
  for (const choice of place.querySelectorAll("select:not([aria-label])")) {
    choice.setAttribute("aria-label", "media type");
  }
}).observe(place, { childList: true, subtree: true });
