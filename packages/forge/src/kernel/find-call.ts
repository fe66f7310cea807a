import type { LoadedModule } from './loaded-module.ts';

/**
 * RVA behind the first call of `target` in the function at `start`: `call rel32`, or a call through an import slot that
 * holds the target. The function ends at the next symbol; bytes are compared, not decoded, so that the target must match.
 */
export function findCall(module: LoadedModule, start: number, target: bigint): number | null {
  const { memory } = module;
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const wide = module.image?.is64 ?? module.base > 0xffffffffn;
  let end = Math.min(memory.length, start + 0x4000);
  for (const rva of module.symbols.values()) if (rva > start && rva < end) end = rva;
  if (module.image?.machine === 0xaa64) return findBranchWithLink(module, view, start, end, target);
  for (let at = start; at + 5 <= end; at++) {
    const op = memory[at];
    if (op === 0xe8 && module.base + BigInt(at + 5 + view.getInt32(at + 1, true)) === target) return at + 5;
    if (op !== 0xff || memory[at + 1] !== 0x15 || at + 6 > end) continue;
    const slot = wide
      ? at + 6 + view.getInt32(at + 2, true)
      : Number(BigInt(view.getUint32(at + 2, true)) - module.base);
    if (slot < 0 || slot + 8 > memory.length) continue;
    const value = wide ? view.getBigUint64(slot, true) : BigInt(view.getUint32(slot, true));
    if (value === target) return at + 6;
  }
  return null;
}

/** ARM64: `bl`, a signed 26-bit word offset. */
function findBranchWithLink(
  module: LoadedModule,
  view: DataView,
  start: number,
  end: number,
  target: bigint,
): number | null {
  for (let at = start; at + 4 <= end; at += 4) {
    const word = view.getUint32(at, true);
    if (word >>> 26 !== 0x25) continue;
    const offset = ((word << 6) >> 6) * 4;
    if (module.base + BigInt(at + offset) === target) return at + 4;
  }
  return null;
}
