// The section that is read is marked in the navigation.
{
  const links = [...document.querySelectorAll("nav[aria-label='Sections'] a")];
  const mark = (id) => {
    for (const link of links) {
      if (link.hash === `#${id}`) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  const watch = new IntersectionObserver(
    (entries) => entries.forEach((each) => each.isIntersecting && mark(each.target.id)),
    { rootMargin: "-25% 0px -70% 0px" },
  );
  for (const link of links) watch.observe(document.querySelector(link.hash));
}
