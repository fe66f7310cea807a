import { type Va, va } from '@dumpscope/core';
import type { Processor, Target } from '../../target/model.ts';

/** The KPCR of a processor: KPRCB minus the place it has in nt!_KPCR, without layouts 0x180 (x64) or 0x120 (x86). */
export function pcrAddress(target: Target, processor: Processor): Va {
  const fields = target.layouts.table.struct('_KPCR')?.fields;
  const prcb = fields?.get('PrcbData') ?? fields?.get('Prcb');
  const embedded = prcb?.type.kind === 'struct' ? prcb.offset : undefined;
  return va(processor.prcb - BigInt(embedded ?? (target.arch === 'x86' ? 0x120 : 0x180)));
}
