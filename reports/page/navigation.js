// The section that is read is marked in the navigation.
{
  const links = [...document.querySelectorAll("nav[aria-label='Sections'] a")];
  const mark = (id) => links.forEach((link) => (link.hash === `#${id}` ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
  const seen = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => isIntersecting && mark(target.id)), { rootMargin: "-25% 0px -70% 0px" });
  for (const link of links) seen.observe(document.querySelector(link.hash));
}
