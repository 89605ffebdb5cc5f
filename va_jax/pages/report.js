/** The page of an evaluation, a comparison or an audience. */
const printAll = drawWhenSeen(JSON.parse(document.getElementById("facts").textContent));
document.getElementById("print").addEventListener("click", printAll);

for (const link of document.querySelectorAll("a[href^='#']")) {
  link.addEventListener("click", () => {
    const folded = document.querySelector(link.getAttribute("href"))?.closest("details");
    if (folded) folded.open = true;
  });
}
