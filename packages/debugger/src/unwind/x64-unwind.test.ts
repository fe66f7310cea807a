import { va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { fakePorts, registerMap, SparseMemory } from '../../test/target-support.ts';
import type { FunctionLookup } from './ports.ts';
import { unwindX64 } from './x64-unwind.ts';
import { decodeUnwindInfo } from './x64-unwind-info.ts';

const BASE = 0xfffff80010000000n;
const XDATA = 0x9000;
const SP = 0xffffa80012340000n;
const RET = 0xfffff80010001234n;

function info(prolog: number, frame: number, codes: number[][], flags = 0, version = 1, tail: number[] = []): number[] {
  const slots = codes.flat();
  const padded = slots.length % 4 === 2 ? [...slots, 0, 0] : slots;
  return [version | (flags << 3), prolog, slots.length / 2, frame, ...padded, ...tail];
}

function entry(begin = 0x1000, end = 0x2000): Extract<FunctionLookup, { kind: 'entry' }> {
  return { kind: 'entry', imageBase: va(BASE), begin, end, unwindData: XDATA };
}

function step(memory: SparseMemory, offset: number, interrupted: boolean, extra: Record<string, bigint> = {}) {
  return unwindX64(
    fakePorts({ memory, code: [[BASE, BASE + 0x8000n]] }),
    entry(),
    registerMap({ rip: BASE + 0x1000n + BigInt(offset), rsp: SP, rax: 1n, rbx: 2n, ...extra }),
    interrupted,
  );
}

describe('x64 unwind codes', () => {
  it('undoes pushes and a small allocation', () => {
    // push rbx; push rdi; sub rsp,28h
    const memory = new SparseMemory(8)
      .put(
        BASE + BigInt(XDATA),
        info(7, 0, [
          [7, 0x42],
          [3, 0x70],
          [1, 0x30],
        ]),
      )
      .u64(SP + 0x28n, 0x77n, 0x33n, RET);
    const result = step(memory, 0x40, false);
    expect(result).toMatchObject({ kind: 'caller', trust: 'unwind-data', returnSlot: SP + 0x38n, trapFrame: null });
    if (result.kind !== 'caller') return;
    expect(result.registers.get('rdi')).toBe(0x77n);
    expect(result.registers.get('rbx')).toBe(0x33n);
    expect(result.registers.get('rip')).toBe(RET);
    expect(result.registers.get('rsp')).toBe(SP + 0x40n);
    expect(result.registers.has('rax')).toBe(false); // volatile: the callee may have changed it
  });

  it('undoes only what an interrupted prologue has done', () => {
    const memory = new SparseMemory(8)
      .put(
        BASE + BigInt(XDATA),
        info(7, 0, [
          [7, 0x42],
          [3, 0x70],
          [1, 0x30],
        ]),
      )
      .u64(SP, 0x33n, RET)
      .put(BASE + 0x1001n, [0x57]);
    const result = step(memory, 1, true);
    expect(result.kind === 'caller' && result.registers.get('rsp')).toBe(SP + 0x10n);
    expect(result.kind === 'caller' && result.registers.get('rbx')).toBe(0x33n);
  });

  it('undoes large allocations in both forms', () => {
    for (const code of [
      [4, 0x01, 0x00, 0x02], // u16 * 8 = 0x1000
      [4, 0x11, 0x00, 0x10, 0x00, 0x00], // u32 = 0x1000
    ]) {
      const memory = new SparseMemory(8).put(BASE + BigInt(XDATA), info(4, 0, [code])).u64(SP + 0x1000n, RET);
      const result = step(memory, 0x20, false);
      expect(result.kind === 'caller' && result.returnSlot).toBe(SP + 0x1000n);
    }
  });

  it('undoes a frame register, saved registers near and far, and skips XMM saves', () => {
    // mov rbp,rsp+20h set up; rsi at frame+40h, r12 at frame+80000h, xmm6 saves
    const codes = [
      [0x20, 0xc5, 0x00, 0x00, 0x08, 0x00], // save r12 far 0x80000
      [0x18, 0x69, 0x00, 0x00, 0x10, 0x00], // xmm6 far
      [0x14, 0x68, 0x03, 0x00], // xmm6
      [0x10, 0x64, 0x08, 0x00], // rsi at 0x40
      [0x0c, 0x03], // set_fpreg
      [0x08, 0xb2], // alloc 0x60
      [0x01, 0x50], // push rbp
    ];
    const rbp = SP + 0x120n; // the body moved rsp down
    const frame = rbp - 0x20n;
    const memory = new SparseMemory(8)
      .put(BASE + BigInt(XDATA), info(0x20, 0x25, codes))
      .u64(frame + 0x40n, 0x51n)
      .u64(frame + 0x80000n, 0x12n)
      .u64(frame + 0x60n, 0xb9n, RET);
    const result = step(memory, 0x80, false, { rbp });
    expect(result.kind).toBe('caller');
    if (result.kind !== 'caller') return;
    expect(result.registers.get('rsi')).toBe(0x51n);
    expect(result.registers.get('r12')).toBe(0x12n);
    expect(result.registers.get('rbp')).toBe(0xb9n);
    expect(result.returnSlot).toBe(frame + 0x68n);
  });

  it('follows chained data with all of the parent codes', () => {
    const parent = [0x00, 0x10, 0, 0, 0x00, 0x11, 0, 0, 0x00, 0xa0, 0, 0];
    const memory = new SparseMemory(8)
      .put(BASE + BigInt(XDATA), info(4, 0, [[4, 0x64, 0x02, 0x00]], 4, 1, parent))
      .put(
        BASE + 0xa000n,
        info(8, 0, [
          [8, 0x32],
          [1, 0x50],
        ]),
      )
      .u64(SP + 0x10n, 0x66n)
      .u64(SP + 0x20n, 0x55n, RET);
    const result = step(memory, 0x40, false);
    expect(result.kind === 'caller' && result.registers.get('rsi')).toBe(0x66n);
    expect(result.kind === 'caller' && result.registers.get('rbp')).toBe(0x55n);
    expect(result.kind === 'caller' && result.returnSlot).toBe(SP + 0x28n);
  });

  it('ends a chain that leads back to itself', () => {
    const loop = [0x00, 0x10, 0, 0, 0x00, 0x20, 0, 0, 0x00, 0x90, 0, 0];
    const memory = new SparseMemory(8).put(BASE + BigInt(XDATA), info(0, 0, [], 4, 1, loop));
    expect(step(memory, 0x40, false)).toMatchObject({ kind: 'end', reason: 'bad-unwind-data' });
  });

  it('crosses a machine frame and names the trap frame around it', () => {
    const tf = SP + 0x50n;
    const memory = new SparseMemory(8)
      // alloc 0x50+0x158 bytes, push rbp, machine frame with error code
      .put(
        BASE + BigInt(XDATA),
        info(0x10, 0, [
          [0x10, 0x01, 0x35, 0x00],
          [1, 0x50],
          [0, 0x1a],
        ]),
      )
      .u64(tf + 0x30n, 0xa0n, 0xc0n, 0xd0n, 0x8n, 0x9n, 0x10n, 0x11n)
      .u64(tf + 0x158n, 0xbbn, 0n, RET, 0x10n, 0x10246n, SP + 0x400n, 0x18n);
    const result = step(memory, 0x30, false);
    expect(result).toMatchObject({
      kind: 'caller',
      trust: 'trap-frame',
      returnSlot: null,
      trapFrame: tf,
      interrupted: true,
    });
    if (result.kind !== 'caller') return;
    expect(result.registers.get('rax')).toBe(0xa0n);
    expect(result.registers.get('r11')).toBe(0x11n);
    expect(result.registers.get('rbp')).toBe(0xbbn);
    expect(result.registers.get('rsp')).toBe(SP + 0x400n);
    expect(result.registers.get('efl')).toBe(0x10246n);
  });

  it('takes a stack switch without interrupt selectors for no trap frame', () => {
    const memory = new SparseMemory(8)
      .put(BASE + BigInt(XDATA), info(0, 0, [[0, 0x0a]]))
      .u64(SP, RET, 0n, 0n, SP + 0x9000n, 0n);
    expect(step(memory, 0x30, false)).toMatchObject({
      kind: 'caller',
      trust: 'unwind-data',
      trapFrame: null,
      interrupted: false,
    });
  });

  it('acts out an epilogue instead of the codes', () => {
    // at: add rsp,20h; pop rbx; ret: with the pops ahead, the codes would undo the allocation twice
    const code = [0x48, 0x83, 0xc4, 0x20, 0x5b, 0xc3];
    const memory = new SparseMemory(8)
      .put(
        BASE + BigInt(XDATA),
        info(5, 0, [
          [5, 0x32],
          [1, 0x30],
        ]),
      )
      .put(BASE + 0x1080n, code)
      .u64(SP, 0x99n, RET, 0n, 0n)
      .u64(SP + 0x20n, 0x77n, RET + 4n);
    const atPop = step(memory, 0x84, true);
    expect(atPop.kind === 'caller' && atPop.registers.get('rbx')).toBe(0x99n);
    expect(atPop.kind === 'caller' && atPop.registers.get('rip')).toBe(RET);
    const atAdd = step(memory, 0x80, true);
    expect(atAdd.kind === 'caller' && atAdd.registers.get('rip')).toBe(RET + 4n);
    // a jump inside of the function is no epilogue
    const inner = new SparseMemory(8)
      .put(
        BASE + BigInt(XDATA),
        info(5, 0, [
          [5, 0x32],
          [1, 0x30],
        ]),
      )
      .put(BASE + 0x1080n, [0xeb, 0x10])
      .u64(SP + 0x20n, 0x77n, RET + 4n);
    const body = step(inner, 0x80, true);
    expect(body.kind === 'caller' && body.returnSlot).toBe(SP + 0x28n);
  });

  it('acts out an epilogue that lies within a prologue of late saves', () => {
    // at 4: add rsp,20h; pop rbx; ret; the prologue ends at 30h with a save of rsi
    const memory = new SparseMemory(8)
      .put(
        BASE + BigInt(XDATA),
        info(0x30, 0, [
          [0x30, 0x64, 0x08, 0x00],
          [5, 0x32],
          [1, 0x30],
        ]),
      )
      .put(BASE + 0x1010n, [0x48, 0x83, 0xc4, 0x20, 0x5b, 0xc3])
      .u64(SP, 0x99n, RET)
      .u64(SP + 0x20n, 0x77n, RET + 4n);
    const atPop = step(memory, 0x14, true);
    expect(atPop.kind === 'caller' && atPop.registers.get('rip')).toBe(RET);
    expect(atPop.kind === 'caller' && atPop.registers.get('rbx')).toBe(0x99n);
    const before = step(memory, 0x10, true);
    expect(before.kind === 'caller' && before.registers.get('rip')).toBe(RET + 4n);
  });

  it('takes a jump to a cold chunk of its own function for no epilogue', () => {
    const own = info(5, 0, [
      [5, 0x32],
      [1, 0x30],
    ]);
    // The chunk at 3000 is chained to the function at 1000; the one at 4000 is a function of its own.
    const chained = [0x00, 0x10, 0, 0, 0x00, 0x20, 0, 0, 0x00, 0x90, 0, 0];
    const memory = new SparseMemory(8)
      .put(BASE + BigInt(XDATA), own)
      .put(BASE + 0xa000n, info(0, 0, [], 4, 1, chained))
      .put(BASE + 0xb000n, info(0, 0, []))
      .put(BASE + 0x1080n, [0xe9, 0x7b, 0x1f, 0, 0])
      .put(BASE + 0x1090n, [0xe9, 0x6b, 0x2f, 0, 0])
      .u64(SP, RET + 8n)
      .u64(SP + 0x20n, 0x77n, RET + 4n);
    const chunk = (begin: number, unwindData: number): FunctionLookup => ({
      kind: 'entry',
      imageBase: va(BASE),
      begin,
      end: begin + 0x1000,
      unwindData,
    });
    const at = (offset: number) =>
      unwindX64(
        fakePorts({
          memory,
          code: [[BASE, BASE + 0x8000n]],
          lookup: (pc) => (pc >= BASE + 0x4000n ? chunk(0x4000, 0xb000) : chunk(0x3000, 0xa000)),
        }),
        entry(),
        registerMap({ rip: BASE + 0x1000n + BigInt(offset), rsp: SP }),
        true,
      );
    const cold = at(0x80);
    expect(cold.kind === 'caller' && cold.registers.get('rip')).toBe(RET + 4n);
    const tail = at(0x90);
    expect(tail.kind === 'caller' && tail.registers.get('rip')).toBe(RET + 8n);
  });

  it('says what could not be read', () => {
    const memory = new SparseMemory(8).put(BASE + BigInt(XDATA), info(4, 0, [[4, 0x42]]));
    expect(step(memory, 0x40, false)).toMatchObject({ kind: 'end', reason: 'unreadable' });
    expect(step(new SparseMemory(8), 0x40, false)).toMatchObject({ kind: 'end', reason: 'unreadable' });
  });
});

describe('UNWIND_INFO', () => {
  it('keeps the epilogs of version 2 apart from the codes', () => {
    const decoded = decodeUnwindInfo(
      Uint8Array.from(
        info(
          9,
          0,
          [
            [0x0d, 0x16],
            [0x40, 0x26],
            [9, 0x62],
            [2, 0x30],
          ],
          0,
          2,
        ),
      ),
    );
    expect(decoded).toMatchObject({
      version: 2,
      epilogs: [
        { fromEnd: 0x0d, size: 0x0d },
        { fromEnd: 0x240, size: 0x0d },
      ],
    });
    expect(typeof decoded === 'string' ? [] : decoded.codes.map((code) => code.op)).toEqual([2, 0]);
  });

  it('refuses unknown versions, operations and codes past the end', () => {
    expect(decodeUnwindInfo(Uint8Array.from([3, 0, 0, 0]))).toBe('unwind information version 3');
    expect(decodeUnwindInfo(Uint8Array.from([1, 0, 1, 0, 0, 0x0f]))).toBe('unwind operation 15');
    expect(decodeUnwindInfo(Uint8Array.from([1, 0, 1, 0, 0, 0x01]))).toContain('past the last slot');
    expect(decodeUnwindInfo(Uint8Array.from([1, 0, 2, 0, 0, 0x32]))).toContain('past the readable bytes');
  });
});
