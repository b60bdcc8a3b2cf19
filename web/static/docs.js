// Shows the OpenAPI document that the page names; the key that is entered stays in this tab.
"use strict";

const place = document.getElementById("docs");
window.SwaggerUIBundle({
  url: place.dataset.openapi,
  domNode: place,
  deepLinking: true,
  validatorUrl: null,
});
