/** Stacks as bars from their limit (left) to their base: live and dead part, pins and marks at their places. */
import type { QueuePicture, StackPicture } from '../picture.ts';
import { type Content, html, type Markup } from './markup.ts';
import { round, WIDTH } from './svg.ts';
import { type Arch, addressText, shorten } from './words.ts';

export interface Pin {
  readonly stack: number;
  readonly address: string;
  readonly kind: 'holds' | 'waits' | 'other';
  /** Where its line comes from. */
  readonly from: { readonly x: number; readonly y: number };
}

const BAR = { left: 1, right: WIDTH - 1, height: 26, title: 24, level: 17, gap: 22 };
const CHAR = 6.6;
const MAX_LABEL = 52;

interface Label {
  readonly at: number;
  readonly text: string;
  readonly kind: string;
  readonly level: number;
  readonly anchor: 'start' | 'end';
}

export function stackExtent(queue: QueuePicture): number {
  return queue.stacks.reduce((sum, stack, i) => sum + heightOf(stack, i, queue), -BAR.gap);
}

export function drawStacks(queue: QueuePicture, pins: readonly Pin[], top: number, arch: Arch, figure: string): Markup {
  let y = top;
  const bars = queue.stacks.map((stack, i) => {
    const at = y;
    y += heightOf(stack, i, queue);
    return bar(stack, i, queue, pins, at, arch, figure);
  });
  return html`${bars}`;
}

function heightOf(stack: StackPicture, index: number, queue: QueuePicture): number {
  const labels = labelsOf(stack, index, queue, 'x64');
  return BAR.title + BAR.height + BAR.level * (1 + Math.max(0, ...labels.map((label) => label.level))) + BAR.gap;
}

export function position(stack: StackPicture, address: string): number {
  const [limit, base] = [BigInt(stack.limit), BigInt(stack.base)];
  const size = Number(base - limit);
  const share = size <= 0 ? 0 : Number(BigInt(address) - limit) / size;
  return BAR.left + Math.min(1, Math.max(0, share)) * (BAR.right - BAR.left);
}

/** Marks and the stack pointer, with levels so that no label covers another. The bounds have level 0 for themselves. */
function labelsOf(stack: StackPicture, index: number, queue: QueuePicture, arch: Arch): Label[] {
  const wanted = queue.marks
    .filter((mark) => mark.stack === index)
    .map((mark) => ({
      at: position(stack, mark.address),
      kind: mark.role as string,
      text:
        mark.role === 'trap-frame' ? `${mark.label} ${addressText(arch, mark.address)}` : `${mark.role}: ${mark.label}`,
    }));
  if (stack.sp !== null && !queue.marks.some((mark) => mark.stack === index && mark.address === stack.sp))
    wanted.push({ at: position(stack, stack.sp), kind: 'sp', text: `SP ${addressText(arch, stack.sp)}` });
  wanted.sort((a, b) => a.at - b.at);
  const ends: { from: number; to: number }[][] = [];
  return wanted.map(({ at, kind, text }) => {
    const shown = shorten(text, MAX_LABEL);
    const width = shown.length * CHAR + 10;
    const anchor = at + width > BAR.right ? 'end' : 'start';
    const [from, to] = anchor === 'start' ? [at, at + width] : [at - width, at];
    let level = ends.findIndex((spans) => spans.every((span) => span.to < from || span.from > to));
    if (level < 0) level = ends.length;
    ends[level] = [...(ends[level] ?? []), { from, to }];
    return { at, kind, text: shown, level: level + 1, anchor };
  });
}

function bar(
  stack: StackPicture,
  index: number,
  queue: QueuePicture,
  pins: readonly Pin[],
  top: number,
  arch: Arch,
  figure: string,
): Content {
  const y = top + BAR.title;
  const sp = stack.sp === null ? null : position(stack, stack.sp);
  const size = Number(BigInt(stack.base) - BigInt(stack.limit));
  const labels = labelsOf(stack, index, queue, arch);
  const mine = pins.filter((pin) => pin.stack === index);
  return html`<g>${mine.map((pin) => html`<path class="pin ${pin.kind}" d="M${round(pin.from.x)} ${round(pin.from.y)}L${round(position(stack, pin.address))} ${y}"/>`)}
<text class="strong halo" x="${BAR.left}" y="${top + 15}">${stack.kind} stack <tspan class="plain">${shorten(stack.owner, 70)}</tspan></text>
<text class="soft small halo" x="${BAR.right}" y="${top + 15}" text-anchor="end">${size >= 1024 ? `${round(size / 1024)} KB` : `${size} bytes`}</text>
<rect class="stack unknown" x="${BAR.left}" y="${y}" width="${BAR.right - BAR.left}" height="${BAR.height}" rx="3"/>
${sp === null ? null : html`<rect class="stack dead" style="fill:url(#${figure}-dead)" x="${BAR.left}" y="${y}" width="${round(sp - BAR.left)}" height="${BAR.height}"/><rect class="stack live" x="${round(sp)}" y="${y}" width="${round(BAR.right - sp)}" height="${BAR.height}" rx="2"/>`}
${sp !== null && sp - BAR.left > 120 ? html`<text class="soft small" x="${round(BAR.left + 10)}" y="${y + 17}">dead</text>` : null}
${sp !== null && BAR.right - sp > 120 ? html`<text class="soft small" x="${round(BAR.right - 10)}" y="${y + 17}" text-anchor="end">live</text>` : null}
<rect class="stack edge" x="${BAR.left}" y="${y}" width="${BAR.right - BAR.left}" height="${BAR.height}" rx="3"/>
${labels.map((label) => tick(label, y))}${mine.map((pin) => html`<rect class="spot ${pin.kind}" x="${round(position(stack, pin.address) - 3)}" y="${y - 2}" width="6" height="${BAR.height + 4}" rx="2"><title>entry ${addressText(arch, pin.address)}</title></rect>`)}
<text class="mono soft small halo" x="${BAR.left}" y="${y + BAR.height + 14}">limit ${addressText(arch, stack.limit)}</text>
<text class="mono soft small halo" x="${BAR.right}" y="${y + BAR.height + 14}" text-anchor="end">base ${addressText(arch, stack.base)}</text></g>`;
}

function tick(label: Label, y: number): Markup {
  const bottom = y + BAR.height;
  const textY = bottom + 14 + label.level * BAR.level;
  return html`<path class="tick ${label.kind}" d="M${round(label.at)} ${y}V${textY + 2}"/><text class="small halo ${label.kind}" x="${round(label.anchor === 'start' ? label.at + 5 : label.at - 5)}" y="${textY}" text-anchor="${label.anchor}">${label.text}</text>`;
}
