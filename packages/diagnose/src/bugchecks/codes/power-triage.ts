/** What the triage block of 0x9F adds: how many requests were outstanding, whose, and whether the named one is among them. */
import { type PnpTriage, type PowerTriage, type Target, triage9f } from '@dumpscope/debugger';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument, list, plural } from '../../engine/words.ts';
import { deviceView, irpView } from './device.ts';

const MAX_NAMED = 4;

/** A sentence for the summary, with its evidence; null where the parameter is no triage block. */
export function triageText(target: Target, block: bigint, named: bigint | null, evidence: Evidence): string | null {
  const triage = triage9f(target, block);
  if (triage === null) return null;
  return triage.kind === 'power'
    ? powerText(target, block, triage, named, evidence)
    : pnpText(target, block, triage, evidence);
}

function powerText(
  target: Target,
  block: bigint,
  triage: PowerTriage,
  named: bigint | null,
  evidence: Evidence,
): string {
  const whole = triage.end === 'head' && triage.unread === 0;
  evidence.memory(
    `TRIAGE_9F_POWER lists ${plural(triage.irps.length, 'power IRP')}${whole ? '' : ', as far as the list could be followed'}${triage.threads === null ? '' : ` and ${plural(triage.threads, 'waiting thread')}`}`,
    'true',
    block,
    4 * target.pointerSize,
    `dt nt!_TRIAGE_9F_POWER ${argument(target, block)}`,
  );
  const among = named === null ? null : triage.irps.find(({ irp }) => irp === named);
  if (among != null)
    evidence.memory('the IRP of the bug check is in that list', 'true', among.entry, 3 * target.pointerSize);
  const others = triage.irps.filter(({ irp }) => irp !== named);
  const holders = others.slice(0, MAX_NAMED).map(({ irp }) => {
    const holder = irpView(target, irp)?.locations[0]?.device?.module?.name ?? null;
    return `${address(target, irp)}${holder === null ? '' : ` at ${holder}`}`;
  });
  const rest = others.length - holders.length;
  const list_ =
    holders.length === 0
      ? 'no other power IRP was outstanding'
      : `${plural(others.length, 'other power IRP')} ${others.length === 1 ? 'was' : 'were'} outstanding: ${list(holders)}${rest > 0 ? ` and ${rest} more` : ''}`;
  return `By the triage block, ${list_}${whole ? '' : ' (the list could not be followed to its end)'}.`;
}

function pnpText(target: Target, block: bigint, triage: PnpTriage, evidence: Evidence): string {
  const whole = triage.end === 'head' && triage.unread === 0;
  evidence.memory(
    `TRIAGE_9F_PNP lists ${plural(triage.devices.length, 'device')} whose completion is awaited${whole ? '' : ', as far as the list could be followed'}`,
    'true',
    block,
    3 * target.pointerSize,
    `dt nt!_TRIAGE_9F_PNP ${argument(target, block)}`,
  );
  const names = triage.devices.slice(0, MAX_NAMED).map(({ device, instance, service }) => {
    const module = deviceView(target, device)?.module?.name ?? null;
    const driver = service !== null && service !== '' ? service : module;
    return `${instance === null || instance === '' ? address(target, device) : instance}${driver === null ? '' : ` (${driver})`}`;
  });
  const rest = triage.devices.length - names.length;
  return names.length === 0
    ? `By the triage block, no device was still to complete${whole ? '' : ', as far as its list could be followed'}.`
    : `By the triage block, ${plural(triage.devices.length, 'device')} had not completed: ${list(names)}${rest > 0 ? ` and ${rest} more` : ''}.`;
}
