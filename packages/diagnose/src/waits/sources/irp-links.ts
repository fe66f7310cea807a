/** Which events the completion of an IRP sets, by equality of objects. */
import { type Irp, irpLocations, Structure, type Target } from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import type { Certainty, EdgeProof } from '../wait-edge.ts';

export interface IrpLink {
  readonly event: bigint;
  readonly certainty: Certainty;
  readonly proof: EdgeProof;
}

/** Links to events in `wanted`: UserEvent, or the file object's event where there is none; contexts of completion routines. */
export function irpLinks(target: Target, irp: Irp, wanted: ReadonlySet<bigint>): IrpLink[] {
  const own = ownEvent(target, irp);
  const links = own === null || !wanted.has(own.event) ? [] : [own];
  return [...links, ...contextLinks(target, irp, wanted)];
}

function ownEvent(target: Target, irp: Irp): IrpLink | null {
  const text = argument(target, irp.address);
  const packet = new Structure(target, '_IRP', irp.address);
  const proof = { length: target.pointerSize, command: `!irp ${text}` };
  if (irp.userEvent !== null && irp.userEvent !== 0n)
    return {
      event: irp.userEvent,
      certainty: 'recorded',
      proof: {
        ...proof,
        claim: `event ${argument(target, irp.userEvent)} is the UserEvent of IRP ${text}`,
        address: packet.addressOf('UserEvent') ?? null,
        source: '_IRP.UserEvent',
      },
    };
  if (irp.userEvent === null || irp.originalFile === null || irp.originalFile === 0n) return null;
  const event = new Structure(target, '_FILE_OBJECT', irp.originalFile).addressOf('Event');
  if (event === undefined) return null;
  return {
    event,
    certainty: 'recorded',
    proof: {
      ...proof,
      claim: `event ${argument(target, event)} is that of file object ${argument(target, irp.originalFile)}, for which IRP ${text} was issued`,
      address: packet.addressOf('Tail.Overlay.OriginalFileObject') ?? null,
      source: '_IRP.Tail.Overlay.OriginalFileObject',
    },
  };
}

function contextLinks(target: Target, irp: Irp, wanted: ReadonlySet<bigint>): IrpLink[] {
  return irpLocations(target, irp).flatMap(({ address, index, completion, context }) => {
    // Locations below the current one have been completed; the routine of a location is called after it.
    if (index < irp.currentLocation || context === null || completion === null || completion === 0n) return [];
    if (!wanted.has(context)) return [];
    const text = argument(target, irp.address);
    return [
      {
        event: context,
        certainty: 'inferred' as const,
        proof: {
          claim: `event ${argument(target, context)} is the context of completion routine ${target.nameOf(completion).text} of IRP ${text}`,
          address: new Structure(target, '_IO_STACK_LOCATION', address).addressOf('Context') ?? null,
          length: target.pointerSize,
          command: `!irp ${text}`,
          source: '_IO_STACK_LOCATION.Context',
        },
      },
    ];
  });
}
