/**
 * The DPC watchdog's own profile of a processor (bugcheck 0x133, 1703 and later): one stack of return addresses a tick,
 * written from the moment that a count passes its profile threshold. Shape read off the 19041 dump of the corpus: records of a
 * QWORD count, that many addresses, a zero; the triage block that parameter 3 (cumulative) or 4 (single DPC) points to
 * holds the signature AEBECEDE, a revision and size, the KPRCB offset of the profile pointer and its length in QWORDs.
 */
import type { Processor, Target } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';

const SIGNATURE = 0xaebecede;
const MAX_FRAMES = 128;
/** 0x8200 QWORDs seen; a length beyond this is taken as corrupt. */
const MAX_LENGTH = 0x40000;

export interface ProfileSample {
  /** Return addresses, the watchdog's own frames first. */
  readonly addresses: readonly bigint[];
}

export interface WatchdogProfile {
  readonly processor: Processor;
  readonly form: 'cumulative' | 'single-dpc';
  readonly triageBlock: bigint;
  readonly buffer: bigint;
  readonly samples: readonly ProfileSample[];
  /** QWORDs of the buffer that could be read, of those it has. */
  readonly readable: number;
  readonly length: number;
  /** Ticks: the running count, its limit, and the threshold from which on samples are taken. */
  readonly count: { readonly value: number | null; readonly address: bigint | null };
  readonly period: { readonly value: number | null; readonly address: bigint | null };
  readonly threshold: { readonly value: number | null; readonly address: bigint | null };
}

export const watchdogProfiles: FactKey<readonly WatchdogProfile[]> = defineFact(
  'watchdog profiles',
  ({ target }: Diagnosis) => {
    const bugcheck = target.bugcheck;
    if (bugcheck === null || bugcheck.baseCode !== 0x133) return [];
    const form = bugcheck.parameters[0] === 0n ? 'single-dpc' : 'cumulative';
    const block = bugcheck.parameters[form === 'cumulative' ? 2 : 3];
    const { memory } = target;
    if (memory.u32(block) !== SIGNATURE) return [];
    // `dt` shows the offset as a number that fits 16 bits on every build seen; the field is read as 32 bits.
    const offset = memory.u32(block + 8n);
    const length = memory.u32(block + 12n);
    if (offset === undefined || length === undefined || length === 0 || length > MAX_LENGTH) return [];
    const profiles: WatchdogProfile[] = [];
    for (const processor of target.processors) {
      const buffer = memory.pointer(processor.prcb + BigInt(offset));
      if (buffer === undefined || buffer === 0n) continue;
      const bytes = memory.prefix(buffer, length * 8);
      const samples = parse(bytes);
      if (samples.length === 0) continue;
      profiles.push({
        processor,
        form,
        triageBlock: block,
        buffer,
        samples,
        readable: bytes.length >>> 3,
        length,
        count: prcbField(
          target,
          processor,
          form === 'cumulative' ? ['DpcWatchdogCount', 'DpcWatchdogCountTicks'] : ['DpcTimeCount', 'DpcTimeCountTicks'],
        ),
        period: prcbField(
          target,
          processor,
          form === 'cumulative'
            ? ['DpcWatchdogPeriod', 'DpcWatchdogPeriodTicks']
            : ['DpcTimeLimit', 'DpcTimeLimitTicks'],
        ),
        threshold: prcbField(
          target,
          processor,
          form === 'cumulative'
            ? ['DpcWatchdogProfileCumulativeDpcThreshold', 'DpcWatchdogProfileCumulativeDpcThresholdTicks']
            : ['DpcWatchdogProfileSingleDpcThreshold', 'DpcWatchdogProfileSingleDpcThresholdTicks'],
        ),
      });
    }
    return profiles;
  },
);

function prcbField(
  target: Target,
  processor: Processor,
  names: readonly string[],
): { value: number | null; address: bigint | null } {
  const struct = target.layouts.table.struct('_KPRCB');
  for (const name of names) {
    const field = struct?.fields.get(name);
    if (field === undefined) continue;
    const address = processor.prcb + BigInt(field.offset);
    return { value: target.memory.u32(address) ?? null, address };
  }
  return { value: null, address: null };
}

function parse(bytes: Uint8Array): ProfileSample[] {
  const words = bytes.length >>> 3;
  const view = new DataView(bytes.buffer, bytes.byteOffset, words * 8);
  const samples: ProfileSample[] = [];
  for (let i = 0; i < words; ) {
    const low = view.getUint32(i * 8, true);
    const high = view.getUint32(i * 8 + 4, true);
    if (low === 0 && high === 0) break;
    if (high !== 0 || low > MAX_FRAMES || i + 1 + low > words) break;
    const addresses: bigint[] = [];
    for (let k = 0; k < low; k++) addresses.push(view.getBigUint64((i + 1 + k) * 8, true));
    samples.push({ addresses });
    i += 1 + low;
    if (i < words && view.getUint32(i * 8, true) === 0 && view.getUint32(i * 8 + 4, true) === 0) i++;
  }
  return samples;
}

export interface ProfileShape {
  /** Index of the interrupted PC in each sample; the watchdog's clock path lies before it, its callers after. */
  readonly index: number;
  /** Distinct interrupted PCs, lowest first, with how often each was seen. */
  readonly pcs: readonly { readonly pc: bigint; readonly times: number }[];
  readonly callers: readonly bigint[];
  /** Samples whose callers equal those of the last sample. */
  readonly sameCallers: number;
}

/**
 * Splits samples at the interrupted PC: the entry of the newest sample that equals the processor's interrupted PC;
 * without one, behind the leading entries that all samples share. Null where samples disagree in their clock path.
 */
export function profileShape(profile: WatchdogProfile): ProfileShape | null {
  const last = profile.samples.at(-1);
  if (last === undefined) return null;
  const pc = profile.processor.interrupted?.pc;
  let index = pc === undefined ? -1 : last.addresses.indexOf(pc);
  if (index < 0) {
    index = 0;
    while (
      index < last.addresses.length &&
      profile.samples.every((sample) => sample.addresses[index] === last.addresses[index])
    )
      index++;
  }
  if (index >= last.addresses.length) return null;
  const callers = last.addresses.slice(index + 1);
  const times = new Map<bigint, number>();
  let sameCallers = 0;
  for (const sample of profile.samples) {
    const at = sample.addresses[index];
    if (at !== undefined) times.set(at, (times.get(at) ?? 0) + 1);
    if (
      sample.addresses.length === last.addresses.length &&
      callers.every((caller, k) => sample.addresses[index + 1 + k] === caller)
    )
      sameCallers++;
  }
  const pcs = [...times].map(([address, n]) => ({ pc: address, times: n })).sort((a, b) => (a.pc < b.pc ? -1 : 1));
  return { index, pcs, callers, sameCallers };
}
