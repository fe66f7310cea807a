import { va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { createDisassembler } from '../disassembler.ts';
import { codeAt } from '../testing/code.ts';
import { buildGraph } from './build-graph.ts';
import { findLoopAround } from './find-loop.ts';
import { blockAt } from './flow-graph.ts';
import { decodeBackward } from './read-code.ts';

const x86 = createDisassembler('x86');
const x64 = createDisassembler('x64');
const SEED =
  'a18000feffc1e8048a8018f26e80c7058000feff41000000884208894a04c7020000000089d0871183fa00750783c902894804c383c9018948048902f740040100000074eef390ebf3';
const addresses = (list: readonly { address: bigint }[]): string[] => list.map((i) => i.address.toString(16));

describe('the seed loop', () => {
  const code = codeAt(0x806e49f0n, SEED);
  it('is found from pc alone: test, je, pause, jmp', () => {
    const found = findLoopAround(code, x86, va(0x806e4a37n));
    expect(found.boundary).toBe('pc-only');
    expect(found.loop?.kind).toBe('cyclic');
    expect(found.loop?.header).toBe(0x806e4a2cn);
    expect(addresses(found.loop?.instructions ?? [])).toEqual(['806e4a2c', '806e4a33', '806e4a35', '806e4a37']);
    expect(found.loop?.exits).toEqual([{ from: 0x806e4a33n, to: 0x806e4a23n, kind: 'branch', edge: 'taken' }]);
    expect(found.loop?.backEdges).toEqual([{ from: 0x806e4a37n, to: 0x806e4a2cn }]);
  });
  it('is the same natural loop from the function start', () => {
    const found = findLoopAround(code, x86, va(0x806e4a37n), { start: va(0x806e49f0n) });
    expect(found.boundary).toBe('entry');
    expect(found.loop).toMatchObject({ kind: 'natural', header: 0x806e4a2cn, start: 0x806e4a2cn, end: 0x806e4a39n });
    expect(found.loop?.parent).toBeNull();
    expect(found.gaps).toEqual([]);
  });
  it('reports a pc that is inside an instruction of the function', () => {
    const found = findLoopAround(code, x86, va(0x806e4a2en), { start: va(0x806e49f0n) });
    expect(found.boundary).toBe('mismatch');
  });
  it('works with the bytes around pc only and names what it cannot see', () => {
    const found = findLoopAround(codeAt(0x806e4a2cn, 'f740040100000074eef390ebf3'), x86, va(0x806e4a35n));
    expect(found.loop?.instructions.length).toBe(4);
    expect(found.gaps).toEqual([{ kind: 'unreadable', from: 0x806e4a33n, to: 0x806e4a23n, edge: 'taken' }]);
    expect(found.loop?.exits).toEqual([{ from: 0x806e4a33n, to: 0x806e4a23n, kind: 'unreadable', edge: 'taken' }]);
  });
  it('is not seen when a byte of it is missing', () => {
    const found = findLoopAround(codeAt(0x806e4a2cn, 'f740040100000074eef3'), x86, va(0x806e4a2cn));
    expect(found.loop).toBeNull();
    expect(found.gaps.map((g) => g.kind)).toEqual(expect.arrayContaining(['unreadable']));
  });
  it('no loop in straight code', () => {
    const found = findLoopAround(code, x86, va(0x806e4a14n), { start: va(0x806e49f0n) });
    expect(found.loop).toBeNull();
    expect(found.gaps).toEqual([]);
  });
});

describe('nesting', () => {
  // lock bts [ecx],0; jb spin; ret; spin: test [ecx],1; je acquire; pause; jmp spin
  const code = codeAt(0x1000n, 'f00fba2900 7201 c3 f70101000000 74f0 f390 ebf4');
  it.each([
    [{}, 'cyclic'],
    [{ start: va(0x1000) }, 'natural'],
  ] as const)('the test loop inside the acquire loop %#', (hints, kind) => {
    const found = findLoopAround(code, x86, va(0x1010n), hints);
    expect(found.loop).toMatchObject({ kind, header: 0x1008n });
    expect(addresses(found.loop?.instructions ?? [])).toEqual(['1008', '100e', '1010', '1012']);
    expect(found.loop?.parent?.header).toBe(0x1000n);
    expect(found.loop?.parent?.instructions.length).toBe(6);
    const outer = findLoopAround(code, x86, va(0x1005n), hints);
    expect(outer.loop?.header).toBe(0x1000n);
  });
  it('jumps into the middle make it irreducible', () => {
    // je +3; L: inc eax; M: dec ecx; jne L; ret   with the first je to M
    const c = codeAt(0x2000n, '7401 40 49 75fc c3');
    expect(findLoopAround(c, x86, va(0x2003n), { start: va(0x2000) }).loop).toMatchObject({ kind: 'irreducible' });
  });
  it('a chunk elsewhere is part of the loop', () => {
    // 1000: test byte [rcx],1 ; jne 5000 ; ret      5000: pause; jmp 1000
    const hot = codeAt(0x1000n, 'f60101 0f85f73f0000 c3');
    const cold = codeAt(0x5000n, 'f390 e9f9bfffff');
    const both = (a: bigint, n: number) => hot(va(a), n) ?? cold(va(a), n);
    const ranges = [
      { start: va(0x1000), end: va(0x100a) },
      { start: va(0x5000), end: va(0x5007) },
    ];
    const found = findLoopAround(both, x64, va(0x5002n), { ranges });
    expect(found.loop).toMatchObject({ header: 0x1000n, kind: 'natural' });
    expect(found.loop?.instructions.length).toBe(4);
    expect(findLoopAround(both, x64, va(0x5002n)).loop?.instructions.length).toBe(4);
  });
});

describe('graph', () => {
  it('resolves a bounded switch of x86', () => {
    // cmp eax,2; ja end; jmp [eax*4+1020]; 100e: nop; ret; 1010: ret; 1011: ret
    const c = codeAt(
      0x1000n,
      '83f802 7709 ff248520100000 90 90 c3 c3 c3 cccccccccccccccccccccccccccccc 0c100000 0e100000 0f100000',
    );
    const graph = buildGraph(c, x86, { roots: [va(0x1000)], fromEntry: true });
    expect(graph.gaps).toEqual([]);
    expect(blockAt(graph, 0x1005n)?.successors.length).toBe(3);
  });
  it('says when a jump is not resolved', () => {
    const graph = buildGraph(codeAt(0x1000n, 'ffe0'), x86, { roots: [va(0x1000)], fromEntry: true });
    expect(graph.gaps).toEqual([{ kind: 'indirect', from: 0x1000n, to: null, edge: 'jump' }]);
  });
  it('stops at __fastfail and at what does not return', () => {
    const graph = buildGraph(codeAt(0x1000n, 'b902000000 cd29 cc'), x64, { roots: [va(0x1000)], fromEntry: true });
    expect(graph.blocks.length).toBe(1);
    expect(graph.blocks[0]?.leaves).toEqual([{ kind: 'stop', from: 0x1005n, to: null, edge: 'next' }]);
  });
  it('is bounded', () => {
    const endless = () => new Uint8Array(15).fill(0x90);
    const graph = buildGraph(endless, x64, { roots: [va(0x1000)], fromEntry: true, maxInstructions: 100 });
    expect(graph.gaps.map((g) => g.kind)).toEqual(['limit']);
  });
  it('reads thousands of nested loops', () => {
    // n loop headers, then n backward jumps to them
    const n = 1500;
    const bytes = new Uint8Array(n + 6 * n + 1).fill(0x90);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < n; i++) {
      const at = n + 6 * i;
      bytes[at] = 0x0f;
      bytes[at + 1] = 0x84;
      view.setInt32(at + 2, n - 1 - i - (at + 6), true);
    }
    bytes[n + 6 * n] = 0xc3;
    const found = findLoopAround(codeAt(0x10000n, bytes), x64, va(0x10000n + BigInt(n)), { start: va(0x10000) });
    expect(found.loop?.instructions.length).toBe(2);
    let depth = 0;
    for (let l = found.loop; l; l = l.parent) depth++;
    expect(depth).toBeGreaterThan(4);
  });
});

describe('decodeBackward', () => {
  it('finds the instructions before an address', () => {
    const code = codeAt(0x806e49f0n, SEED);
    const before = decodeBackward(code, x86, va(0x806e4a37n), 5);
    expect(addresses(before)).toEqual(['806e4a27', '806e4a2a', '806e4a2c', '806e4a33', '806e4a35']);
  });
  it('stops where the bytes begin', () => {
    const before = decodeBackward(codeAt(0x1000n, '9090'), x64, va(0x1002n), 8);
    expect(addresses(before)).toEqual(['1000', '1001']);
  });
});
