"""The style of the report: light and dark by what the reader's system prefers, and on paper. No font is fetched."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f4f6f8; --card: #ffffff; --ink: #1b2129; --soft: #5a6673; --line: #dde3ea; --faint: #eef1f5;
  --pull: #3a6fc4; --push: #1f8a70; --wait: #b9c3ce; --earlier: #8b97a5;
  --good: #1c7c4d; --good-ground: #e3f4ea; --bad: #b3261e; --bad-ground: #fce9e7; --care: #8a5a00;
  --care-ground: #fdf1d8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0d1117; --card: #161b22; --ink: #e6ebf1; --soft: #9aa6b4; --line: #2b333d; --faint: #1e252e;
    --pull: #6c9ef0; --push: #45b798; --wait: #4a5663; --earlier: #8b97a5;
    --good: #5fd39a; --good-ground: #12301f; --bad: #ff8d85; --bad-ground: #3a1715; --care: #f0bf5a;
    --care-ground: #33260a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
main { max-width: 1200px; margin: 0 auto; padding: 28px 20px 60px; }
header { display: flex; flex-wrap: wrap; gap: 6px 16px; align-items: center; }
h1 { margin: 0; font-size: 26px; font-weight: 650; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { margin: 0 0 12px; font-size: 17px; font-weight: 650; }
.about { flex-basis: 100%; margin: 0; color: var(--soft); overflow-wrap: anywhere; }
.pill { padding: 2px 12px; border-radius: 999px; font-size: 14px; font-weight: 600; }
.good { color: var(--good); background: var(--good-ground); }
.bad { color: var(--bad); background: var(--bad-ground); }
.care { color: var(--care); background: var(--care-ground); }
.plain { color: var(--soft); background: var(--faint); }
section {
  margin-top: 18px; padding: 18px 20px; background: var(--card); border: 1px solid var(--line); border-radius: 10px;
}
section.problems { border-left: 4px solid var(--bad); }
section.warnings { border-left: 4px solid var(--care); }
.note { margin: 0 0 12px; color: var(--soft); font-size: 14px; }
.note:last-child { margin-bottom: 0; }
p.headline { margin: 0 0 14px; font-weight: 600; overflow-wrap: anywhere; }
p.headline .step { font-weight: 400; }
ul.told { margin: 0; padding: 0; list-style: none; }
ul.told li { padding: 10px 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
ul.told li:first-child { padding-top: 0; border-top: 0; }
ul.told li:last-child { padding-bottom: 0; }
.subject { display: block; font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.step, .below { display: block; color: var(--soft); }
.step::before { content: "→ "; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-bottom: 18px; }
.tile { padding: 12px 14px; border-radius: 8px; background: var(--faint); }
.tile b { display: block; font-size: 21px; font-weight: 650; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { padding: 6px 10px 6px 0; color: var(--soft); font-weight: 600; text-align: left; white-space: nowrap; }
td { padding: 7px 10px 7px 0; border-top: 1px solid var(--line); vertical-align: top; }
th.number, td.number { text-align: right; white-space: nowrap; padding-right: 18px; }
td.name { font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
td.name { min-width: 260px; }
td.reason { min-width: 240px; overflow-wrap: anywhere; }
td.source { color: var(--soft); }
td.outcome { min-width: 124px; }
.unbroken { white-space: nowrap; }
td.stage { width: 45%; padding-right: 0; vertical-align: middle; }
.chip { padding: 1px 8px; border-radius: 999px; font-size: 12.5px; font-weight: 600; white-space: nowrap; }
.chart, .treemap { display: block; width: 100%; height: auto; }
.chart text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--soft); }
.chart .label { font: 11.5px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: var(--ink); }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .waiting { stroke: var(--wait); stroke-width: 2; }
.chart .pull, .key.pull { fill: var(--pull); background: var(--pull); }
.chart .push, .key.push { fill: var(--push); background: var(--push); }
.chart .column { shape-rendering: crispEdges; }
.chart .track { fill: var(--faint); } .chart .span { fill: var(--soft); }
.chart .span.pull { fill: var(--pull); } .chart .span.push { fill: var(--push); }
.chart .earlier { fill: url(#earlier-hatch); stroke: var(--earlier); stroke-width: 1; }
.chart .hatch { fill: var(--earlier); }
.chart .failed { fill: var(--bad-ground); stroke: var(--bad); stroke-width: 1.5; }
.chart .cross { fill: var(--bad); font-weight: 700; }
.chart .span.failed { fill: var(--bad); stroke: none; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 0 0 12px; color: var(--soft); font-size: 13px; }
.entry { display: inline-flex; align-items: center; gap: 7px; }
.key { display: inline-block; width: 18px; height: 11px; border-radius: 2px; }
.key.waiting { height: 2px; background: var(--wait); }
.key.earlier {
  border: 1px solid var(--earlier);
  background: repeating-linear-gradient(45deg, var(--earlier) 0 2px, transparent 2px 5px);
}
.key.failed { background: var(--bad-ground); border: 1.5px solid var(--bad); }
.cells { display: flex; flex-wrap: wrap; gap: 3px; margin: 0 0 14px; }
.cell {
  width: 20px; height: 20px; border-radius: 4px;
  font-size: 12px; font-weight: 700; line-height: 20px; text-align: center;
}
details summary { cursor: pointer; color: var(--soft); font-size: 14px; }
details + .note { margin-top: 12px; }
details[open] summary { margin-bottom: 10px; }
footer { margin-top: 22px; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
@media print { body { background: none; } section { break-inside: avoid-page; } }
"""
