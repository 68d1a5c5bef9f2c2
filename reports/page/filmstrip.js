// The pictures of one strength at a time; without scripts all of them stand side by side.
{
  const control = document.querySelector(".film-control");
  const [slider, output] = [control.querySelector("input"), control.querySelector("output")];
  const rows = [...document.querySelectorAll(".film-row")].map((row) => [...row.querySelectorAll("[data-strength]")]);
  const show = () => {
    const at = Number(slider.value);
    rows.forEach((figures) => figures.forEach((figure, k) => (figure.hidden = k !== at)));
    output.value = rows[0][at].dataset.strength;
    slider.setAttribute("aria-valuetext", `strength ${output.value}`);
  };
  slider.addEventListener("input", show);
  control.hidden = rows[0].length < 2;
  if (rows[0].length > 1) {
    control.parentElement.classList.add("at-one-strength");
    show();
  }
}
