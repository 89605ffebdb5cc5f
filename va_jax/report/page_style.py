"""The frame of an HTML page that needs nothing but itself: its head, its looks, its one script."""

import base64
import hashlib
import html

STYLE = """
:root { --ink: #1d2125; --pale: #626a73; --line: #dfe3e8; --soft: #f5f7f9; --link: #1f5fa8; }
* { box-sizing: border-box; }
html { scroll-padding-top: 3.2rem; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 0 1.5rem 4rem; max-width: 76rem; color: var(--ink);
  background: #fff; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
  "Noto Sans", "Liberation Sans", Arial, sans-serif; overflow-wrap: anywhere; }
a { color: var(--link); text-decoration: none; }
a:hover, a:focus-visible { text-decoration: underline; }
h1 { margin: 2.2rem 0 .8rem; font-size: 1.75rem; line-height: 1.2; font-weight: 650; }
h2 { margin: 3.2rem 0 .6rem; padding-top: 1.2rem; border-top: 1px solid var(--line);
  font-size: 1.3rem; font-weight: 650; }
section:first-child h2 { margin-top: 1rem; border: 0; }
h3 { margin: 1.8rem 0 .4rem; font-size: 1.02rem; font-weight: 650; }
p, ul { margin: .4rem 0 .8rem; max-width: 50rem; }
.pale, figcaption, caption { color: var(--pale); font-size: .875rem; }
nav { position: sticky; top: 0; z-index: 2; display: flex; gap: 1.2rem; overflow-x: auto;
  margin: 1.4rem -1.5rem 0; padding: .6rem 1.5rem; white-space: nowrap; font-size: .92rem;
  background: #fffffff2; border-bottom: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: 0;
  font-size: .92rem; }
dt { color: var(--pale); }
dd { margin: 0; }
.glance { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0 0; padding: 0;
  max-width: none; list-style: none; }
.glance li { flex: 1 1 13rem; padding: .8rem 1rem; border: 1px solid var(--line);
  border-radius: 8px; }
.glance b { display: block; font-size: 1.9rem; line-height: 1.25; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin: .6rem 0 1rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; }
caption { padding: .4rem 0 .3rem; text-align: left; font-weight: 600; color: var(--ink); }
th, td { padding: .24rem .8rem; text-align: right; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--pale); font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 400; }
th:first-child, .word { text-align: left; }
th:first-child { position: sticky; left: 0; padding-left: 0; background: #fff; }
tr.kind th { padding-top: .9rem; color: var(--pale); font-size: .8rem; font-weight: 600; }
tr.head td:nth-child(2), tr.head th { font-weight: 650; }
td small { display: block; color: var(--pale); font-size: .78rem; line-height: 1.2;
  font-weight: 400; }
.card { width: 100%; min-width: 58rem; table-layout: fixed; }
.card th, .card td { padding-left: .35rem; padding-right: .35rem; }
.card th:first-child { width: 19%; padding-left: 0; overflow: hidden; text-overflow: ellipsis; }
.card thead th:nth-last-child(-n+3) { width: 7.8%; }
.recordings { width: 100%; }
.recordings th:first-child { max-width: 22rem; overflow: hidden; text-overflow: ellipsis; }
.recordings tbody tr:hover > * { background: var(--soft); }
thead button { padding: 0; border: 0; background: none; color: inherit; font: inherit;
  text-align: inherit; cursor: pointer; }
thead button:hover { color: var(--link); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
details { margin: .4rem 0 1rem; }
summary { color: var(--link); font-size: .875rem; cursor: pointer; }
img { display: block; max-width: 100%; height: auto; }
figure { margin: .8rem 0 1.6rem; }
.strip { display: grid; grid-template-columns: repeat(8, minmax(4.5rem, 8rem)); gap: .5rem;
  max-width: 100%; overflow-x: auto; }
.strip figure { margin: 0; text-align: center; font-variant-numeric: tabular-nums; }
.strip img, .strip div { width: 100%; aspect-ratio: 1; border-radius: 4px;
  background: var(--soft); }
.strip div { display: grid; place-items: center; color: var(--pale); font-size: .8rem; }
.out img { opacity: .4; }
.trace { content-visibility: auto; contain-intrinsic-size: auto 430px; }
.trace h3 { display: flex; flex-wrap: wrap; gap: .2rem .9rem; align-items: baseline; }
.trace h3 small { flex: 1; color: var(--pale); font-size: .875rem; font-weight: 400; }
.trace h3 a { font-size: .875rem; font-weight: 400; white-space: nowrap; }
@media (max-width: 46rem) {
  body { padding: 0 1rem 3rem; }
  nav { margin: 1.2rem -1rem 0; padding: .6rem 1rem; }
  h1 { font-size: 1.4rem; margin-top: 1.4rem; }
  .glance li { flex-basis: 9rem; padding: .6rem .8rem; }
  .card th:first-child { width: 9.5rem; }
  .wide img { max-width: none; width: 48rem; }
}
@media print { nav { display: none; } .trace { break-inside: avoid; content-visibility: visible; } }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.onclick = () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const value = row => row.cells[column].dataset.value;
      const order = (a, b) => {
        if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
        return sign * (value(a) - value(b)
          || value(a).localeCompare(value(b), "en", { numeric: true }));
      };
      body.append(...[...body.rows].sort(order));
    };
  });
}
"""
"""Sorts a table by the column whose head is clicked; what has no value comes last."""


def document(title: str, body: str) -> str:
    """The page. Its policy lets a browser load nothing from elsewhere and run no other script."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    policy += f"script-src 'sha256-{digest}'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{body}
<script>{SCRIPT}</script>
</body>
</html>
"""
