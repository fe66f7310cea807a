/** Which events the completion of an IRP sets, by equality of objects. */
import { Structure, type Target } from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import type { Certainty, EdgeProof } from '../wait-edge.ts';

export interface IrpLink {
  readonly event: bigint;
  readonly certainty: Certainty;
  readonly proof: EdgeProof;
}

/** More stack locations than any device stack has. */
const MAX_STACKS = 64;

/**
 * Links to events in `wanted`: UserEvent, or the file object's event where there is none; contexts of completion routines.
 * Most IRPs have none: nothing is read but what could link them.
 */
export function irpLinks(target: Target, address: bigint, wanted: ReadonlySet<bigint>): IrpLink[] {
  const packet = new Structure(target, '_IRP', address);
  const links: IrpLink[] = [];
  const own = ownEvent(target, packet);
  if (own !== null && wanted.has(own.event)) links.push(own.link());
  const size = target.layouts.table.struct('_IO_STACK_LOCATION')?.size;
  const header = target.layouts.table.struct('_IRP')?.size;
  const count = packet.number('StackCount');
  const current = packet.number('CurrentLocation');
  if (size === undefined || header === undefined || count === undefined || current === undefined) return links;
  // Locations below the current one have been completed; the routine of a location is called after it.
  for (let i = Math.max(1, current); i <= Math.min(count, MAX_STACKS); i++) {
    const at = packet.address + BigInt(header + (i - 1) * size);
    const location = new Structure(target, '_IO_STACK_LOCATION', at);
    const context = location.value('Context');
    if (context === undefined || !wanted.has(context)) continue;
    const completion = location.value('CompletionRoutine');
    if (completion === undefined || completion === 0n) continue;
    links.push(contextLink(target, packet, location, context, completion));
  }
  return links;
}

interface OwnEvent {
  readonly event: bigint;
  link(): IrpLink;
}

function ownEvent(target: Target, packet: Structure): OwnEvent | null {
  const text = argument(target, packet.address);
  const userEvent = packet.value('UserEvent');
  if (userEvent === undefined) return null;
  if (userEvent !== 0n)
    return {
      event: userEvent,
      link: () => ({
        event: userEvent,
        certainty: 'recorded',
        proof: {
          claim: `event ${argument(target, userEvent)} is the UserEvent of IRP ${text}`,
          address: packet.addressOf('UserEvent') ?? null,
          length: target.pointerSize,
          command: `!irp ${text}`,
          source: '_IRP.UserEvent',
        },
      }),
    };
  const file = packet.value('Tail.Overlay.OriginalFileObject');
  if (file === undefined || file === 0n) return null;
  const event = new Structure(target, '_FILE_OBJECT', file).addressOf('Event');
  if (event === undefined) return null;
  return {
    event,
    link: () => ({
      event,
      certainty: 'recorded',
      proof: {
        claim: `event ${argument(target, event)} is that of file object ${argument(target, file)}, for which IRP ${text} was issued`,
        address: packet.addressOf('Tail.Overlay.OriginalFileObject') ?? null,
        length: target.pointerSize,
        command: `!irp ${text}`,
        source: '_IRP.Tail.Overlay.OriginalFileObject',
      },
    }),
  };
}

function contextLink(
  target: Target,
  packet: Structure,
  location: Structure,
  context: bigint,
  completion: bigint,
): IrpLink {
  const text = argument(target, packet.address);
  return {
    event: context,
    certainty: 'inferred',
    proof: {
      claim: `event ${argument(target, context)} is the context of completion routine ${target.nameOf(completion).text} of IRP ${text}`,
      address: location.addressOf('Context') ?? null,
      length: target.pointerSize,
      command: `!irp ${text}`,
      source: '_IO_STACK_LOCATION.Context',
    },
  };
}
