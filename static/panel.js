// Small comforts on pages that work without them: show a password, copy, print, tick a page, close a menu, and "/" to search.

for (const button of document.querySelectorAll("[data-reveal]")) {
  const input = document.getElementById(button.dataset.reveal);
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shown));
  });
  input.form?.addEventListener("submit", () => { input.type = "password"; });
}

function offerToCopy(part) {
  for (const button of part.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
}
offerToCopy(document);
document.addEventListener("htmx:load", (event) => offerToCopy(event.detail.elt));
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.querySelector("span").textContent = button.dataset.copied;
});

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

for (const all of document.querySelectorAll("[data-picks]")) {
  const box = all.querySelector("input");
  const picks = all.closest("table").querySelectorAll("tbody .pick input");
  all.hidden = false;
  box.addEventListener("change", () => { for (const pick of picks) pick.checked = box.checked; });
  picks[0]?.form?.addEventListener("reset", () => { box.checked = false; });
}

function closeMenus(but) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu.contains(but)) continue;
    if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
    menu.open = false;
  }
}
document.addEventListener("click", (event) => closeMenus(event.target));

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenus(null);
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  const find = document.getElementById("find");
  if (event.key === "/" && find && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    find.focus();
  }
});
