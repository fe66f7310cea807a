import type { Arch } from '@dumpscope/core';
import { ForgeError } from '../memory/address-space.ts';

type Place = readonly [offset: number, size: 2 | 4 | 8];

const X86: Readonly<Record<string, Place>> = {
  dr0: [0x04, 4],
  dr1: [0x08, 4],
  dr2: [0x0c, 4],
  dr3: [0x10, 4],
  dr6: [0x14, 4],
  dr7: [0x18, 4],
  gs: [0x8c, 4],
  fs: [0x90, 4],
  es: [0x94, 4],
  ds: [0x98, 4],
  edi: [0x9c, 4],
  esi: [0xa0, 4],
  ebx: [0xa4, 4],
  edx: [0xa8, 4],
  ecx: [0xac, 4],
  eax: [0xb0, 4],
  ebp: [0xb4, 4],
  eip: [0xb8, 4],
  cs: [0xbc, 4],
  efl: [0xc0, 4],
  esp: [0xc4, 4],
  ss: [0xc8, 4],
};

const X64: Record<string, Place> = {
  mxcsr: [0x34, 4],
  cs: [0x38, 2],
  ds: [0x3a, 2],
  es: [0x3c, 2],
  fs: [0x3e, 2],
  gs: [0x40, 2],
  ss: [0x42, 2],
  efl: [0x44, 4],
  rip: [0xf8, 8],
};
['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'].forEach((name, i) => {
  X64[name] = [0x78 + i * 8, 8];
});
for (let i = 8; i < 16; i++) X64[`r${i}`] = [0xb8 + (i - 8) * 8, 8];

const ARM64: Record<string, Place> = {
  cpsr: [0x04, 4],
  fp: [0xf0, 8],
  lr: [0xf8, 8],
  sp: [0x100, 8],
  pc: [0x108, 8],
};
for (let i = 0; i <= 28; i++) ARM64[`x${i}`] = [0x08 + i * 8, 8];

const PLACES: Readonly<Record<Arch, Readonly<Record<string, Place>>>> = { x86: X86, x64: X64, arm64: ARM64 };

/** Size of a CONTEXT record. */
export const CONTEXT_SIZE: Readonly<Record<Arch, number>> = { x86: 0x2cc, x64: 0x4d0, arm64: 0x390 };

const FLAGS: Readonly<Record<Arch, readonly [number, number]>> = {
  x86: [0, 0x10017], // CONTEXT_FULL with debug registers
  x64: [0x30, 0x10000f], // as in real dumps of 9600 and 19041
  arm64: [0, 0x400007],
};

const DEFAULTS: Readonly<Record<Arch, Readonly<Record<string, bigint>>>> = {
  x86: { cs: 0x08n, ss: 0x10n, ds: 0x23n, es: 0x23n, fs: 0x30n, efl: 0x246n },
  x64: { cs: 0x10n, ss: 0x18n, ds: 0x2bn, es: 0x2bn, fs: 0x53n, gs: 0x2bn, efl: 0x246n, mxcsr: 0x1f80n },
  arm64: { cpsr: 0x60000004n },
};

export const REGISTER_NAMES: Readonly<Record<Arch, { readonly pc: string; readonly sp: string; readonly fp: string }>> =
  {
    x86: { pc: 'eip', sp: 'esp', fp: 'ebp' },
    x64: { pc: 'rip', sp: 'rsp', fp: 'rbp' },
    arm64: { pc: 'pc', sp: 'sp', fp: 'fp' },
  };

/** A CONTEXT record with these registers; the others hold what kernel code usually has there. */
export function buildContext(arch: Arch, registers: ReadonlyMap<string, bigint>): Uint8Array {
  const out = new Uint8Array(CONTEXT_SIZE[arch]);
  const view = new DataView(out.buffer);
  const [at, flags] = FLAGS[arch];
  view.setUint32(at, flags, true);
  const all = new Map(Object.entries(DEFAULTS[arch]));
  for (const [name, value] of registers) all.set(name === 'eflags' ? 'efl' : name, value);
  for (const [name, value] of all) {
    const place = PLACES[arch][name];
    if (place === undefined) throw new ForgeError(`there is no ${arch} register "${name}"`);
    const [offset, size] = place;
    if (size === 8) view.setBigUint64(offset, BigInt.asUintN(64, value), true);
    else if (size === 4) view.setUint32(offset, Number(value & 0xffffffffn), true);
    else view.setUint16(offset, Number(value & 0xffffn), true);
  }
  return out;
}
