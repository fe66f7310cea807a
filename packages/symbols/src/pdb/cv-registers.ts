import { MACHINE_AMD64, MACHINE_ARM64, MACHINE_I386 } from '../pe/headers.ts';

/** CV_ALLREG_VFRAME: the virtual frame, ESP at entry plus the return address. */
const VFRAME = 30006;

const X86: readonly (readonly [first: number, names: string])[] = [
  [1, 'al cl dl bl ah ch dh bh ax cx dx bx sp bp si di eax ecx edx ebx esp ebp esi edi'],
  [33, 'eip eflags'],
  [154, 'xmm0 xmm1 xmm2 xmm3 xmm4 xmm5 xmm6 xmm7'],
];
const AMD64: typeof X86 = [
  [1, 'al cl dl bl ah ch dh bh ax cx dx bx sp bp si di eax ecx edx ebx esp ebp esi edi'],
  [33, 'rip eflags'],
  [154, 'xmm0 xmm1 xmm2 xmm3 xmm4 xmm5 xmm6 xmm7'],
  [252, 'xmm8 xmm9 xmm10 xmm11 xmm12 xmm13 xmm14 xmm15'],
  [324, 'sil dil bpl spl rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15'],
  [344, 'r8b r9b r10b r11b r12b r13b r14b r15b r8w r9w r10w r11w r12w r13w r14w r15w'],
  [360, 'r8d r9d r10d r11d r12d r13d r14d r15d'],
];
const ARM64: typeof X86 = [
  [10, 'w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15 w16 w17 w18 w19 w20 w21 w22 w23 w24 w25 w26 w27 w28'],
  [39, 'w29 w30 wzr'],
  [50, 'x0 x1 x2 x3 x4 x5 x6 x7 x8 x9 x10 x11 x12 x13 x14 x15 x16 x17 x18 x19 x20 x21 x22 x23 x24 x25 x26 x27 x28'],
  [79, 'fp lr sp xzr'],
];

/** Name of a CodeView register (CV_HREG_e) as WinDbg prints registers; `cvreg N` for one that is not known. */
export function registerName(register: number, machine: number): string {
  if (register === VFRAME) return 'vframe';
  const table =
    machine === MACHINE_I386 ? X86 : machine === MACHINE_AMD64 ? AMD64 : machine === MACHINE_ARM64 ? ARM64 : [];
  for (const [first, names] of table) {
    const name = register < first ? undefined : names.split(' ')[register - first];
    if (name !== undefined) return name;
  }
  return `cvreg ${register}`;
}
