import { type Arch, type Memory, type Va, va } from '@dumpscope/core';

/** KUSER_SHARED_DATA, the page that the clock interrupt writes. Its first members have kept their places since NT 4. */

/** Where it is mapped in kernel space. */
export const SHARED_USER_DATA = {
  x86: 0xffdf0000n,
  x64: 0xfffff78000000000n,
  arm64: 0xfffff78000000000n,
} as const;

/** A KSYSTEM_TIME {LowPart, High1Time, High2Time}: written High2, Low, High1, so that a reader sees a torn one. */
export interface SharedTime {
  readonly address: Va;
  /** 100 ns. */
  readonly value: bigint;
  /** High1Time and High2Time differ: it was read while it was being written. */
  readonly torn: boolean;
}

function timeAt(memory: Memory, address: bigint): SharedTime | null {
  const bytes = memory.bytes(address, 12);
  if (bytes === undefined) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, 12);
  const high = view.getInt32(4, true);
  return {
    address: va(address),
    value: (BigInt(high) << 32n) | BigInt(view.getUint32(0, true)),
    torn: high !== view.getInt32(8, true),
  };
}

/** InterruptTime, +8: 100 ns since the start, sleep included. */
export function sharedInterruptTime(memory: Memory, arch: Arch): SharedTime | null {
  return timeAt(memory, SHARED_USER_DATA[arch] + 8n);
}

/** SystemTime, +14: FILETIME. */
export function sharedSystemTime(memory: Memory, arch: Arch): SharedTime | null {
  return timeAt(memory, SHARED_USER_DATA[arch] + 0x14n);
}

/** InterruptTimeBias, +3B0 from Windows 7 on: the part of InterruptTime that was sleep. Null where unreadable. */
export function sharedSleepTime(memory: Memory, arch: Arch): bigint | null {
  return memory.u64(SHARED_USER_DATA[arch] + 0x3b0n) ?? null;
}
