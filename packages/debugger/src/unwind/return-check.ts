import { va } from '@dumpscope/core';
import { armCallBefore, callBefore } from './call-check.ts';
import type { UnwindPorts } from './ports.ts';

/**
 * How well a stack word stands as the return address of a callee, best first.
 * `match`: a call whose target is the callee's function. `call`: a call whose target is not known. `unverified`: code
 * of a module, the bytes before it are not in the dump. `mismatch`: a call to a function that is not the callee
 * (a stale frame, or the callee was reached by a tail call). `no`: not code, or not after a call.
 */
export type ReturnQuality = 'match' | 'call' | 'unverified' | 'mismatch' | 'no';

/** Largest distance between a call's target and a pc in the same function when no function bounds are known. */
const NEAR = 0x2000n;

/** The code at `target` only jumps on: an import thunk, a control-flow-guard dispatcher, an incremental-link stub. */
function isThunk(ports: UnwindPorts, target: bigint, arch: 'x86' | 'x64'): boolean | null {
  const bytes = ports.code(va(target), 3) ?? ports.code(va(target), 2);
  if (bytes === null) return null;
  const [a, b] = bytes;
  if (a === 0xe9 || a === 0xeb) return true;
  if (a === 0xff && ((b ?? 0) & 0x38) === 0x20) return true; // jmp r/m
  if (arch === 'x64' && a === 0x48 && b === 0xff) return true;
  return false;
}

function judgeTarget(ports: UnwindPorts, target: bigint, callee: bigint, arch: 'x86' | 'x64'): ReturnQuality {
  const start = ports.functionStart(callee);
  if (start !== null && start === target) return 'match';
  if (start === null && target <= callee && callee - target < NEAR) return 'match';
  if (ports.place(target) !== 'code') return 'no';
  const thunk = isThunk(ports, target, arch);
  if (thunk === null || thunk) return 'call';
  return 'mismatch';
}

/** Without code a name that begins exactly here shows a pointer to a function or to data. */
function unverified(ports: UnwindPorts, address: bigint): ReturnQuality {
  return ports.isSymbolStart?.(address) === true ? 'no' : 'unverified';
}

/** `callee`: pc of the frame that would return there; null to check only that a call precedes. */
export function checkReturn(
  ports: UnwindPorts,
  arch: 'x86' | 'x64' | 'arm64',
  address: bigint,
  callee: bigint | null,
): ReturnQuality {
  if (ports.place(address) !== 'code') return 'no';
  if (arch === 'arm64') {
    if ((address & 3n) !== 0n) return 'no';
    const bytes = ports.code(va(address - 4n), 4);
    if (bytes === null) return unverified(ports, address);
    const word = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    const call = armCallBefore(word);
    if (call === null) return 'no';
    if (call.delta === null || callee === null) return 'call';
    const target = address + BigInt(call.delta);
    const start = ports.functionStart(callee);
    if (start === target || (start === null && target <= callee && callee - target < NEAR)) return 'match';
    return 'call';
  }
  let bytes: Uint8Array | null = null;
  for (const length of [8, 7, 6, 5, 3, 2]) {
    bytes = ports.code(va(address - BigInt(length)), length);
    if (bytes !== null) break;
  }
  if (bytes === null) return unverified(ports, address);
  const call = callBefore(bytes, arch);
  // Two bytes cannot show the longer forms.
  if (call === null) return bytes.length >= 7 ? 'no' : unverified(ports, address);
  if (callee === null) return 'call';
  const mask = arch === 'x86' ? 0xffffffffn : 0xffffffffffffffffn;
  switch (call.target.kind) {
    case 'direct':
      return judgeTarget(ports, (address + BigInt(call.target.delta)) & mask, callee, arch);
    case 'slot': {
      const target = ports.memory.pointer((address + BigInt(call.target.delta)) & mask);
      return target === undefined ? 'call' : judgeSlot(ports, target, callee, arch);
    }
    case 'absolute-slot': {
      const target = ports.memory.pointer(BigInt(call.target.address));
      return target === undefined ? 'call' : judgeSlot(ports, target, callee, arch);
    }
    case 'unknown':
      return 'call';
  }
}

/** A pointer variable may have changed since the call: it can confirm, and only a thunk-free code target can deny. */
function judgeSlot(ports: UnwindPorts, target: bigint, callee: bigint, arch: 'x86' | 'x64'): ReturnQuality {
  if (ports.place(target) !== 'code') return 'call';
  const judged = judgeTarget(ports, target, callee, arch);
  return judged === 'no' ? 'call' : judged;
}

/** Target of the call before `address`, where it is known: the start of the function that it called. */
export function calledFunction(ports: UnwindPorts, arch: 'x86' | 'x64', address: bigint): bigint | null {
  const bytes = ports.code(va(address - 7n), 7) ?? ports.code(va(address - 6n), 6) ?? ports.code(va(address - 5n), 5);
  if (bytes === null) return null;
  const call = callBefore(bytes, arch);
  if (call === null) return null;
  const mask = arch === 'x86' ? 0xffffffffn : 0xffffffffffffffffn;
  let target: bigint | undefined;
  if (call.target.kind === 'direct') target = (address + BigInt(call.target.delta)) & mask;
  else if (call.target.kind === 'slot') target = ports.memory.pointer((address + BigInt(call.target.delta)) & mask);
  else if (call.target.kind === 'absolute-slot') target = ports.memory.pointer(BigInt(call.target.address));
  if (target === undefined) return null;
  // Import thunk: jmp dword ptr [slot]
  const code = ports.code(va(target), 6);
  if (code !== null && code[0] === 0xff && code[1] === 0x25) {
    const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
    const slot = arch === 'x86' ? BigInt(view.getUint32(2, true)) : target + 6n + BigInt(view.getInt32(2, true));
    return ports.memory.pointer(slot) ?? null;
  }
  return target;
}
