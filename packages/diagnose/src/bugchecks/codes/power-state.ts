import { threadRegisters } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument } from '../../engine/words.ts';
import type { Finding } from '../../report/report.ts';
import { isKernelOrHal } from '../frames.ts';
import { type DeviceView, deviceView, functionText, irpView } from './device.ts';
import { triageText } from './power-triage.ts';
import { parametersOf, type Reading } from './reading.ts';
import { culpritOn } from './stack-culprit.ts';

/** 0x9F DRIVER_POWER_STATE_FAILURE: 3 an IRP that a device does not complete, 4 the PnP lock that a thread does not give back. */
export function powerState(diagnosis: Diagnosis, evidence: Evidence): Reading {
  const [kind, second, third, fourth] = parametersOf(diagnosis);
  // Since Windows 7 a triage block goes with either.
  if (kind === 3n) return withTriage(blockedIrp(diagnosis, evidence, second, fourth), third, fourth);
  if (kind === 4n) return withTriage(pnpLock(diagnosis, evidence, second, third), fourth, null);
  function withTriage(reading: Reading, block: bigint, named: bigint | null): Reading {
    const text = triageText(diagnosis.target, block, named, evidence);
    return text === null ? reading : { ...reading, summary: [...reading.summary, text] };
  }
  const device = deviceEvidence(
    diagnosis,
    'the device',
    deviceView(diagnosis.target, kind === 1n ? second : third),
    evidence,
  );
  return {
    verdict: 'power-state',
    confidence: 'strong',
    title:
      kind === 1n
        ? 'A device object was freed with a power request outstanding'
        : 'A device completed a system power IRP and did not start the next one',
    summary: [device === null ? 'Which driver owns the device could not be read.' : `The device belongs to ${device}.`],
    blame:
      device === null
        ? []
        : [
            {
              module: device,
              function: null,
              role: 'device owner',
              reason: 'the device object of the bug check is its own',
            },
          ],
  };
}

function deviceEvidence(
  diagnosis: Diagnosis,
  label: string,
  view: DeviceView | null,
  evidence: Evidence,
): string | null {
  const { target } = diagnosis;
  if (view === null) return null;
  if (view.driverObject === null) {
    evidence.fact(
      `${label} ${argument(target, view.device)}: _DEVICE_OBJECT is not in the layouts`,
      'undetermined',
      null,
      'layouts',
    );
    return null;
  }
  evidence.memory(
    view.module === null
      ? `${label} ${address(target, view.device)}: the driver of its DriverObject could not be read`
      : `${label} ${address(target, view.device)} belongs to ${view.module.name}`,
    view.module === null ? 'undetermined' : 'true',
    view.driverObject.address,
    view.driverObject.size,
    `dt nt!_DEVICE_OBJECT ${argument(target, view.device)} DriverObject`,
  );
  return view.module?.name ?? null;
}

function blockedIrp(diagnosis: Diagnosis, evidence: Evidence, pdo: bigint, at: bigint): Reading {
  const { target } = diagnosis;
  const base = { verdict: 'power-irp-blocked', confidence: 'strong' } as const;
  const bus = deviceEvidence(diagnosis, 'the physical device object', deviceView(target, pdo), evidence);
  const irp = irpView(target, at);
  if (irp === null) {
    evidence.memory(`the blocked IRP ${address(target, at)}`, 'undetermined', at, 2, `!irp ${argument(target, at)}`);
    return {
      ...base,
      confidence: 'possible',
      title: `A power IRP was not completed in time${bus === null ? '' : ` on a device of ${bus}`}`,
      summary: [
        `The IRP ${address(target, at)} could not be read, so who holds it is not known.`,
        ...(bus === null
          ? []
          : [`The physical device belongs to ${bus}, the bus driver: it is seldom the one that blocks.`]),
      ],
      wouldChange: [`the IRP ${address(target, at)} and its devices`],
    };
  }
  const [holder] = irp.locations;
  if (holder === undefined) {
    evidence.memory(
      `the IRP is complete: location ${irp.current} of ${irp.stackCount} is current`,
      'true',
      at,
      2,
      `!irp ${argument(target, at)}`,
    );
    return {
      ...base,
      confidence: 'possible',
      title: 'A power IRP had been completed when the watchdog fired',
      summary: ['The IRP has no current location any more: it was completed late, or the dump shows it later.'],
    };
  }
  evidence.memory(
    `the IRP ${address(target, at)} waits at location ${holder.number} of ${irp.stackCount}: ${functionText(holder)}`,
    'true',
    holder.address,
    16,
    `!irp ${argument(target, at)}`,
  );
  const names = irp.locations.map((location) =>
    deviceEvidence(diagnosis, `location ${location.number}: the device`, location.device, evidence),
  );
  const name = names[0] ?? null;
  const above = [...new Set(names.slice(1).filter((item): item is string => item !== null && item !== name))];
  const kernel = name !== null && isKernelOrHal(target, holder.device?.module ?? undefined);
  const blame: Finding['blame'][number][] = [];
  if (name !== null)
    blame.push({
      module: name,
      function: null,
      role: 'holder',
      reason: `the current stack location of the IRP is its device: it has neither completed nor passed it on`,
    });
  for (const module of above)
    blame.push({ module, function: null, role: 'carrier', reason: 'its device passed the IRP down and waits for it' });
  return {
    ...base,
    confidence: name === null || kernel ? 'likely' : 'strong',
    title: `${name ?? 'A driver that could not be read'} has not completed a power IRP (${functionText(holder)})`,
    summary: [
      `The IRP ${address(target, at)} has been at stack location ${holder.number} of ${irp.stackCount} for too long: ${functionText(holder)}.`,
      name === null ? 'The driver of that device could not be read.' : `That location is a device of ${name}.`,
      ...(above.length === 0 ? [] : [`It came through ${above.join(', ')}.`]),
    ],
    blame,
    cleared:
      bus !== null && bus !== name
        ? [{ what: bus, reason: 'it owns the physical device only; the IRP has not reached it' }]
        : [],
    assumptions: ['a driver that sent a request of its own for this IRP waits for whom it sent it to, not itself'],
    wouldChange: ['another current stack location'],
  };
}

function pnpLock(diagnosis: Diagnosis, evidence: Evidence, seconds: bigint, address_: bigint): Reading {
  const { target } = diagnosis;
  const thread = target.thread(address_);
  const registers = thread === null ? null : threadRegisters(target, address_);
  const culprit = culpritOn(diagnosis, registers, evidence, 'holder');
  if (registers === null)
    evidence.fact(
      `the stack of thread ${argument(target, address_)} cannot be walked`,
      'undetermined',
      `!thread ${argument(target, address_)}`,
      'KTHREAD',
    );
  const site = culprit.frame === null ? null : target.nameOf(culprit.frame.pc).text;
  return {
    verdict: 'pnp-lock-held',
    confidence: site === null ? 'possible' : 'likely',
    title: `A power transition waited ${seconds} s for the PnP lock${site === null ? '' : `, which a thread in ${site} holds`}`,
    summary: [
      `Thread ${address(target, address_)} holds the PnP lock and the power transition could not begin.`,
      site === null
        ? 'What that thread waits for could not be read.'
        : `Its first frame outside the kernel is ${site}.`,
    ],
    processor: null,
    thread: address_,
    blame: culprit.blame,
    wouldChange: ['another owner of the PnP lock'],
  };
}
