import type { Processor, Registers, Target } from '@dumpscope/debugger';
import { callEndingAt } from '../../bugchecks/caller.ts';
import { doubleFault } from '../../bugchecks/double-fault.ts';
import { faultContext } from '../../bugchecks/fault-context.ts';
import { isKernelOrHal } from '../../bugchecks/frames.ts';
import { stackOverflowAt } from '../../bugchecks/stack-overflow-at.ts';
import { stackOf } from '../../bugchecks/stack-records.ts';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { argument, list, plural } from '../../engine/words.ts';
import { isManualCode } from '../../facts/dump-taker.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

/** Longest near call that is looked for before an address. */
const CALL = 8;
const MAX_STACK = 0x40000n;

interface Seen {
  readonly module: string;
  /** Words that a call precedes, or whose code is not in the dump: they may be return addresses. */
  maybe: number;
  /** Slots whose value no call precedes. */
  readonly slots: bigint[];
}

/**
 * A raw dump of the crashing stack shows names of drivers that never ran on it: pointers to functions and data, residue.
 * Those are told from return addresses by the code before them, and drivers that stand there only by coincidence are
 * cleared. What cannot be checked because its code is missing clears nobody.
 */
export const coincidentalSymbolicInformation: Pattern = definePattern({
  id: 'coincidental-symbolic-information',
  title: 'Coincidental Symbolic Information',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const { target } = diagnosis;
    const processor = bugchecking(target);
    const registers = processor?.registers ?? null;
    if (target.bugcheck === null || isManualCode(target.bugcheck.baseCode) || target.arch === 'arm64') return [];
    if (processor === null || registers === null) return [];
    const involved = involvedModules(diagnosis, [registers, processor.interrupted]);
    const only = scan(target, registers).filter(
      (seen) => seen.maybe === 0 && seen.slots.length > 0 && !involved.has(seen.module),
    );
    if (only.length === 0) return [];
    const evidence = diagnosis.evidence('coincidence');
    for (const seen of only.slice(0, 8)) {
      const slot = seen.slots[0] ?? 0n;
      const value = target.memory.pointer(slot) ?? 0n;
      evidence.memory(
        `the stack word at ${argument(target, slot)} is ${target.nameOf(value).text}`,
        'true',
        slot,
        target.pointerSize,
        `dps ${argument(target, slot)} l1`,
      );
      evidence.memory(
        `no call ends before ${target.nameOf(value).text}: it is no return address`,
        'true',
        value - BigInt(CALL),
        CALL,
        `ub ${argument(target, value)} l1`,
      );
    }
    const names = only.map((seen) => seen.module);
    const finding = blankFinding(
      'coincidental-symbolic-information',
      null,
      'proven',
      `${list(names)} stand${names.length === 1 ? 's' : ''} on the crashing stack by coincidence`,
      `A raw dump of the stack names ${list(names)}, but no value there is a return address: no call precedes them. They are pointers to functions or data, or residue.`,
    );
    return [
      {
        ...finding,
        processor: processor.number,
        cleared: only.map((seen) => ({
          what: seen.module,
          reason: `${plural(seen.slots.length, 'stack word')} in its image, none behind a call`,
        })),
        evidence: evidence.items,
        wouldChange: ['a call that ends at one of those addresses'],
      },
    ];
  },
});

/** Modules that the crash is about, by walks, records and parameters: what they leave on the stack is no coincidence. */
function involvedModules(diagnosis: Diagnosis, starts: readonly (Registers | null)[]): ReadonlySet<string> {
  const { target } = diagnosis;
  const names = new Set<string>();
  const add = (address: bigint): void => {
    const module = target.moduleAt(address);
    if (module !== undefined) names.add(module.name);
  };
  const fault = diagnosis.fact(faultContext);
  const overflow = diagnosis.fact(stackOverflowAt);
  const { bugcheck } = target;
  const double = bugcheck?.baseCode === 0x7f ? doubleFault(target, bugchecking(target)) : null;
  for (const start of [...starts, fault?.registers ?? null, overflow?.registers ?? null, double?.registers ?? null])
    if (start !== null) for (const frame of target.walkStack(start).frames) add(frame.pc);
  for (const parameter of bugcheck?.parameters ?? []) add(parameter);
  return names;
}

function bugchecking(target: Target): Processor | null {
  return target.processors.find((p) => p.contextTrust === 'bugchecking') ?? null;
}

/** Words of the live stack that lie in images other than nt and hal, by module. */
function scan(target: Target, registers: Registers): readonly Seen[] {
  const stack = stackOf(target, registers);
  const from = registers.sp > stack.limit && registers.sp < stack.base ? registers.sp : stack.limit;
  const width = target.pointerSize;
  const size = Number((stack.base - from > MAX_STACK ? MAX_STACK : stack.base - from) & ~BigInt(width - 1));
  const bytes = target.memory.prefix(from & ~BigInt(width - 1), size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = new Map<string, Seen>();
  for (let i = 0; i + width <= bytes.length; i += width) {
    // Kernel addresses only: the rest is skipped without a bigint.
    const top = view.getUint32(i + width - 4, true);
    if (width === 8 ? top < 0xffff0000 : top < 0x80000000) continue;
    const value = width === 8 ? view.getBigUint64(i, true) : BigInt(top);
    const module = target.moduleAt(value);
    if (module === undefined || isKernelOrHal(target, module)) continue;
    const seen = found.get(module.name) ?? { module: module.name, maybe: 0, slots: [] };
    found.set(module.name, seen);
    // A trap frame's pc, with its selector behind it, is no return address either, and no coincidence.
    const selector = i + 2 * width <= bytes.length ? view.getUint32(i + width, true) & 0xffff : 0;
    const trap = selector === (width === 8 ? 0x10 : 8);
    const readable = target.memory.gap(value - BigInt(CALL), CALL) === null;
    if (trap || !readable || callEndingAt(target, value) !== null) seen.maybe++;
    else seen.slots.push((from & ~BigInt(width - 1)) + BigInt(i));
  }
  return [...found.values()];
}
