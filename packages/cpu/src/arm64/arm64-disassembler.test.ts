import { va } from '@dumpscope/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { findLoopAround } from '../cfg/find-loop.ts';
import { createDisassembler } from '../disassembler.ts';
import { codeAt, hexBytes } from '../testing/code.ts';
import { prepareArm64 } from './prepare-arm64.ts';

describe('ARM64', () => {
  it('is not available before it is prepared', () => {
    expect(createDisassembler('arm64').decode(hexBytes('c0035fd6'), 0, va(0x1000))).toBeNull();
  });
});

describe('ARM64, prepared', () => {
  beforeAll(() => prepareArm64());
  const base = 0xfffff80000001000n;
  // Words as llvm-mc-19 -triple=aarch64 -show-encoding gives them.
  const rows: [hex: string, text: string, fields: object][] = [
    ['c0035fd6', 'ret', { flow: 'return', reads: ['lr'] }],
    ['fd7bbfa9', 'stp fp,lr,[sp,#-0x10]!', { writes: ['sp'] }],
    ['fd030091', 'mov fp,sp', { reads: ['sp'], writes: ['fp'] }],
    ['080840f9', 'ldr x8,[x0,#0x10]', { reads: ['x0'], writes: ['x8'] }],
    ['08004039', 'ldrb w8,[x0]', { reads: ['x0'], writes: ['x8'] }],
    ['04000094', 'bl fffff800`00001010', { flow: 'call', target: base + 16n }],
    ['03000014', 'b fffff800`0000100c', { flow: 'jump', target: base + 12n }],
    [
      '41000054',
      'b.ne fffff800`00001008',
      { flow: 'conditional', condition: 'ne', target: base + 8n, flagsRead: 'ocsz' },
    ],
    ['480000b4', 'cbz x8,fffff800`00001008', { flow: 'conditional', target: base + 8n, reads: ['x8'] }],
    ['28000037', 'tbnz w8,#0,fffff800`00001004', { flow: 'conditional', target: base + 4n }],
    ['00011fd6', 'br x8', { flow: 'indirect-jump' }],
    ['00013fd6', 'blr x8', { flow: 'indirect-call' }],
    ['3f2003d5', 'yield', { flow: 'next' }],
    ['5f2003d5', 'wfe', { flow: 'next' }],
    ['1f0500f1', 'cmp x8,#1', { flagsWritten: 'ocsz' }],
    ['60003ed4', 'brk #0xf003', { flow: 'exception' }],
    ['010000d4', 'svc #0', { flow: 'interrupt' }],
    ['08fc5fc8', 'ldaxr x8,[x0]', { writes: ['x8'] }],
  ];
  it.each(rows)('%s %s', (hex, text, fields) => {
    const d = createDisassembler('arm64');
    const i = d.decode(hexBytes(hex), 0, va(base));
    expect(i).toMatchObject({ valid: true, length: 4, ...fields });
    const t = i && d.format(i);
    expect(t && (t.operands ? `${t.mnemonic} ${t.operands}` : t.mnemonic)).toBe(text);
  });
  it('gives the accessed memory', () => {
    const d = createDisassembler('arm64');
    expect(d.decode(hexBytes('080840f9'), 0, va(base))?.memory).toMatchObject([
      { access: 'read', operand: { base: 'x0', displacement: 16n, size: 8 } },
    ]);
    expect(d.decode(hexBytes('fd7bbfa9'), 0, va(base))?.memory).toMatchObject([
      { access: 'write', operand: { base: 'sp', displacement: -16n, size: 16 } },
    ]);
    expect(d.decode(hexBytes('08004039'), 0, va(base))?.memory[0]?.operand.size).toBe(1);
  });
  it('names targets', () => {
    const d = createDisassembler('arm64');
    const i = d.decode(hexBytes('04000094'), 0, va(base));
    expect(i && d.format(i, () => 'nt!Foo+0x10').operands).toBe('nt!Foo+0x10 (fffff800`00001010)');
  });
  it('finds a spin loop', () => {
    // L: ldr x8,[x0]; cbz x8,out; yield; b L; out: ret
    const code = codeAt(base, '080040f9 680000b4 3f2003d5 fdffff17 c0035fd6');
    const found = findLoopAround(code, createDisassembler('arm64'), va(base + 8n));
    expect(found.loop).toMatchObject({ header: base });
    expect(found.loop?.instructions.length).toBe(4);
    expect(found.loop?.exits).toMatchObject([{ from: base + 4n, to: base + 16n }]);
  });
  it('knows what is no instruction', () => {
    expect(createDisassembler('arm64').decode(hexBytes('ffffffff'), 0, va(base))).toMatchObject({
      valid: false,
      length: 4,
    });
    expect(createDisassembler('arm64').decode(hexBytes('ffff'), 0, va(base))).toBeNull();
  });
});
