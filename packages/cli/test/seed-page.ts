/**
 * The debugger transcript of the page (Crash Dump Analysis Patterns, part 44), a command at a time, as printed there; and
 * the reasons why a line of ours may differ. A difference without a reason fails the test.
 */
export interface PageStep {
  /** The command as the page shows it. */
  readonly page: string;
  /** What we type. */
  readonly ours: string;
  /** Null where the page only names the command. */
  readonly lines: readonly string[] | null;
  /** Why what we type differs; null where it does not. */
  readonly why: string | null;
}

export const seedPage: readonly PageStep[] = [
  {
    page: '0: kd> !thread',
    ours: '!thread',
    why: null,
    lines: [
      'THREAD 830c07c0  Cid 0588.0528  Teb: 7ffa3000 Win32Thread: e29546a8 RUNNING on processor 0',
      'IRP List:',
      '    86163008: (0006,01d8) Flags: 00000900  Mdl: 84f156c0',
      'Not impersonating',
      'DeviceMap                 e257b7c8',
      'Owning Process            831ec608       Image:         MyApp.EXE',
      'Wait Start TickCount      122850         Ticks: 40796 (0:00:10:37.437)',
      'Context Switch Count      191                 LargeStack',
      'UserTime                  00:00:00.000',
      'KernelTime                00:10:37.406',
      'Win32 Start Address MyApp!ThreadImpersonation (0×35f76821)',
      'Start Address kernel32!BaseThreadStartThunk (0×7c810659)',
      'Stack Init a07bf000 Current a07beca0 Base a07bf000 Limit a07bb000 Call 0',
      'Priority 11 BasePriority 8 PriorityDecrement 2 DecrementCount 16',
      'ChildEBP RetAddr',
      'a07be0f8 f77777fa nt!KeBugCheckEx+0×1b',
      'a07be114 f7777032 i8042prt!I8xProcessCrashDump+0×237',
      'a07be15c 805448e5 i8042prt!I8042KeyboardInterruptService+0×21c',
      'a07be15c 806e4a37 nt!KiInterruptDispatch+0×45 (FPO: [0,2] TrapFrame @ a07be180)',
      '',
      'a07be220 a1342755 hal!KeAcquireInStackQueuedSpinLock+0×47',
      'a07be220 a1342755 MyDriver!RcvData+0×98',
    ],
  },
  {
    page: '1: kd> .trap a07be180',
    ours: '.trap a07be180',
    why: 'The page types this at processor 1, where the thread does not run; a trap frame can be read from either.',
    lines: [
      'ErrCode = 00000000',
      'eax=a07be200 ebx=a07be228 ecx=831dabf5 edx=a07beb94 esi=831d02a8 edi=831dabd8',
      'eip=806e4a37 esp=a07be1f4 ebp=a07be220 iopl=0 nv up ei pl nz na po nc',
      'cs=0008 ss=0010 ds=0000 es=0000 fs=0000 gs=0000 efl=00000202',
      '806e4a37 ebf3            jmp     hal!KeAcquireInStackQueuedSpinLock+0×3c (806e4a2c)',
    ],
  },
  {
    page: '1: kd> uf hal!KeAcquireInStackQueuedSpinLock',
    ours: '.asm no_code_bytes; uf hal!KeAcquireInStackQueuedSpinLock',
    why: 'The page prints no code bytes here, so `.asm no_code_bytes` was set before.',
    lines: [
      '806e49f0 mov     eax,dword ptr ds:[FFFE0080h]',
      '806e49f5 shr     eax,4',
      '806e49f8 mov     al,byte ptr hal!HalpVectorToIRQL (806ef218)[eax]',
      '806e49fe mov     dword ptr ds:[0FFFE0080h],41h',
      '806e4a08 mov     byte ptr [edx+8],al',
      '806e4a0b mov     dword ptr [edx+4],ecx',
      '806e4a0e mov     dword ptr [edx],0',
      '806e4a14 mov     eax,edx',
      '806e4a16 xchg    edx,dword ptr [ecx]',
      '806e4a18 cmp     edx,0',
      '806e4a1b jne     hal!KeAcquireInStackQueuedSpinLock+0x34 (806e4a24)',
      '',
      '806e4a1d or      ecx,2',
      '806e4a20 mov     dword ptr [eax+4],ecx',
      '',
      '806e4a23 ret',
      '',
      '806e4a24 or      ecx,1',
      '806e4a27 mov     dword ptr [eax+4],ecx',
      '806e4a2a mov     dword ptr [edx],eax',
      '',
      '806e4a2c test    dword ptr [eax+4],1',
      '806e4a33 je      hal!KeAcquireInStackQueuedSpinLock+0×33 (806e4a23)',
      '',
      '806e4a35 pause',
      '806e4a37 jmp     hal!KeAcquireInStackQueuedSpinLock+0×3c (806e4a2c)',
    ],
  },
  {
    page: '1: kd> dyd eax+4 l1',
    ours: 'dyd eax+4 l1',
    why: null,
    lines: [
      '           3          2          1          0',
      '          10987654 32109876 54321098 76543210',
      '          -------- -------- -------- --------',
      'a07be204  10000011 00011101 10101011 11110101  831dabf5',
    ],
  },
  {
    page: '0: kd> ~0s',
    ours: '~1s',
    why: "The page switches to processor 0, on which `!thread` says the spinning thread runs; an idle stack at f794cd54 is not the boot processor's either. The other processor is 1.",
    lines: [],
  },
  {
    page: '0: kd> k',
    ours: 'k',
    why: null,
    lines: ['ChildEBP RetAddr', 'f794cd54 00000000 nt!KiIdleLoop+0x14'],
  },
  {
    page: '!qlocks (mentioned in the note)',
    ours: '!qlocks',
    why: 'The page only names this command in its note.',
    lines: null,
  },
];

