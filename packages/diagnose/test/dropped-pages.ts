/**
 * Dumps with a hole: one page of a forged machine is missing, as if it had been paged out or not been written. What the
 * diagnosis said with the page there is the yardstick; without it a verdict may weaken, never turn into another one.
 */
import { bytesSource, type Dump, openDump, type PhysicalMemory } from '@dumpscope/core';
import { openTarget, type SymbolAnswers, type Target } from '@dumpscope/debugger';
import type { SymbolRequest } from '@dumpscope/symbols';
import { forge, type Scenario } from '../../forge/src/index.ts';
import { diagnose, type Finding, type Report } from '../src/index.ts';
import { images } from './forged.ts';

/** A forged machine that can be opened again and again, each time without some of its pages. */
export interface Machine {
  /** Frames (or, in a triage dump, virtual pages) that the diagnosis of the whole dump read, sorted. */
  readonly touched: readonly number[];
  readonly whole: Report;
  without(pages: ReadonlySet<number>): Report;
}

export function machineOf(scenario: Scenario, symbols: boolean): Machine {
  const result = forge(scenario, images);
  const bytes = result.bytes ?? new Uint8Array();
  const files = new Map(result.symbols.map((file) => [file.name.toLowerCase(), file.bytes]));
  const answers: SymbolAnswers = {
    answer(request: SymbolRequest) {
      const found = files.get(request.name.toLowerCase());
      return found === undefined ? undefined : bytesSource(found, request.name);
    },
    tables: [],
  };
  const open = (dropped: ReadonlySet<number>, seen: Set<number>): Report => {
    const dump = openDump(bytesSource(bytes, `${scenario.id}.dmp`));
    if (dump.physical === null) dropVirtual(dump, dropped, seen);
    else dropFrames(dump.physical, dropped, seen);
    const target: Target = openTarget(dump, symbols ? { answers } : {});
    return diagnose(target, 'test');
  };
  const touched = new Set<number>();
  const whole = open(new Set(), touched);
  return {
    touched: [...touched].sort((a, b) => a - b),
    whole,
    without: (pages) => open(pages, new Set()),
  };
}

interface Frames extends PhysicalMemory {
  expectedOffset(pfn: number): number;
}

/** Every read of memory and of page tables asks the container for the frame's place in the file. */
function dropFrames(physical: PhysicalMemory, dropped: ReadonlySet<number>, seen: Set<number>): void {
  const frames = physical as Frames;
  const { pageOffset, expectedOffset } = frames;
  frames.pageOffset = (pfn) => {
    if (dropped.has(pfn)) return -1;
    const offset = pageOffset.call(frames, pfn);
    if (offset >= 0) seen.add(pfn);
    return offset;
  };
  frames.expectedOffset = (pfn) => (dropped.has(pfn) ? -1 : expectedOffset.call(frames, pfn));
}

/** A triage dump has no frames: what goes missing is a virtual page of its overlay. Pages are numbered without sign. */
function dropVirtual(dump: Dump, dropped: ReadonlySet<number>, seen: Set<number>): void {
  const reader = dump.memory();
  const readInto = reader.readInto.bind(reader);
  const gapAt = reader.gapAt.bind(reader);
  const pageOf = (address: bigint): number => Number(BigInt.asUintN(dump.pointerSize === 4 ? 32 : 52, address) >> 12n);
  reader.readInto = (address, into) => {
    const got = readInto(address, into);
    for (let done = 0; done < got; ) {
      const page = pageOf(address + BigInt(done));
      if (dropped.has(page)) return done;
      seen.add(page);
      done += 0x1000 - Number((address + BigInt(done)) & 0xfffn);
    }
    return got;
  };
  reader.gapAt = (address) =>
    dropped.has(pageOf(address)) ? { address, reason: { kind: 'not-in-dump' } } : gapAt(address);
}

const strength = ['possible', 'likely', 'strong', 'proven'];

/**
 * What a finding may always fall back to: it claims nothing of the state, or repeats what the header alone says of the
 * bug check.
 */
const NEUTRAL: ReadonlySet<string> = new Set([
  'dispatch-level-spin: undetermined',
  'self-diagnosis: exception',
  'self-diagnosis: double-fault',
  'self-diagnosis: cumulative-time',
  'invalid-pointer: kernel-address',
  'invalid-pointer: user-address',
]);

/** What describes the dump, and what busy processors look like from outside. */
const ASIDE: ReadonlySet<string> = new Set([
  'manual-dump',
  'busy-system',
  'idle-system',
  'no-component-symbols',
  'incorrect-stack-trace',
]);

/** Pattern, place and verdict: what a finding asserts, whatever its words. */
function assertion(finding: Finding): string {
  const where = finding.processor === null ? '' : ` on processor ${finding.processor}`;
  return `${finding.pattern}${finding.verdict === null ? '' : `: ${finding.verdict}`}${where}`;
}

/** What the diagnosis of the damaged dump asserts beyond that of the whole one; empty where it only weakened. */
export function flips(whole: Report, damaged: Report): string[] {
  const known = new Map<string, number>();
  for (const finding of whole.findings) {
    const key = assertion(finding);
    known.set(key, Math.max(known.get(key) ?? -1, strength.indexOf(finding.confidence)));
  }
  const found: string[] = [];
  for (const finding of damaged.findings) {
    if (NEUTRAL.has(`${finding.pattern}: ${finding.verdict}`) || ASIDE.has(finding.pattern)) continue;
    const key = assertion(finding);
    if (wordIsMissing(finding) && known.has(`dispatch-level-spin: corrupt-lock on processor ${finding.processor}`))
      continue;
    // A finding that no longer names its processor says less than one that did.
    const before = finding.processor === null ? atAny(whole, finding) : known.get(key);
    if (before === undefined) found.push(`${key} (${finding.confidence}) is new`);
    // How sure a contradiction is follows from the layouts: without nt's headers nothing says that a forged kernel is not
    // the one whose layouts it was written with.
    else if (finding.pattern !== 'inconsistent-dump' && strength.indexOf(finding.confidence) > before)
      found.push(`${key} rose from ${strength[before]} to ${finding.confidence}`);
  }
  return found;
}

/** What the entries of a queue say holds without the lock word, and the finding names corrupt-lock as the other reading. */
function wordIsMissing(finding: Finding): boolean {
  return finding.lock !== null && finding.lock.word === null && finding.summary.includes('(corrupt-lock)');
}

function atAny(whole: Report, finding: Finding): number | undefined {
  const same = whole.findings.filter(
    ({ pattern, verdict }) => pattern === finding.pattern && verdict === finding.verdict,
  );
  return same.length === 0 ? undefined : Math.max(...same.map(({ confidence }) => strength.indexOf(confidence)));
}

/** xorshift32: the same seed draws the same pages everywhere. */
export function drawing(seed: number): (bound: number) => number {
  let x = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return (bound) => {
    x = (x ^ (x << 13)) >>> 0;
    x ^= x >>> 17;
    x = (x ^ (x << 5)) >>> 0;
    return x % bound;
  };
}
