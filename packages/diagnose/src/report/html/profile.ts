/** Where a watchdog's samples interrupted a processor: how often at each place. */
import type { Finding } from '../report.ts';
import { type Content, heading, html } from './markup.ts';
import { type Arch, addressText } from './words.ts';

const MAX_PLACES = 64;

export function profileFigure(finding: Finding, arch: Arch, id: string, level: 2 | 3): Content {
  const profile = finding.picture?.profile ?? null;
  if (profile === null || profile.places.length === 0) return null;
  const most = Math.max(1, ...profile.places.map((place) => place.times));
  const left = profile.places.length - MAX_PLACES;
  return html`<section class="figure">${heading(level, 'Where the samples fell', 'figure', id)}<figure><div class="scroll"><table class="profile">
<caption class="unseen">Samples of the watchdog by interrupted address</caption>
<thead><tr><th scope="col">Address</th><th scope="col">Place</th><th scope="col" class="number">Samples</th><th scope="col"><span class="unseen">Share</span></th></tr></thead>
<tbody>${profile.places
    .slice(0, MAX_PLACES)
    .map(
      (place) =>
        html`<tr><td><code>${addressText(arch, place.address)}</code></td><td><code>${place.symbol}</code></td><td class="number">${place.times}</td><td class="meter"><i style="width:${Math.max(0.5, Math.round((place.times / most) * 1000) / 10)}%"></i></td></tr>`,
    )}</tbody></table></div>
<figcaption>${profile.samples} samples, one a tick, in ${profile.places.length} ${profile.places.length === 1 ? 'place' : 'places'}${left > 0 ? `; ${left} places are not shown` : ''}.</figcaption></figure></section>`;
}
