/**
 * Reader/writer locks that keep a counter for each processor (NDIS and drivers' own): the writer goes over an array, a
 * cache line an entry, until every counter is zero. Found by running the loop around and looking at what it reads: as many
 * places as there are processors, equally far apart.
 */
import { type CpuState, type Loop, type MemoryPort, run } from '@dumpscope/cpu';
import type { Target } from '@dumpscope/debugger';
import { capturedMemory, programOf } from './cpu-state.ts';

export interface CounterArray {
  readonly first: bigint;
  readonly stride: number;
  readonly size: number;
  /** By processor number; null where it could not be read. */
  readonly counters: readonly (bigint | null)[];
}

const MAX_STEPS = 20_000;
const MAX_READS = 4096;
/** The executor reads in aligned words of 8; a counter is a LONG. */
const COUNTER = 4;
/** Entries that share a line would make the lock useless; 32 bytes on the oldest processors. */
const CACHE_LINE = 32n;

/** Null where neither the loop nor the one around it is such a scan. */
export function counterArray(target: Target, loop: Loop, state: CpuState): CounterArray | null {
  const processors = target.dump.header.numberProcessors;
  if (processors < 2) return null;
  // A scan in one piece comes past every entry; one that stops at the first that is not zero shows the rest only when
  // every counter is taken for zero, in its own loop or in the one around it.
  return (
    arrayOf(target, readsOf(target, loop, state, false), processors, true) ??
    arrayOf(target, readsOf(target, loop, state, true), processors, false) ??
    (loop.parent === null ? null : arrayOf(target, readsOf(target, loop.parent, state, true), processors, false))
  );
}

/** Places that the loop reads outside the stack, with the size of the first. */
function readsOf(
  target: Target,
  loop: Loop,
  state: CpuState,
  zero: boolean,
): { readonly places: readonly bigint[]; readonly first: bigint | null; readonly size: number } {
  const captured = capturedMemory(target);
  const sp = state.registers.get(state.arch === 'x64' ? 'rsp' : 'esp') ?? null;
  const places = new Set<bigint>();
  let first: { readonly address: bigint; readonly size: number } | null = null;
  const memory: MemoryPort = {
    read(address, size) {
      if (sp !== null && address >= sp - 0x1000n && address < sp + 0x1000n) return captured.read(address, size);
      first ??= { address, size };
      if (size === first.size && places.size < MAX_READS) places.add(address);
      return zero && size === first.size ? 0n : captured.read(address, size);
    },
  };
  run(programOf(target), state, memory, {
    inside: new Set(loop.instructions.map((instruction) => instruction.address)),
    header: loop.header,
    maxSteps: MAX_STEPS,
  });
  const seen = first as { readonly address: bigint; readonly size: number } | null;
  return {
    places: [...places].sort((a, b) => (a < b ? -1 : 1)),
    first: seen?.address ?? null,
    size: seen?.size ?? 0,
  };
}

function arrayOf(
  target: Target,
  { places, first: start, size }: ReturnType<typeof readsOf>,
  processors: number,
  whole: boolean,
): CounterArray | null {
  const stride = strideOf(places);
  if (stride === null || places.length > processors || size > 8) return null;
  const before = processors - places.length;
  // A scan that waits at an entry has been over those before it.
  if (whole ? before !== 0 : places[0] !== start) return null;
  const first = (places[0] ?? 0n) - BigInt(before * stride);
  const captured = capturedMemory(target);
  const counters = Array.from({ length: processors }, (_, i) => captured.read(first + BigInt(i * stride), COUNTER));
  // Counters of readers are small.
  return counters.some((counter) => counter !== null && counter > 0xffffn)
    ? null
    : { first, stride, size: COUNTER, counters };
}

/** The distance between neighbours, where all are equally far apart and none shares a cache line. */
function strideOf(places: readonly bigint[]): number | null {
  const [a, b] = places;
  if (a === undefined || b === undefined || b - a < CACHE_LINE || b - a > 0x1000n) return null;
  const stride = b - a;
  return places.every((place, i) => place === a + BigInt(i) * stride) ? Number(stride) : null;
}
