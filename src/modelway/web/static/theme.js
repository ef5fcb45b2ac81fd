// Before the first paint: the theme this browser chose. Without a choice the system's holds.
const chosen = localStorage.getItem("modelway-theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
