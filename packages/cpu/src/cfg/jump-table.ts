import { type Va, va } from '@dumpscope/core';
import type { CodeReader, Disassembler, Instruction, Register } from '../instruction.ts';

const MAX_ENTRIES = 1024;

/** The register that a 32-bit operation on it zero-extends into: table code mixes `ecx` and `rcx`. */
function wide(register: Register): Register {
  if (/^e[a-z]{2}$/.test(register)) return `r${register.slice(1)}`;
  return /^r\d+d$/.test(register) ? register.slice(0, -1) : register;
}

/** Entries that `cmp index,n` / `ja default` admits, from the run of instructions before the jump; null when absent. */
function boundOf(run: readonly Instruction[], index: Register): number | null {
  let name = wide(index);
  for (let i = run.length - 2; i >= 0; i--) {
    const instruction = run[i];
    if (!instruction) break;
    const [a, b] = instruction.operands;
    if (
      instruction.mnemonic === 'cmp' &&
      a?.kind === 'register' &&
      wide(a.register) === name &&
      b?.kind === 'immediate'
    )
      return b.value < BigInt(MAX_ENTRIES) ? Number(b.value) + 1 : null;
    const copies =
      instruction.mnemonic === 'mov' || instruction.mnemonic === 'movzx' || instruction.mnemonic === 'movsxd';
    if (copies && a?.kind === 'register' && wide(a.register) === name && b?.kind === 'register')
      name = wide(b.register);
  }
  return null;
}

function words(code: CodeReader, address: bigint, count: number): Uint32Array | null {
  const bytes = code(va(address), count * 4);
  if (!bytes || bytes.length < count * 4) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: count }, (_, i) => view.getUint32(i * 4, true));
}

/** `jmp dword ptr [index*4+table]`: absolute entries. */
function x86Table(code: CodeReader, run: readonly Instruction[]): bigint[] | null {
  const op = run.at(-1)?.operands[0];
  if (op?.kind !== 'memory' || op.index === null || op.base !== null || op.scale !== 4) return null;
  // The run before the jump often lies in the block of the `ja`; without it the size is not known.
  const count = boundOf(run, op.index);
  const entries = count === null ? null : words(code, BigInt.asUintN(32, op.displacement), count);
  return entries ? [...entries].map(BigInt) : null;
}

/** `lea base,[rip+x]; mov r,[base+index*4+table]; add r,base; jmp r`: entries relative to the base (MSVC: the image's). */
function x64Table(code: CodeReader, run: readonly Instruction[]): bigint[] | null {
  const jump = run.at(-1)?.operands[0];
  const add = run.at(-2);
  const [sum, addend] = add?.operands ?? [];
  if (jump?.kind !== 'register' || add?.mnemonic !== 'add' || sum?.kind !== 'register' || addend?.kind !== 'register')
    return null;
  const names = [sum.register, addend.register];
  if (sum.register !== jump.register) return null;
  for (let i = run.length - 3; i >= 0; i--) {
    const load = run[i];
    const [to, from] = load?.operands ?? [];
    if (!load || to?.kind !== 'register' || from?.kind !== 'memory' || from.index === null || from.scale !== 4)
      continue;
    if (from.base === null || !names.includes(wide(to.register)) || !names.includes(from.base)) continue;
    const lea = run.findLast((x) => {
      const [d, s] = x.operands;
      return (
        x.mnemonic === 'lea' &&
        d?.kind === 'register' &&
        d.register === from.base &&
        s?.kind === 'memory' &&
        s.ripRelative
      );
    });
    const base = lea?.operands[1];
    const count = boundOf(run.slice(0, i + 1), from.index);
    if (base?.kind !== 'memory' || count === null) return null;
    const entries = words(code, base.displacement + from.displacement, count);
    return entries ? [...entries].map((e) => BigInt.asUintN(64, base.displacement + BigInt(e | 0))) : null;
  }
  return null;
}

/** Targets of the indirect jump that ends `run`, or null when it is not a bounded switch inside the function. */
export function jumpTableTargets(
  code: CodeReader,
  disassembler: Disassembler,
  run: readonly Instruction[],
  inside: (address: bigint) => boolean,
): readonly Va[] | null {
  if (disassembler.arch === 'arm64') return null;
  const targets = disassembler.arch === 'x86' ? x86Table(code, run) : x64Table(code, run);
  if (!targets || targets.length === 0) return null;
  const unique = [...new Set(targets)];
  const origin = run.at(-1)?.address ?? 0n;
  // Without known ranges a table entry must at least be near the jump.
  const near = (a: bigint): boolean => a - origin < 0x100000n && origin - a < 0x100000n;
  return unique.every((t) => inside(t) && near(t)) ? unique.map((t) => va(t)) : null;
}
