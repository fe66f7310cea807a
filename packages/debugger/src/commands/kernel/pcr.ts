import { Structure } from '../../nt/structure.ts';
import { type Command, defineCommand } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { symbolText } from '../session/names.ts';
import { pcrAddress } from '../session/pcr-address.ts';
import { deferredCalls } from './dpc-queue.ts';
import { irqlText } from './irql-names.ts';
import { nextThreadOf, processorArgument } from './processor-argument.ts';

/** Label and field of nt!_KPCR; an empty label is a blank line. */
const PCR_FIELDS: readonly (readonly [label: string, path: string])[] = [
  ['NtTib.ExceptionList', 'NtTib.ExceptionList'],
  ['NtTib.StackBase', 'NtTib.StackBase'],
  ['NtTib.StackLimit', 'NtTib.StackLimit'],
  ['NtTib.SubSystemTib', 'NtTib.SubSystemTib'],
  ['NtTib.Version', 'NtTib.Version'],
  ['NtTib.UserPointer', 'NtTib.ArbitraryUserPointer'],
  ['NtTib.SelfTib', 'NtTib.Self'],
  ['', ''],
  ['SelfPcr', 'SelfPcr'],
  ['Prcb', 'Prcb'],
  ['Irql', 'Irql'],
  ['IRR', 'IRR'],
  ['IDR', 'IDR'],
  ['InterruptMode', 'InterruptMode'],
  ['IDT', 'IDT'],
  ['GDT', 'GDT'],
  ['TSS', 'TSS'],
];

export const pcrCommand: Command = defineCommand({
  names: ['!pcr'],
  summary: "show a processor's control region",
  usage: '!pcr [processor]',
  fidelity: "WinDbg's lines; on x64 fields that this kernel's KPCR does not have print as 0, as there.",
  run(session, args) {
    const { target } = session;
    const processor = processorArgument(session, args);
    const address = pcrAddress(target, processor);
    const pcr = new Structure(target, '_KPCR', address);
    const wide = target.pointerSize === 8;
    const line = (label: string, text: string): string =>
      wide ? `\t${label.padStart(20)}: ${text}` : `${label.padStart(25)}: ${text}`;
    const row: Record<string, bigint | number | null> = { processor: processor.number, address };
    const lines = [
      `KPCR for Processor ${processor.number} at ${plainAddress(address, target)}:`,
      `    Major ${pcr.number('MajorVersion') ?? '?'} Minor ${pcr.number('MinorVersion') ?? '?'}`,
    ];
    for (const [label, path] of PCR_FIELDS) {
      if (label === '') {
        lines.push('');
        continue;
      }
      const embedded = pcr.field(path)?.type.kind === 'struct';
      const value = path === 'Prcb' ? processor.prcb : embedded ? pcr.addressOf(path) : pcr.value(path);
      const missing = pcr.field(path) === undefined && path !== 'Prcb';
      row[label] = missing ? null : (value ?? null);
      lines.push(line(label, plainAddress(missing ? 0n : (value ?? null), target)));
    }
    lines.push('');
    for (const [label, value] of [
      ['CurrentThread', processor.currentThread],
      ['NextThread', nextThreadOf(target, processor)],
      ['IdleThread', processor.idleThreadAddress],
    ] as const) {
      row[label] = value;
      lines.push(line(label, plainAddress(value, target)));
    }
    lines.push('');
    const queue = deferredCalls(target, processor);
    lines.push(line('DpcQueue', ''));
    for (const dpc of queue.calls) {
      const routine = dpc.routine === null ? '' : (symbolText(session, dpc.routine) ?? '');
      lines[lines.length - 1] +=
        ` 0x${plainAddress(dpc.address, target)} 0x${plainAddress(dpc.routine, target)}${wide ? ` [${dpc.kind}]` : ''} ${routine}`;
      lines.push(' '.repeat(wide ? 22 : 26));
    }
    while (lines.at(-1)?.trim() === '') lines.pop();
    if (queue.broken !== null) lines.push(`    ${queue.broken}`);
    return result([row], lines);
  },
});

export const prcbCommand: Command = defineCommand({
  names: ['!prcb'],
  summary: "show a processor's control block",
  usage: '!prcb [processor]',
  fidelity: "WinDbg's lines. Times are hex tick counts, as there.",
  run(session, args) {
    const { target } = session;
    const processor = processorArgument(session, args);
    const prcb = new Structure(target, '_KPRCB', processor.prcb);
    const a = (value: bigint | null): string => plainAddress(value, target);
    const hex = (path: string): string => prcb.value(path)?.toString(16).padStart(8, '0') ?? '????????';
    const lines = [`PRCB for Processor ${processor.number} at ${a(processor.prcb)}:`];
    const level = processor.irql?.level ?? prcb.number('DebuggerSavedIRQL');
    lines.push(`Current IRQL -- ${level ?? '?'}`);
    lines.push(
      `Threads--  Current ${a(processor.currentThread)} Next ${a(nextThreadOf(target, processor))} Idle ${a(processor.idleThreadAddress)}`,
    );
    if (prcb.has('GroupSetMember')) {
      const group = prcb.number('Group') ?? '?';
      const number = prcb.number('GroupIndex') ?? prcb.number('Number') ?? '?';
      const member = prcb.value('GroupSetMember')?.toString(16) ?? '?';
      lines.push(
        `Processor Index ${prcb.number('Number') ?? processor.number} Number (${group}, ${number}) GroupSetMember ${member}`,
      );
    } else {
      lines.push(`Number ${prcb.number('Number') ?? processor.number} SetMember ${hex('SetMember')}`);
    }
    lines.push(
      `Interrupt Count -- ${hex('InterruptCount')}`,
      `Times -- Dpc    ${hex('DpcTime')} Interrupt ${hex('InterruptTime')} `,
      `         Kernel ${hex('KernelTime')} User      ${hex('UserTime')} `,
    );
    const row = {
      processor: processor.number,
      prcb: processor.prcb,
      currentThread: processor.currentThread,
      nextThread: processor.nextThread,
      idleThread: processor.idleThreadAddress,
      irql: level ?? null,
      irqlText: level === undefined ? null : irqlText(level, target.arch),
      interruptCount: prcb.number('InterruptCount') ?? null,
      dpcTime: prcb.number('DpcTime') ?? null,
      interruptTime: prcb.number('InterruptTime') ?? null,
      kernelTime: prcb.number('KernelTime') ?? null,
      userTime: prcb.number('UserTime') ?? null,
    };
    return result([row], lines);
  },
});
