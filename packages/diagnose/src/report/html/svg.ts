/** Strokes that the drawings share. Figures are drawn in their own units, 976 wide, and scale with the page. */
import { html, type Markup } from './markup.ts';

export const WIDTH = 976;

/** Heads for one figure: ids are unique in the page, so `figure` is the figure's own. */
export function arrowHeads(figure: string): Markup {
  const head = (name: string): Markup =>
    html`<marker id="${figure}-${name}" class="${name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8Z"/></marker>`;
  return html`<defs>${head('plain')}${head('broken')}<pattern id="${figure}-dead" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" d="M0 0V6"/></pattern></defs>`;
}

export function path(d: string, kind: string, figure: string): Markup {
  const head = kind.includes('broken') ? 'broken' : 'plain';
  return html`<path class="${kind}" d="${d}" marker-end="url(#${figure}-${head})"/>`;
}

export function line(x1: number, y1: number, x2: number, y2: number, kind: string, figure: string): Markup {
  return path(`M${round(x1)} ${round(y1)}L${round(x2)} ${round(y2)}`, kind, figure);
}

export function round(value: number): number {
  return Math.round(value * 10) / 10;
}
