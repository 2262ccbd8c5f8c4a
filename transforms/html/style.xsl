<?xml version="1.0" encoding="UTF-8"?>
<!-- The look of the transcript: no script, no font or picture from elsewhere. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:template name="style">
:root { --ink: #1c2330; --soft: #5d6778; --line: #dfe3ea; --wash: #f5f7fa; --red: #a3262a; --green: #1d6b45; --amber: #8a5a00; --blue: #24559e; color-scheme: light; }
* { box-sizing: border-box; }
html { background: var(--wash); color: var(--ink); font: 15px/1.5 "Segoe UI", system-ui, -apple-system, "Helvetica Neue", "Noto Sans", Arial, sans-serif; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; margin: 0 0 2rem; padding: 1.75rem 2rem 2rem; }
header { border-bottom: 1px solid var(--line); margin-bottom: 1.25rem; padding-bottom: 1.25rem; }
.kicker { color: var(--soft); font-size: .78rem; letter-spacing: .05em; margin: 0 0 .35rem; text-transform: uppercase; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: .95rem; margin: 1.5rem 0 .5rem; }
header .address { margin: .25rem 0 1rem; }
.address { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
dl { display: grid; gap: .6rem 2rem; grid-template-columns: repeat(auto-fit, minmax(11rem, max-content)); margin: 0; }
dl .wide { grid-column: 1 / -1; }
dt { color: var(--soft); font-size: .78rem; }
dd { margin: 0; overflow-wrap: anywhere; white-space: pre-line; }
table { border-collapse: collapse; width: 100%; }
thead th { border-bottom: 2px solid var(--line); color: var(--soft); font-size: .78rem; font-weight: 600; padding: .3rem .75rem .3rem 0; text-align: left; }
td { border-bottom: 1px solid var(--line); padding: .5rem .75rem .5rem 0; vertical-align: top; }
tbody tr:last-child td { border-bottom: 0; }
.people td { font-size: .9rem; overflow-wrap: anywhere; }
.people { table-layout: fixed; }
.people th:nth-child(3), .people th:nth-child(4) { width: 11.5rem; }
.people .number, .people th:last-child { text-align: right; padding-right: 0; width: 4rem; }
time, .time, .number { font-variant-numeric: tabular-nums; }
.events { table-layout: fixed; }
.events th:first-child, .events .time { width: 5.25rem; }
.events thead th:nth-last-child(2) { width: 12rem; }
.events thead th:nth-last-child(3):not(:first-child) { width: 6.5rem; }
.time { color: var(--soft); font-size: .88rem; white-space: nowrap; }
.who { overflow-wrap: anywhere; }
.name { font-weight: 600; }
.day th { background: var(--wash); border-bottom: 1px solid var(--line); font-size: .82rem; padding: .35rem .6rem; text-align: left; }
.day span { color: var(--soft); font-weight: 400; }
.what { overflow-wrap: anywhere; padding-right: 0; }
.what p { margin: 0; }
.text { white-space: pre-wrap; }
.act { color: var(--soft); }
.JOIN .name, .PART .name, .MEMBER .name, .BACKCHAT .name, .REACT .name, .UNREACT .name { font-weight: 400; }
.reply { border-left: 3px solid var(--line); color: var(--soft); font-size: .85rem; margin: 0 0 .25rem !important; padding-left: .5rem; }
.later { color: var(--amber); font-size: .85rem; }
del { background: #fdecec; color: var(--red); text-decoration-thickness: 1px; }
ins { background: #e9f6ef; color: var(--green); text-decoration: none; }
.text:has(del) { border-left: 3px solid #e8b4b6; margin: .25rem 0; padding-left: .6rem; }
.text:has(ins) { border-left: 3px solid #a9d8bf; margin: .25rem 0; padding-left: .6rem; }
.file { background: var(--wash); border: 1px solid var(--line); border-radius: 6px; font-size: .9rem; margin-top: .25rem; padding: .5rem .75rem; }
.file span { color: var(--soft); margin-left: .75rem; }
.digest, code { color: var(--soft); font: .76rem/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.missing, .flag { color: var(--red); }
.flag { font-size: .85rem; }
.flag::before { content: "\25B2\00A0"; font-size: .7em; vertical-align: .1em; }
.badge { border: 1px solid var(--line); border-radius: 1rem; color: var(--soft); display: inline-block; font-size: .7rem; line-height: 1.35; margin-left: .35rem; padding: 0 .45rem; vertical-align: .1em; }
.badge.external { background: #fff5e0; border-color: #ecd29a; color: var(--amber); }
.note { color: var(--soft); display: block; font-size: .8rem; }
.none { color: var(--soft); }
a { color: var(--blue); }
details { font-size: .82rem; margin-top: .2rem; }
summary { color: var(--soft); cursor: pointer; }
tr:target td { background: #fffbe8; }
@media (max-width: 44rem) {
  body { padding: 0; }
  section { border-radius: 0; border-width: 0 0 1px; padding: 1.25rem 1rem; }
  .events, .events tbody, .events tr, .events td, .day th { display: block; width: auto !important; }
  .events thead { display: none; }
  .events td { border: 0; padding: 0; }
  .events tr { border-bottom: 1px solid var(--line); padding: .5rem 0; }
  .events .time { display: inline; margin-right: .6rem; }
  .events .who { display: inline; }
  .events .who .note { display: inline; margin-left: .4rem; }
  .people thead { display: none; }
  .people, .people tbody { display: block; }
  .people td { display: inline-block; text-align: left !important; width: auto !important; border: 0; padding: .1rem .75rem .1rem 0; }
  .people td:nth-child(3)::before { color: var(--soft); content: "entered "; }
  .people td:nth-child(4)::before { color: var(--soft); content: "left "; }
  .people td:nth-child(5)::before { color: var(--soft); content: "events "; }
  .people tr { border-bottom: 1px solid var(--line); display: block; padding: .4rem 0; }
}
@page { margin: 15mm 14mm 17mm; @bottom-right { color: #5d6778; content: counter(page) " / " counter(pages); font: 8pt sans-serif; } }
@media print {
  html { background: none; font-size: 9.5pt; line-height: 1.4; }
  body { max-width: none; padding: 0; }
  section { border: 0; border-radius: 0; margin: 0; padding: 0; }
  section + section { break-before: page; }
  td { padding-bottom: .35rem; padding-top: .35rem; }
  thead { display: table-header-group; }
  tr, .file { break-inside: avoid; }
  .CHAT, .EDIT, .DELETE, .OTHER { break-inside: auto; }
  h2, .day { break-after: avoid; }
  a { color: inherit; text-decoration: none; }
  del, ins, .badge, .file, .day th { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details::details-content { content-visibility: visible; }
  tr:target td { background: none; }
}
</xsl:template>
</xsl:stylesheet>
