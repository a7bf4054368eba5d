"""The style of the page: one column on a phone, side by side where there is room, and on paper."""

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #1a1a1a; line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-bottom: .25rem;
  border-bottom: 2px solid #0072b2; }
h3 { font-size: 1.08rem; margin: 1.75rem 0 .5rem; }
h4 { font-size: 1rem; margin: 1.25rem 0 .1rem; }
p { margin: .25rem 0 .75rem; max-width: 48rem; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .4rem 1.25rem;
  margin: 0; }
dt { font-weight: 600; color: #444; }
dd { margin: 0; max-width: 52rem; overflow-wrap: anywhere; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .9em; }
code span { display: inline-block; max-width: 100%; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: #444; font-size: .9rem; padding-bottom: .35rem; }
th, td { padding: .35rem .9rem; text-align: right; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid #e2e2e2; }
thead th { border-bottom: 1.5px solid #1a1a1a; }
tr > :first-child { text-align: left; padding-left: 0; font-weight: 500; white-space: normal;
  min-width: 8.5rem; }
tbody tr:last-child > * { border-bottom: 1.5px solid #1a1a1a; }
.note { display: block; color: #595959; font-size: .78rem; }
.notes { font-size: .9rem; color: #333; padding-left: 1.1rem; max-width: 52rem; }
.notes li { margin: .3rem 0; }
.failed { border-left: 4px solid #d55e00; background: #fdf3ec; padding: .6rem 1rem .6rem 2rem;
  max-width: 52rem; overflow-wrap: anywhere; }
.grid { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 0; max-width: 36rem; }
figcaption { font-weight: 600; margin-bottom: .25rem; }
img { display: block; max-width: 100%; height: auto; }
@media (max-width: 40rem) {
  main { padding: 1rem .9rem 3rem; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: .6rem; }
  table { font-size: .88rem; }
  th, td { padding: .35rem .3rem; }
  tr > :first-child { min-width: 6rem; max-width: 8rem; }
  .error { display: block; font-size: .9em; }
  td .note { white-space: normal; }
}
@media print {
  main { max-width: none; padding: 0; }
  body { font-size: 9.5pt; }
  .wide { overflow: visible; }
  h2, h3, h4, figcaption { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .grid { grid-template-columns: repeat(3, 1fr); }
}
"""
