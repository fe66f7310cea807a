import type { Arch } from '@dumpscope/core';

const COMMON: Readonly<Record<number, string>> = { 0: 'LOW_LEVEL', 1: 'APC_LEVEL', 2: 'DISPATCH_LEVEL' };
const X86: Readonly<Record<number, string>> = {
  27: 'PROFILE_LEVEL',
  28: 'CLOCK2_LEVEL',
  29: 'IPI_LEVEL',
  30: 'POWER_LEVEL',
  31: 'HIGH_LEVEL',
};
const X64: Readonly<Record<number, string>> = {
  12: 'SYNCH_LEVEL',
  13: 'CLOCK_LEVEL',
  14: 'IPI_LEVEL',
  15: 'HIGH_LEVEL',
};

/** `12 (SYNCH_LEVEL) [Synchronization level]`; levels without a name are device levels. */
export function irqlText(level: number, arch: Arch): string {
  const name = COMMON[level] ?? (arch === 'x86' ? X86 : X64)[level] ?? 'DEVICE_LEVEL';
  return `${level} (${name})${name === 'SYNCH_LEVEL' ? ' [Synchronization level]' : ''}`;
}
