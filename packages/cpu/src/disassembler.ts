import { formatX86 } from './format/windbg-format.ts';
import { decodeX86 } from './iced/iced-model.ts';
import type { Disassembler } from './instruction.ts';

function x86Disassembler(arch: 'x86' | 'x64', bitness: 32 | 64, pointerSize: 4 | 8): Disassembler {
  return {
    arch,
    maxLength: 15,
    decode: (bytes, offset, address) => decodeX86(bitness, bytes, offset, address),
    format: (instruction, symbolize) => formatX86(instruction, pointerSize, symbolize),
  };
}

const x86 = x86Disassembler('x86', 32, 4);
const x64 = x86Disassembler('x64', 64, 8);

let arm64: Disassembler | undefined;
const arm64NotReady: Disassembler = {
  arch: 'arm64',
  maxLength: 4,
  decode: (bytes, offset, address) => arm64?.decode(bytes, offset, address) ?? null,
  format: (instruction, symbolize) => arm64?.format(instruction, symbolize) ?? { mnemonic: '???', operands: '' },
};

/** Makes ARM64 decoding available; `prepareArm64` calls it. */
export function installArm64(disassembler: Disassembler): void {
  arm64 = disassembler;
}

/**
 * The disassembler for one architecture; the wasm behind it starts on the first decode. ARM64 needs `prepareArm64()`
 * once per process before: until then every decode is null, which means "not available".
 */
export function createDisassembler(arch: 'x86' | 'x64' | 'arm64'): Disassembler {
  return arch === 'x86' ? x86 : arch === 'x64' ? x64 : arm64NotReady;
}
