import { hex } from '../brands.ts';
import { PAGE_FILL, u32 } from '../bytes.ts';
import type { DumpKind } from '../dump.ts';
import { type BitmapLayout, bitmapLayout, isPlausible, openBitmap, summaryLayout } from './bitmap.ts';
import type { ContainerInput, PageContainer } from './container.ts';
import { openFull } from './full.ts';
import { isConsistent, openRange, rangeLayout } from './range.ts';

const SDMP = 0x504d4453;
const FDMP = 0x504d4446;
const RDMP = 0x504d4452;
const DUMP = 0x504d5544;

const KINDS: ReadonlyMap<number, DumpKind> = new Map([
  [1, 'full'],
  [2, 'kernel-summary'],
  [3, 'header-only'],
  [4, 'triage'],
  [5, 'bitmap-full'],
  [6, 'bitmap-kernel'],
  [7, 'automatic'],
  [8, 'range-kernel'],
  [9, 'range-kernel-user'],
  [0xa, 'range-full'],
]);

type Signature = 'SDMP' | 'FDMP' | 'RDMP' | null;

/** What stands at the header's end: the container's own signature, which counts more than DumpType. */
export function containerSignature(input: ContainerInput): Signature {
  const bytes = input.cache.bytes(input.header.size, 12);
  if (u32(bytes, 4) === DUMP) {
    if (u32(bytes, 0) === SDMP) return 'SDMP';
    if (u32(bytes, 0) === FDMP) return 'FDMP';
  }
  return u32(bytes, 4) === RDMP && u32(bytes, 8) === DUMP ? 'RDMP' : null;
}

/** Kind by DumpType and by the bytes at the header's end, where these disagree; `triage` is read elsewhere. */
export function chooseKind(input: ContainerInput, looksTriage: () => boolean): DumpKind {
  const { header, problems } = input;
  const at = input.pointerSize === 8 ? 0xf98 : 0xf88;
  const declared = KINDS.get(header.dumpType);
  const signature = containerSignature(input);
  if (declared !== undefined && agrees(declared, signature, input)) return declared;
  if (signature !== null) {
    const kind = kindOfSignature(signature, input);
    problems.add(
      'dump-type-mismatch',
      `DumpType ${hex(header.dumpType)}, but the bytes behind the header are a ${kind} container (${signature}): read as that`,
      at,
    );
    return kind;
  }
  if (declared !== undefined) return declared;
  if (looksTriage()) {
    problems.add('dump-type-unknown', `DumpType ${hex(header.dumpType)} is unknown, the bytes are a triage dump`, at);
    return 'triage';
  }
  const hasRuns = (header.physicalMemoryBlock?.runs.length ?? 0) > 0;
  // NT 4 had only complete dumps and wrote no DumpType.
  if (header.dumpType === PAGE_FILL && hasRuns) return 'full';
  problems.add(
    'dump-type-unknown',
    hasRuns
      ? `DumpType ${hex(header.dumpType)} is unknown: read as a full dump, as the header lists memory runs`
      : `DumpType ${hex(header.dumpType)} is unknown: only the header is read`,
    at,
  );
  return hasRuns ? 'full' : 'header-only';
}

function agrees(kind: DumpKind, signature: Signature, input: ContainerInput): boolean {
  switch (kind) {
    case 'full':
      // The first page of memory may begin with anything.
      return signature === null || (input.header.physicalMemoryBlock?.runs.length ?? 0) > 0;
    case 'header-only':
    case 'triage':
      return signature === null;
    case 'range-kernel':
    case 'range-kernel-user':
    case 'range-full':
      return signature === 'RDMP' || signature === null;
    default:
      return signature !== 'RDMP';
  }
}

function kindOfSignature(signature: 'SDMP' | 'FDMP' | 'RDMP', input: ContainerInput): DumpKind {
  if (signature === 'RDMP') {
    const layout = rangeLayout(input);
    const entries = Math.floor((layout.metadataSize - 0x10) / 16);
    return layout.numberOfRanges > 0 && layout.numberOfRanges <= entries ? 'range-full' : 'range-kernel';
  }
  if (!isPlausible(bitmapLayout(input)) && isPlausible(summaryLayout(input))) return 'kernel-summary';
  return signature === 'FDMP' ? 'bitmap-full' : 'bitmap-kernel';
}

export function openPageContainer(input: ContainerInput, kind: DumpKind): PageContainer {
  const { problems, header } = input;
  switch (kind) {
    case 'header-only':
    case 'triage':
      return { kind, pages: null, end: header.size };
    case 'full':
      return openFull(input);
    case 'range-kernel':
    case 'range-kernel-user':
    case 'range-full': {
      const layout = rangeLayout(input);
      if (containerSignature(input) !== null) return openRange(input, kind, layout);
      if (isConsistent(input, layout)) {
        problems.add('signature-missing', 'no RDMP signature behind the header: read as one all the same', header.size);
        return openRange(input, kind, layout);
      }
      break;
    }
    default: {
      const layout = bitmapOrSummary(input, kind);
      if (containerSignature(input) !== null) return openBitmap(input, kind, layout);
      if (isPlausible(layout)) {
        problems.add('signature-missing', 'no SDMP signature behind the header: read as one all the same', header.size);
        return openBitmap(input, kind, layout);
      }
    }
  }
  problems.add(
    'signature-missing',
    `DumpType ${hex(header.dumpType)} wants a page table behind the header, there is none: no page can be located`,
    header.size,
  );
  return { kind, pages: null, end: header.size };
}

/** The two layouts share a signature; DumpType says which, unless only the other one makes sense. */
function bitmapOrSummary(input: ContainerInput, kind: DumpKind): BitmapLayout {
  const summary = kind === 'kernel-summary';
  const first = summary ? summaryLayout(input) : bitmapLayout(input);
  if (isPlausible(first)) return first;
  const second = summary ? bitmapLayout(input) : summaryLayout(input);
  if (!isPlausible(second)) return first;
  input.problems.add(
    'dump-type-mismatch',
    `DumpType ${hex(input.header.dumpType)}, but the bitmap header has the layout of ${summary ? 'type 5 to 7' : 'type 2'}: read as that`,
    input.header.size,
  );
  return second;
}
