import { type Va, va } from '../brands.ts';
import { u32, u64 } from '../bytes.ts';
import type { Arch, DumpHeader, Paging, PagingMode } from '../dump.ts';
import { Memory, type MemoryReader } from '../memory.ts';
import type { ProblemList } from '../problems.ts';

const KDBG_TAG = 0x4742444b;

/** Settles what the header cannot: 4 or 5 levels (CR4.LA57 is not in CONTEXT), and PAE where it was not written. */
export interface PagingRequest {
  readonly arch: Arch;
  readonly header: DumpHeader;
  readonly problems: ProblemList;
  /** Forced by the caller. */
  readonly levels: 4 | 5 | undefined;
  open(mode: PagingMode): MemoryReader;
}

/**
 * Tries each format on addresses that the header holds. A readable address counts 1, a list head whose first entry
 * links back or the tag of KDDEBUGGER_DATA64 counts 8: table entries that are walked at the wrong level lead astray at
 * once, and never to a consistent structure. The declared or usual format wins a tie.
 */
export function choosePaging(request: PagingRequest): Paging {
  const { arch, header } = request;
  if (arch === 'arm64') return { mode: 'arm64', how: 'ARM64, 4 KiB granule' };
  if (arch === 'x64' && request.levels !== undefined) {
    return { mode: request.levels === 5 ? 'x64-5-level' : 'x64-4-level', how: 'as asked for' };
  }
  const [first, second]: readonly [PagingMode, PagingMode] =
    arch === 'x64'
      ? ['x64-4-level', 'x64-5-level']
      : header.paeEnabled === false
        ? ['x86', 'x86-pae']
        : ['x86-pae', 'x86'];
  const a = score(request.open(first), header);
  // Nothing can beat a list that links back and a tag that is in its place.
  const b = a.structures > 0 ? NOTHING : score(request.open(second), header);
  const mode = points(b) > points(a) ? second : first;
  const won = mode === first ? a : b;
  const declared = arch === 'x86' && header.paeEnabled !== null;
  if (declared && mode !== first) {
    request.problems.add(
      'pae-mismatch',
      `PaeEnabled is ${header.paeEnabled}, but only ${mode} page tables lead to the kernel's data: read as that`,
      0x5c,
    );
  }
  if (points(won) === 0) {
    return { mode, how: declared ? 'PaeEnabled of the header' : 'the usual format: no known address can be read' };
  }
  return { mode, how: `${won.readable} of ${won.tried} known addresses readable, ${won.structures} structures agree` };
}

interface Score {
  readonly tried: number;
  readonly readable: number;
  readonly structures: number;
}

const NOTHING: Score = { tried: 0, readable: 0, structures: 0 };

function points(score: Score): number {
  return score.readable + 8 * score.structures;
}

function score(reader: MemoryReader, header: DumpHeader): Score {
  const memory = new Memory(reader);
  let tried = 0;
  let readable = 0;
  let structures = 0;
  for (const head of [header.psLoadedModuleList, header.psActiveProcessHead]) {
    if (head === null) continue;
    tried++;
    const next = memory.pointer(head);
    if (next === undefined) continue;
    readable++;
    if (memory.pointer(next + BigInt(memory.pointerSize)) === head) structures++;
  }
  if (header.kdDebuggerDataBlock !== null) {
    tried++;
    const tag = memory.u32(header.kdDebuggerDataBlock + 0x10n);
    if (tag !== undefined) readable++;
    if (tag === KDBG_TAG) structures++;
  }
  const pc = programCounter(header, memory.pointerSize);
  if (pc !== null) {
    tried++;
    if (memory.u8(pc) !== undefined) readable++;
  }
  return { tried, readable, structures };
}

/** EIP at +B8 of an x86 CONTEXT, RIP at +F8 of an x64 one. */
function programCounter(header: DumpHeader, pointerSize: 4 | 8): Va | null {
  if (header.context === null) return null;
  const value = pointerSize === 8 ? u64(header.context, 0xf8) : BigInt(u32(header.context, 0xb8));
  return value === 0n ? null : va(value);
}
