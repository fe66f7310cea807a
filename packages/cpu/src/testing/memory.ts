import type { MemoryPort } from '../execute/state.ts';

/** Memory of single values; every other byte is missing. For tests. */
export function memoryOf(
  values: readonly (readonly [address: bigint, value: bigint, size: 1 | 2 | 4 | 8])[],
): MemoryPort {
  const bytes = new Map<bigint, number>();
  for (const [address, value, size] of values)
    for (let i = 0n; i < BigInt(size); i++) bytes.set(address + i, Number((value >> (8n * i)) & 0xffn));
  return {
    read(address, size) {
      let result = 0n;
      for (let i = size - 1; i >= 0; i--) {
        const byte = bytes.get(address + BigInt(i));
        if (byte === undefined) return null;
        result = (result << 8n) | BigInt(byte);
      }
      return result;
    },
  };
}
