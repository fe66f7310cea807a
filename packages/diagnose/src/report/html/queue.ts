/** The lock, its queue in order, and the stacks that the entries and frames lie in. */
import type { QueueEntryPicture, QueuePicture } from '../picture.ts';
import type { Finding } from '../report.ts';
import { type Content, heading, html, type Markup } from './markup.ts';
import { drawStacks, type Pin, position, stackExtent } from './stack-bars.ts';
import { arrowHeads, line, path, WIDTH } from './svg.ts';
import { type Arch, addressText, prose, shorten, wordText } from './words.ts';

const MARGIN = 1;
const BOX = { width: 220, height: 96, gap: 30, row: 28 };
const COLUMNS = 4;
const LOCK = { width: 264, height: 46 };
/** Boxes drawn; the holder and the waiter are among them. */
const MAX_BOXES = 12;

interface Placed {
  readonly entry: QueueEntryPicture;
  readonly x: number;
  readonly y: number;
}

export function queueFigure(finding: Finding, arch: Arch, id: string, level: 2 | 3): Content {
  const queue = finding.picture?.queue ?? null;
  if (queue === null || (queue.stacks.length === 0 && queue.entries.length === 0)) return null;
  const entries = drawnEntries(queue.entries);
  const mirrored = runsLeft(entries, queue);
  const placed = entries.map((entry, i): Placed => {
    const [column, row] = [i % COLUMNS, Math.floor(i / COLUMNS)];
    return {
      entry,
      x: MARGIN + (mirrored ? entries.length - 1 - column : column) * (BOX.width + BOX.gap),
      y: MARGIN + LOCK.height + 40 + row * (BOX.height + BOX.row),
    };
  });
  const rows = Math.ceil(placed.length / COLUMNS);
  const top =
    placed.length === 0 ? MARGIN + LOCK.height + 56 : MARGIN + LOCK.height + 40 + rows * (BOX.height + BOX.row) + 30;
  const tail = placed.find(({ entry }) => entry.address === queue.word);
  const lockX =
    tail === undefined
      ? MARGIN
      : Math.max(MARGIN, Math.min(tail.x + BOX.width / 2 - LOCK.width / 2, WIDTH - MARGIN - LOCK.width));
  const kind = finding.lock?.kind ?? 'lock';
  const pins = pinsOf(queue, placed, lockX);
  const height = top + stackExtent(queue) + MARGIN;
  const told = describe(queue, kind, arch);
  return html`<section class="figure">${heading(level, placed.length > 0 ? 'The lock queue over the stacks it lies in' : 'The lock and the stacks of who waits and who holds', 'figure', id)}<figure><div class="scroll">
<svg class="drawing" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="${id}-t ${id}-d"><title id="${id}-t">${kind} ${addressText(arch, queue.lock)}</title><desc id="${id}-d">${told}</desc>
${arrowHeads(id)}${drawStacks(queue, pins, top, arch, id)}
${lockBox(queue, kind, lockX, arch)}${tailArrow(queue, tail, lockX, placed.length > 0, id)}
${placed.map((box, i) => nextArrow(box, placed[i + 1], id))}${placed.map((box) => entryBox(box, queue, arch))}</svg></div>
<figcaption>${caption(queue, entries.length, arch)}</figcaption></figure></section>`;
}

/** All, or the ends and what is around the waiter. */
function drawnEntries(entries: readonly QueueEntryPicture[]): readonly QueueEntryPicture[] {
  if (entries.length <= MAX_BOXES) return entries;
  const waiter = entries.findIndex((entry) => entry.role === 'waiter');
  const keep = new Set([0, 1, waiter - 1, waiter, waiter + 1, entries.length - 1]);
  for (let i = 2; keep.size < MAX_BOXES && i < entries.length; i++) keep.add(i);
  return entries.filter((_, i) => keep.has(i));
}

/**
 * A queue that fits one row is drawn in the order of addresses, where that is its order backwards: older frames, and
 * with them the entry of a holder, lie at the right end of a stack.
 */
