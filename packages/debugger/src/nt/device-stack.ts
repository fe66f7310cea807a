/** Device stacks: what lies below a device object, and whether a device of the Plug and Play tree is at the bottom. */
import type { Target } from '../target/model.ts';
import { Structure } from './structure.ts';

/** Deeper than any device stack. */
const MAX_DEPTH = 64;

export interface BottomDevice {
  readonly device: bigint;
  /** DEVICE_NODE of the bottom device: it was enumerated, so it stands for hardware or for what a bus reports as such. */
  readonly node: bigint | null;
}

/**
 * Down by DEVOBJ_EXTENSION.AttachedTo to the device that is attached to nothing. Null where an extension on the way cannot
 * be read, or the chain does not end.
 */
export function bottomDevice(target: Target, device: bigint): BottomDevice | null {
  let at = device;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const extension = new Structure(target, '_DEVICE_OBJECT', at).follow('DeviceObjectExtension', '_DEVOBJ_EXTENSION');
    const below = extension?.value('AttachedTo');
    if (extension === undefined || below === undefined) return null;
    if (below === 0n) {
      const node = extension.value('DeviceNode');
      return { device: at, node: node === undefined || node === 0n ? null : node };
    }
    at = below;
  }
  return null;
}
