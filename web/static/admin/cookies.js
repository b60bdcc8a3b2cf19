// Over https, cookies have the prefix `__Host-`; adds it when starlette-admin reads a cookie by its plain name.
const plainCookies = window.Cookies;
window.Cookies = {
  get: (name) => plainCookies.get(`__Host-${name}`) ?? plainCookies.get(name),
  set: (...given) => plainCookies.set(...given),
  remove: (...given) => plainCookies.remove(...given),
};