function runsLeft(entries: readonly QueueEntryPicture[], queue: QueuePicture): boolean {
  if (entries.length < 2 || entries.length > COLUMNS) return false;
  const places = entries.flatMap((entry) => {
    const stack = entry.stack === null ? undefined : queue.stacks[entry.stack];
    return stack === undefined ? [] : [position(stack, entry.address)];
  });
  const pairs = places.slice(1).map((place, i) => place - (places[i] ?? 0));
  return pairs.length > 0 && pairs.filter((step) => step < 0).length * 2 > pairs.length;
}

/** Lines from a box, or from a lock without a queue, to the place on its stack. */
function pinsOf(queue: QueuePicture, placed: readonly Placed[], lockX: number): Pin[] {
  const pins: Pin[] = [];
  placed.forEach(({ entry, x, y }) => {
    if (entry.stack !== null)
      pins.push({
        stack: entry.stack,
        address: entry.address,
        kind: entry.role === 'holder' ? 'holds' : entry.role === 'waiter' ? 'waits' : 'other',
        from: { x: x + BOX.width / 2, y: y + BOX.height },
      });
  });
  if (placed.length > 0) return pins;
  queue.marks.forEach((mark) => {
    if (mark.role !== 'trap-frame')
      pins.push({
        stack: mark.stack,
        address: mark.address,
        kind: mark.role,
        from: { x: lockX + LOCK.width * (mark.role === 'holds' ? 0.35 : 0.65), y: MARGIN + LOCK.height },
      });
  });
  return pins;
}

function lockBox(queue: QueuePicture, kind: string, x: number, arch: Arch): Markup {
  const word = queue.word === null ? 'word not shown' : `word ${wordText(arch, queue.word)}`;
  return html`<g><rect class="box lock" x="${x}" y="${MARGIN}" width="${LOCK.width}" height="${LOCK.height}" rx="6"/>
<text class="strong" x="${x + 12}" y="${MARGIN + 19}">${shorten(kind, 20)} <tspan class="mono">${addressText(arch, queue.lock)}</tspan></text>
<text class="mono soft" x="${x + 12}" y="${MARGIN + 36}">${word}</text></g>`;
}

function tailArrow(queue: QueuePicture, tail: Placed | undefined, lockX: number, queued: boolean, id: string): Content {
  if (!queued || queue.word === null) return null;
  if (tail !== undefined) {
    const to = tail.x + BOX.width / 2;
    const from = Math.min(Math.max(to, lockX + 16), lockX + LOCK.width - 16);
    return html`${line(from, MARGIN + LOCK.height, to, tail.y - 2, 'arrow', id)}<text class="label" x="${Math.max(from, to) + 8}" y="${MARGIN + LOCK.height + 24}">tail</text>`;
  }
  const why = queue.word === '0x0' ? '0: free' : 'leads to no entry that is drawn';
  return html`<text class="label wrong" x="${lockX + LOCK.width + 12}" y="${MARGIN + 36}">${why}</text>`;
}

function entryBox({ entry, x, y }: Placed, queue: QueuePicture, arch: Arch): Markup {
  const titles = {
    holder: 'holds the lock',
    predecessor: 'before the waiter',
    waiting: 'waits too',
    waiter: 'waits here',
  };
  const next = entry.next === null ? 'not shown' : wordText(arch, entry.next);
  const found = entry.slot ?? `found by ${entry.foundBy.join(', ')}`;
  return html`<g><rect class="box ${entry.role}" x="${x}" y="${y}" width="${BOX.width}" height="${BOX.height}" rx="6"/>
<text class="strong ${entry.role}" x="${x + 12}" y="${y + 20}">${titles[entry.role]}</text>
<text class="mono strong" x="${x + BOX.width - 12}" y="${y + 20}" text-anchor="end">${addressText(arch, entry.address)}</text>
<text x="${x + 12}" y="${y + 42}">Next</text><text class="mono" x="${x + 50}" y="${y + 42}">${next}</text>
<text x="${x + 12}" y="${y + 60}">Lock</text><text class="mono" x="${x + 50}" y="${y + 60}">${fieldText(entry, queue, arch)}</text>
<text class="soft small" x="${x + 12}" y="${y + 82}">${shorten(found, 31)}<title>${found}</title></text></g>`;
}

