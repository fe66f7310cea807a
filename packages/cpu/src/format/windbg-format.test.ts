import { va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { createDisassembler } from '../disassembler.ts';
import type { Symbolizer } from '../instruction.ts';

const fromHex = (hex: string): Uint8Array =>
  Uint8Array.from((hex.replaceAll(' ', '').match(/../g) ?? []).map((x) => Number.parseInt(x, 16)));

/** `mnemonic` padded to 8 as in a row of `u`. */
function text(arch: 'x86' | 'x64', address: bigint, hex: string, symbolize?: Symbolizer): string {
  const d = createDisassembler(arch);
  const i = d.decode(fromHex(hex), 0, va(address));
  if (!i) return '(short)';
  expect(i.length).toBe(hex.replaceAll(' ', '').length / 2);
  const t = d.format(i, symbolize);
  return t.operands === '' ? t.mnemonic : `${t.mnemonic.padEnd(7)} ${t.operands}`;
}

const hal: Symbolizer = (address) => {
  if (address === 0x806ef218n) return 'hal!HalpVectorToIRQL';
  if (address < 0x806e49f0n || address > 0x806e4a38n) return undefined;
  const offset = address - 0x806e49f0n;
  return `hal!KeAcquireInStackQueuedSpinLock${offset ? `+0x${offset.toString(16)}` : ''}`;
};

describe('the seed page', () => {
  // Rows of seed/dispatch-level-spin.txt; the bytes are those of S01 in cases/spin-states.json.
  const rows: [bigint, string, string][] = [
    [0x806e49f0n, 'a18000feff', 'mov     eax,dword ptr ds:[FFFE0080h]'],
    [0x806e49f5n, 'c1e804', 'shr     eax,4'],
    [0x806e49f8n, '8a8018f26e80', 'mov     al,byte ptr hal!HalpVectorToIRQL (806ef218)[eax]'],
    [0x806e49fen, 'c7058000feff41000000', 'mov     dword ptr ds:[0FFFE0080h],41h'],
    [0x806e4a08n, '884208', 'mov     byte ptr [edx+8],al'],
    [0x806e4a0bn, '894a04', 'mov     dword ptr [edx+4],ecx'],
    [0x806e4a0en, 'c70200000000', 'mov     dword ptr [edx],0'],
    [0x806e4a14n, '89d0', 'mov     eax,edx'],
    [0x806e4a16n, '8711', 'xchg    edx,dword ptr [ecx]'],
    [0x806e4a18n, '83fa00', 'cmp     edx,0'],
    [0x806e4a1bn, '7507', 'jne     hal!KeAcquireInStackQueuedSpinLock+0x34 (806e4a24)'],
    [0x806e4a1dn, '83c902', 'or      ecx,2'],
    [0x806e4a23n, 'c3', 'ret'],
    [0x806e4a2cn, 'f7400401000000', 'test    dword ptr [eax+4],1'],
    [0x806e4a33n, '74ee', 'je      hal!KeAcquireInStackQueuedSpinLock+0x33 (806e4a23)'],
    [0x806e4a35n, 'f390', 'pause'],
    [0x806e4a37n, 'ebf3', 'jmp     hal!KeAcquireInStackQueuedSpinLock+0x3c (806e4a2c)'],
  ];
  it.each(rows)('%s %s', (address, hex, expected) => {
    expect(text('x86', address, hex, hal)).toBe(expected);
  });
});

describe('x86', () => {
  const rows: [string, string][] = [
    ['c20800', 'ret     8'],
    ['c3', 'ret'],
    ['f3c3', 'rep ret'],
    ['f2c3', 'bnd ret'],
    ['cc', 'int     3'],
    ['cd2e', 'int     2Eh'],
    ['f3a5', 'rep movs dword ptr es:[edi],dword ptr [esi]'],
    ['a4', 'movs    byte ptr es:[edi],byte ptr [esi]'],
    ['f3ab', 'rep stos dword ptr es:[edi]'],
    ['f2ae', 'repne scas byte ptr es:[edi]'],
    ['f3a6', 'repe cmps byte ptr [esi],byte ptr es:[edi]'],
    ['ac', 'lods    byte ptr [esi]'],
    ['64a124010000', 'mov     eax,dword ptr fs:[00000124h]'],
    ['648b1524010000', 'mov     edx,dword ptr fs:[124h]'],
    ['8b45fc', 'mov     eax,dword ptr [ebp-4]'],
    ['8b4508', 'mov     eax,dword ptr [ebp+8]'],
    ['8b450c', 'mov     eax,dword ptr [ebp+0Ch]'],
    ['8b84b540ffffff', 'mov     eax,dword ptr [ebp+esi*4-0C0h]'],
    ['8d04c500000000', 'lea     eax,[eax*8]'],
    ['83c8ff', 'or      eax,0FFFFFFFFh'],
    ['6aff', 'push    0FFFFFFFFh'],
    ['c8100001', 'enter   10h,1'],
    ['2e8b00', 'mov     eax,dword ptr cs:[eax]'],
    ['368b00', 'mov     eax,dword ptr ss:[eax]'],
    ['3e8b4500', 'mov     eax,dword ptr ds:[ebp]'],
    ['ea785634120800', 'jmp     0008:12345678'],
    ['ff2500604d80', 'jmp     dword ptr ds:[804D6000h]'],
    ['d9e8', 'fld1'],
    ['dd45f8', 'fld     qword ptr [ebp-8]'],
    ['0f01 18', 'lidt    fword ptr [eax]'],
    ['f00fc70f', 'lock cmpxchg8b qword ptr [edi]'],
    ['0fae00', 'fxsave  [eax]'],
    ['e2fe', 'loop    80500000'],
    ['e8fbffffff', 'call    80500000'],
    ['0fb64801', 'movzx   ecx,byte ptr [eax+1]'],
    ['d7', 'xlat    byte ptr [ebx]'],
    ['0f0b', 'ud2'],
  ];
  it.each(rows)('%s', (hex, expected) => {
    expect(text('x86', 0x80500000n, hex)).toBe(expected);
  });
});

describe('x64', () => {
  const rows: [string, string][] = [
    ['48895c2408', 'mov     qword ptr [rsp+8],rbx'],
    ['488b05df1f0000', 'mov     rax,qword ptr [fffff804`789a2fe6]'],
    ['f0480fba2900', 'lock bts qword ptr [rcx],0'],
    ['65488b042588010000', 'mov     rax,qword ptr gs:[188h]'],
    ['48a12003000080f7ffff', 'mov     rax,qword ptr [FFFFF78000000320h]'],
    ['488d4c24b9', 'lea     rcx,[rsp-47h]'],
    ['4883e4f0', 'and     rsp,0FFFFFFFFFFFFFFF0h'],
    ['6aff', 'push    0FFFFFFFFFFFFFFFFh'],
    ['f348a5', 'rep movs qword ptr [rdi],qword ptr [rsi]'],
    ['f3aa', 'rep stos byte ptr [rdi]'],
    ['6690', 'xchg    ax,ax'],
    ['0f1f440000', 'nop     dword ptr [rax+rax]'],
    ['f0490fc708', 'lock cmpxchg16b oword ptr [r8]'],
    ['0f114c2420', 'movups  xmmword ptr [rsp+20h],xmm1'],
    ['f20f1001', 'movsd   xmm0,mmword ptr [rcx]'],
    ['f2480f2a01', 'cvtsi2sd xmm0,qword ptr [rcx]'],
    ['41b001', 'mov     r8b,1'],
    ['440f20c0', 'mov     rax,cr8'],
    ['ff15fe0e0000', 'call    qword ptr [fffff804`789a1f04]'],
    ['48ffe0', 'jmp     rax'],
    ['0f05', 'syscall'],
    ['62f17c498f', '(short)'],
    ['62f1744958c2', 'vaddps  zmm0{k1},zmm1,zmm2'],
    ['62f1745858 00'.replaceAll(' ', ''), 'vaddps  zmm0,zmm1,dword ptr [rax]{1to16}'],
  ];
  it.each(rows)('%s', (hex, expected) => {
    const d = createDisassembler('x64');
    const i = d.decode(fromHex(hex), 0, va(0xfffff804789a1000n));
    const t = i && d.format(i);
    expect(t ? (t.operands ? `${t.mnemonic.padEnd(7)} ${t.operands}` : t.mnemonic) : '(short)').toBe(expected);
  });

  it('names RIP-relative cells and branch targets', () => {
    const names: Symbolizer = (a) => (a === 0xfffff804789a2060n ? 'Driver+0x2060' : undefined);
    expect(text('x64', 0xfffff804789a115cn, 'ff15fe0e0000', names)).toBe(
      'call    qword ptr [Driver+0x2060 (fffff804`789a2060)]',
    );
  });

  it('prints offset for an immediate with an exact name only', () => {
    const exact: Symbolizer = () => 'nt!KiTable';
    const near: Symbolizer = () => 'nt!KiTable+0x8';
    expect(text('x86', 0x80500000n, '6800604d80', exact)).toBe('push    offset nt!KiTable (804d6000)');
    expect(text('x86', 0x80500000n, '6800604d80', near)).toBe('push    804D6000h');
  });
});

describe('bytes that are no instruction', () => {
  it('is one byte of ???', () => {
    const i = createDisassembler('x64').decode(fromHex('06ffff'), 0, va(0x1000));
    expect(i).toMatchObject({ valid: false, length: 1, mnemonic: '???', flow: 'exception' });
  });
  it('is null when the bytes end inside an instruction', () => {
    expect(createDisassembler('x64').decode(fromHex('488b05'), 0, va(0x1000))).toBeNull();
    expect(createDisassembler('x64').decode(fromHex('90'), 1, va(0x1000))).toBeNull();
  });
  it('is invalid after fifteen bytes of prefixes', () => {
    expect(createDisassembler('x64').decode(new Uint8Array(20).fill(0x66), 0, va(0x1000))?.valid).toBe(false);
  });
});