export interface Difference {
  readonly page: string | null;
  readonly ours: string | null;
}

interface Reason {
  readonly id: string;
  readonly text: string;
  readonly applies: (d: Difference) => boolean;
}

const plain = (text: string): string => text.replaceAll('×', 'x');
const squeezed = (text: string): string => text.trim().replace(/ +/g, ' ');

/** Tried in order; the first that applies is given. */
export const reasons: readonly Reason[] = [
  {
    id: 'times-sign',
    text: 'Typography: the web page shows × where the debugger prints x.',
    applies: (d) => d.page !== null && d.ours !== null && d.page !== d.ours && plain(d.page) === d.ours,
  },
  {
    id: 'lost-blanks',
    text: 'Runs of blanks and blanks at the end of a line were lost on the way to the web page.',
    applies: (d) => d.page !== null && d.ours !== null && squeezed(plain(d.page)) === squeezed(d.ours),
  },
  {
    id: 'lost-label',
    text: 'The line with the symbol in front of the instructions is missing on the page: `.trap` prints one, and `uf` one for each block.',
    applies: (d) => d.page === null && /^hal!KeAcquireInStackQueuedSpinLock(?:\+0x[0-9a-f]+)?:$/.test(d.ours ?? ''),
  },
  {
    id: 'no-args',
    text: '`!thread` prints a stack with three argument words; the page was made with them cut out, or with flag 8. Ours are the words that lie on the forged stack.',
    applies: (d) =>
      d.page !== null &&
      d.ours !== null &&
      (/^ChildEBP RetAddr {2}Args to Child/.test(d.ours) ||
        d.ours.replace(/^((?:[0-9a-f]{8} ){2})(?:[0-9a-f]{8} ){3}/, '$1') === plain(d.page)),
  },
  {
    id: 'fpo',
    text: "The page's nt has an FPO record of KiInterruptDispatch ([0,2]); the forged nt.pdb has none for it, so only the trap frame is named. Argument words as above.",
    applies: (d) =>
      /KiInterruptDispatch/.test(d.page ?? '') &&
      /KiInterruptDispatch\+0x45 \(TrapFrame @ a07be180\)/.test(d.ours ?? ''),
  },
  {
    id: 'repeated-row',
    text: 'The page repeats `a07be220 a1342755` of the row above, a slip of the editor: the return address of MyDriver!RcvData cannot be its own. ChildEBP a07be220 stands twice rightly: the leaf function in hal sets up no frame.',
    applies: (d) =>
      /MyDriver!RcvData/.test(d.page ?? '') && /^a07be220 a134247f .*MyDriver!RcvData\+0x98$/.test(d.ours ?? ''),
  },
  {
    id: 'blank-line',
    text: 'The page has an empty line where the stack goes through the trap frame; `k` prints none.',
    applies: (d) => d.page === '' && d.ours === null,
  },
  {
    id: 'older-frames',
    text: 'The page cuts the stack below MyDriver!RcvData. Ours goes on to the system call and into user mode, down to where the entry a07beb94 in EDX was queued.',
    applies: (d) => d.page === null && /^[0-9a-f]{8} [0-9a-f]{8} .*(?:MyDriver|nt|ntdll)!/.test(d.ours ?? ''),
  },
  {
    id: 'setting',
    text: 'Answer to `.asm no_code_bytes`.',
    applies: (d) => d.page === null && d.ours === 'Assembly options: no_code_bytes',
  },
];

/** Line differences by longest common subsequence; a removed and an added line that meet are one changed line. */
export function differences(page: readonly string[], ours: readonly string[]): Difference[] {
  const width = ours.length + 1;
  const length = new Uint16Array((page.length + 1) * width);
  const same = (i: number, j: number): boolean => page[i] === ours[j];
  for (let i = page.length - 1; i >= 0; i--) {
    for (let j = ours.length - 1; j >= 0; j--) {
      const at = i * width + j;
      length[at] = same(i, j)
        ? (length[at + width + 1] as number) + 1
        : Math.max(length[at + width] as number, length[at + 1] as number);
    }
  }
  const found: Difference[] = [];
  let removed: string[] = [];
  let added: string[] = [];
  const flush = (): void => {
    found.push(...pair(removed, added));
    removed = [];
    added = [];
  };
  let i = 0;
  let j = 0;
  while (i < page.length || j < ours.length) {
    if (i < page.length && j < ours.length && same(i, j)) {
      flush();
      i++;
      j++;
    } else if (
      j >= ours.length ||
      (i < page.length && (length[(i + 1) * width + j] as number) >= (length[i * width + j + 1] as number))
    ) {
      removed.push(page[i++] as string);
    } else added.push(ours[j++] as string);
  }
  flush();
  return found;
}

/** Joins the lines of a changed run that a reason explains together; the rest stand alone. */
function pair(removed: readonly string[], added: readonly string[]): Difference[] {
  const found: Difference[] = [];
  const left = [...added];
  for (const line of removed) {
    const at = left.findIndex((o) => reasons.some((r) => r.applies({ page: line, ours: o })));
    if (at < 0) found.push({ page: line, ours: null });
    else {
      found.push(...left.splice(0, at).map((o) => ({ page: null, ours: o })));
      found.push({ page: line, ours: left.shift() ?? null });
    }
  }
  return [...found, ...left.map((o) => ({ page: null, ours: o }))];
}