/** The Lock field with the flags that it carries below pointer alignment. */
function fieldText(entry: QueueEntryPicture, queue: QueuePicture, arch: Arch): string {
  if (entry.lockField === null) return 'not shown';
  const text = addressText(arch, entry.lockField);
  const field = BigInt(entry.lockField);
  const flags = arch === 'x86' ? 3n : 7n;
  if ((field & ~flags) !== BigInt(queue.lock)) return `${text} ≠`;
  const names = [
    [1n, 'WAIT'],
    [2n, 'OWNER'],
    [4n, 'HALTED'],
  ] as const;
  const set = names.filter(([bit]) => bit <= flags && (field & bit) !== 0n).map(([, name]) => name);
  return `${text}${set.length === 0 ? '' : ` ${set.join('|')}`}`;
}

/** Next of one box to the next one: drawn where memory says so. */
function nextArrow(from: Placed, to: Placed | undefined, id: string): Content {
  if (to === undefined || from.entry.next === null) return null;
  const linked = from.entry.next === to.entry.address;
  const kind = linked ? 'arrow' : 'arrow broken';
  if (from.y === to.y && to.x < from.x) return line(from.x, from.y + 38, to.x + BOX.width + 2, to.y + 38, kind, id);
  if (from.y === to.y) return line(from.x + BOX.width, from.y + 38, to.x - 2, to.y + 38, kind, id);
  // To the next row: down behind the box, back to the left, in from above.
  const turn = from.y + BOX.height + BOX.row / 2;
  return path(
    `M${from.x + BOX.width / 2 + 40} ${from.y + BOX.height}V${turn}H${to.x + BOX.width / 2 - 40}V${to.y - 2}`,
    kind,
    id,
  );
}

function describe(queue: QueuePicture, kind: string, arch: Arch): string {
  const parts = [
    `The ${kind} at ${addressText(arch, queue.lock)}${queue.word === null ? '' : ` holds ${wordText(arch, queue.word)}`}.`,
  ];
  for (const entry of queue.entries)
    parts.push(
      `Entry ${addressText(arch, entry.address)} (${entry.role})${entry.stack === null ? '' : ` lies on the ${queue.stacks[entry.stack]?.kind ?? ''} stack of ${queue.stacks[entry.stack]?.owner ?? ''}`}${entry.next === null ? '' : `, Next ${addressText(arch, entry.next)}`}.`,
    );
  for (const mark of queue.marks)
    parts.push(`${addressText(arch, mark.address)} on stack ${mark.stack + 1}: ${mark.role} in ${mark.label}.`);
  return parts.join(' ');
}

function caption(queue: QueuePicture, drawn: number, arch: Arch): Content {
  const holder = queue.entries.find((entry) => entry.role === 'holder');
  const waiter = queue.entries.find((entry) => entry.role === 'waiter');
  const parts: string[] = [];
  if (holder?.stack != null && waiter?.stack != null)
    parts.push(
      holder.stack === waiter.stack
        ? `Both the entry that waits (${addressText(arch, waiter.address)}) and the one that holds the lock (${addressText(arch, holder.address)}) lie on the same stack.`
        : `The entry that waits lies on another stack than the one that holds the lock.`,
    );
  if (drawn < queue.entries.length) parts.push(`${queue.entries.length - drawn} entries between them are not drawn.`);
  parts.push(
    'Stacks grow to the left; what is hatched lies below the stack pointer and belongs to calls that have returned.',
  );
  return prose(parts.join(' '));
}
