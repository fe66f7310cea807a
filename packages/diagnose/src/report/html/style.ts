/** The page's style sheet. Nothing of a dump enters it. Light and dark by the reader's setting; on paper always light. */
export const STYLE = `
:root{color-scheme:light dark;
--paper:#fff;--panel:#f6f7f9;--ink:#1b1f24;--soft:#596270;--line:#dde1e7;--strong-line:#b9c0ca;
--stuck:#b3261e;--stuck-bg:#fdecea;--ok:#1c6b41;--ok-bg:#e7f4ec;--info:#1c5c9c;--info-bg:#e8f1fa;--warn:#7c5200;--warn-bg:#fdf3dc;--live:#d5e5f5;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","Liberation Sans",sans-serif;
--mono:ui-monospace,"Cascadia Mono","SF Mono",Menlo,Consolas,"Liberation Mono","DejaVu Sans Mono",monospace}
@media screen and (prefers-color-scheme:dark){:root{
--paper:#14171b;--panel:#1b2026;--ink:#e3e7ec;--soft:#9ba6b3;--line:#2d343c;--strong-line:#4a5561;
--stuck:#ff8f85;--stuck-bg:#3b1f1d;--ok:#7fd1a0;--ok-bg:#1a2f24;--info:#86bdf2;--info-bg:#1a2a3a;--warn:#e6bd6a;--warn-bg:#332a16;--live:#24405c}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 var(--sans)}
header,main,footer{max-width:1040px;margin:0 auto;padding:0 32px}
header{display:flex;flex-wrap:wrap;gap:4px 24px;align-items:baseline;justify-content:space-between;padding-top:18px;padding-bottom:12px;border-bottom:1px solid var(--line)}
.product{margin:0;font-weight:650;letter-spacing:-.01em}.product span{font-weight:400;color:var(--soft);margin-left:6px}
nav ul{display:flex;flex-wrap:wrap;gap:2px 16px;margin:0;padding:0;list-style:none;font-size:14px}
a{color:var(--info);text-decoration:none}a:hover,a:focus-visible{text-decoration:underline}
.skip{position:absolute;left:-999px}.skip:focus{left:16px;top:8px;background:var(--paper);padding:4px 8px}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
h1,h2,h3{line-height:1.25;text-wrap:balance;overflow-wrap:anywhere;letter-spacing:-.012em;margin:0}
h1{font-size:28px;font-weight:680}h2{font-size:20px;font-weight:650}h3,h2.sub{font-size:15px;font-weight:650;letter-spacing:0}
h1 code,h2 code{font-size:.9em;font-weight:600;letter-spacing:-.02em}h2 code{font-size:.92em}
p{margin:0;text-wrap:pretty}
code,.mono{font-family:var(--mono);font-size:.875em;overflow-wrap:anywhere;font-variant-ligatures:none}
.muted,.reason{color:var(--soft)}.none{color:var(--soft);font-style:italic}
main>section,main>article{margin-top:48px}
main>article.verdict{margin-top:36px}
main>article.other{padding-top:32px;border-top:1px solid var(--line)}
.badge{display:flex;flex-wrap:wrap;gap:4px 10px;align-items:baseline;font-size:14px;margin-bottom:10px}
.confidence{font-weight:650;padding:1px 9px;border-radius:999px;border:1px solid currentColor}
.confidence.proven{color:var(--paper);background:var(--ink);border-color:var(--ink)}
.confidence.likely{color:var(--warn);background:var(--warn-bg)}.confidence.possible{color:var(--soft);background:var(--panel)}
.why{margin-top:20px}.why .sub{margin-bottom:4px}.why p{max-width:76ch}
.verdict .why p{font-size:17px;line-height:1.6}
dl.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:0 40px;margin:20px 0 0;font-size:14px}
dl.facts div{display:grid;grid-template-columns:84px 1fr;gap:0 12px;padding:7px 0;border-top:1px solid var(--line)}
dl.facts dt{color:var(--soft)}dl.facts dd{margin:0;min-width:0;overflow-wrap:anywhere}
dl.facts dd>.reason{display:block;font-size:13px;line-height:1.5;margin-top:2px}
dl.facts div:has(dd>.reason){grid-column:1/-1}
dl.dump div:last-child{grid-column:1/-1}
.parameters{margin:4px 0 0;padding-left:20px;color:var(--soft);font-size:13px}.parameters code{color:var(--ink)}
.answers{columns:2 380px;column-gap:40px;margin-top:28px}.answers section{break-inside:avoid;padding-bottom:24px}
.answers .sub{padding-bottom:6px;border-bottom:2px solid var(--strong-line)}
.answers ul,.answers ol{margin:0;padding:0;list-style:none;font-size:14px}
.answers li{padding:7px 0;border-bottom:1px solid var(--line)}
.answers .reason{display:block;font-size:13px}.answers+section.figure{margin-top:12px}
.who .role,.tag{display:inline-block;font-size:12px;line-height:1.4;padding:0 6px;border-radius:4px;background:var(--panel);border:1px solid var(--line);color:var(--soft);white-space:nowrap}
.who .role:not(.bystander){background:var(--stuck-bg);border-color:transparent;color:var(--stuck)}a.tag{color:var(--info)}
.tag.exit{background:var(--info-bg);border-color:transparent;color:var(--info);font-weight:600}
main>section>h2{margin-bottom:14px}section.figure{margin-top:36px}main>section.figure{margin-top:48px}section.figure>h3{font-size:16px;margin-bottom:10px}
figure{margin:0}figcaption{font-size:13px;color:var(--soft);margin-top:10px;max-width:90ch}
section>figure+.scroll,section>h3:not(:first-child){margin-top:20px}section>h3+.scroll{margin-top:8px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px;line-height:1.5}
th,td{text-align:left;vertical-align:top;padding:6px 14px 6px 0;border-bottom:1px solid var(--line)}
th:last-child,td:last-child{padding-right:0}
thead th{font-weight:600;color:var(--soft);border-bottom-color:var(--strong-line);white-space:nowrap}
tbody th{font-weight:400}
td code,th code{font-size:12.5px}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
table.processors tbody th{font-weight:600;font-variant-numeric:tabular-nums;max-width:150px}
table.processors td:nth-child(3),table.processors td:nth-child(5){white-space:nowrap}
.state{font-weight:600}.state.spins{color:var(--stuck)}.state.busy{color:var(--info)}.state.idle,.state.unknown{font-weight:400;color:var(--soft)}
svg{display:block;font-family:var(--sans);font-size:13px;fill:var(--ink)}
svg.map{max-width:100%;height:auto}
svg.drawing{max-width:none}
@media screen and (min-width:1040px){svg.drawing{max-width:100%;height:auto}}
svg .mono{font-family:var(--mono);font-size:12px}svg .strong{font-weight:620}svg .plain{font-weight:400;fill:var(--soft)}
svg .soft{fill:var(--soft)}svg .small{font-size:11.5px}
svg .halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
rect.cpu{stroke-width:1.5;fill:var(--panel);stroke:var(--line)}text.cpu{font-size:11.5px;font-variant-numeric:tabular-nums}
rect.cpu.spins{fill:var(--stuck);stroke:var(--stuck)}text.cpu.spins{fill:var(--paper);font-weight:700}
rect.cpu.busy{fill:var(--info-bg);stroke:var(--info)}text.cpu.busy{fill:var(--info);font-weight:600}
text.cpu.idle{fill:var(--soft)}rect.cpu.unknown{fill:none;stroke:var(--strong-line);stroke-dasharray:3 3}text.cpu.unknown{fill:var(--soft)}
table.processors td:nth-child(4){min-width:210px}
table.loop td{padding-top:5px;padding-bottom:5px;border-bottom-color:transparent}table.loop tbody tr:last-child td{border-bottom-color:var(--line)}
table.loop td:nth-child(2),table.loop td.text{white-space:nowrap}table.loop td.bytes{white-space:nowrap}table.loop td.bytes code{color:var(--soft)}
table.loop td.note{min-width:220px}
table.loop tr.pc td{background:var(--stuck-bg)}table.loop tr.pc td.flow{background:none}table.loop tr.pc .text code{font-weight:600}
table.loop td:nth-child(2){position:relative;padding-left:18px}
.pc-mark{color:var(--stuck);font-size:11px}td .pc-mark{position:absolute;left:4px;top:6px}
td.flow{position:relative;padding:0!important}
td.flow i{position:absolute;border:0 solid var(--soft)}
td.flow i.up{top:0;height:15px;border-right-width:1.5px}td.flow i.down{top:15px;bottom:-1px;border-right-width:1.5px}
td.flow i.stub{top:14px;right:0;border-top-width:1.5px}
td.flow i.head{top:11px;right:-2px;border-style:solid;border-color:transparent transparent transparent var(--soft);border-width:4px 0 4px 6px}
table.profile td.meter{width:45%;vertical-align:middle}td.meter i{display:block;height:10px;background:var(--info);border-radius:2px;print-color-adjust:exact}
.box{fill:var(--paper);stroke:var(--strong-line);stroke-width:1.5}.box.lock{fill:var(--panel)}
.box.holder{stroke:var(--stuck);fill:var(--stuck-bg)}.box.waiter{stroke:var(--info);fill:var(--info-bg)}
text.strong.holder,text.holds{fill:var(--stuck)}text.strong.waiter,text.waits{fill:var(--info)}text.trap-frame,text.sp{fill:var(--soft)}
.arrow{fill:none;stroke:var(--ink);stroke-width:1.5}.arrow.broken{stroke:var(--stuck);stroke-dasharray:4 4}.arrow.cycle{stroke:var(--stuck);stroke-width:2}
marker path{fill:var(--ink)}marker.broken path{fill:var(--stuck)}
text.label{font-size:12px;fill:var(--soft)}text.label.wrong{fill:var(--stuck)}
.pin{fill:none;stroke:var(--soft);stroke-width:1.25;stroke-dasharray:2 3}.pin.holds{stroke:var(--stuck)}.pin.waits{stroke:var(--info)}
.spot{fill:var(--soft)}.spot.holds{fill:var(--stuck)}.spot.waits{fill:var(--info)}
.stack{stroke:none}.stack.unknown{fill:var(--panel)}.stack.live{fill:var(--live)}.stack.edge{fill:none;stroke:var(--strong-line)}.hatch{stroke:var(--strong-line);stroke-width:1;fill:none}
.tick{stroke:var(--soft);stroke-width:1;fill:none}.tick.holds{stroke:var(--stuck)}.tick.waits{stroke:var(--info)}.tick.sp{stroke:var(--ink)}
.node{fill:var(--paper);stroke:var(--strong-line);stroke-width:1.5}.node.thing{fill:var(--panel)}.node.cycle{stroke:var(--stuck);stroke-width:2}
table.evidence th[scope=row]{min-width:260px}table.evidence td.bytes{min-width:150px;overflow-wrap:anywhere}table.evidence td:nth-child(3) code{white-space:nowrap}table.evidence td:last-child{min-width:140px}.id{color:var(--soft);font-size:12px;margin-right:4px}
.outcome{white-space:nowrap}.outcome.true{color:var(--ok)}.outcome.false{color:var(--stuck)}.outcome.undetermined{color:var(--warn)}
.length{display:block;font-size:12px}
details{margin-top:14px}summary{cursor:pointer}summary h3,summary h2{display:inline}details .scroll{margin-top:8px}
table.stack td:first-child{width:36px;color:var(--soft);font-variant-numeric:tabular-nums}tr.weak code{opacity:.75}
table.modules td:nth-child(2){white-space:nowrap}table.modules .pdb code{font-size:11.5px;color:var(--soft)}
details>p.muted{font-size:13px;margin-top:6px}
table.limits th{width:34%}
footer{margin-top:56px;padding-top:14px;padding-bottom:32px;border-top:1px solid var(--line);font-size:13px;color:var(--soft)}
@media(max-width:640px){header,main,footer{padding-left:16px;padding-right:16px}h1{font-size:23px}}
@media print{@page{margin:16mm 14mm}body{font-size:10.5pt}header,main,footer{max-width:none;padding-left:0;padding-right:0}nav,.skip{display:none}
main>section,main>article{margin-top:24pt}.scroll{overflow:visible}svg.drawing{max-width:100%;height:auto}table{font-size:8.5pt}td code,th code{font-size:8pt}
tr,figure svg,li{break-inside:avoid}h2,h3,.badge{break-after:avoid}thead{display:table-header-group}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}details::details-content{content-visibility:visible;display:block;height:auto}}
`;
