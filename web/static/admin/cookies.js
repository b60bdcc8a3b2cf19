// Over https our cookies have a prefix that no other host can set; the library asks for them without it.
const plainCookies = window.Cookies;
window.Cookies = {
  get: (name) => plainCookies.get(`__Host-${name}`) ?? plainCookies.get(name),
  set: (...given) => plainCookies.set(...given),
  remove: (...given) => plainCookies.remove(...given),
};
