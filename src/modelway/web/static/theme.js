// Before the first paint: what only script can use is shown, and the theme this browser chose holds.
document.documentElement.classList.add("scripted");
const chosen = localStorage.getItem("modelway-theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
