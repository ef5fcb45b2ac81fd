// What every page gains from script: the theme button and the copy buttons. Pages work without it.

const root = document.documentElement;

function isDark() {
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  localStorage.setItem("modelway-theme", root.dataset.theme);
});

export function say(text) {
  document.getElementById("said").textContent = text;
}

export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Browsers offer the clipboard only to secure pages; a gateway on a plain http address is none.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// One listener for all buttons, those that arrive later included.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  await copy("value" in source ? source.value : source.textContent);
  const label = button.textContent;
  button.textContent = "Copied";
  say("Copied");
  setTimeout(() => { button.textContent = label; }, 1500);
});

// On a phone the filters would hide what they filter.
if (matchMedia("(max-width: 60rem)").matches) {
  for (const details of document.querySelectorAll("details.narrow")) details.open = false;
}
