/**
 * Bugcheck 0x133 with the watchdog's profile: the same code under the same callers in every sample of a long stretch is a
 * loop that did not end, whatever it is. The profile shows where, captured code shows the back edge, and what is missing
 * is named. At most likely: equal return addresses do not exclude leaving the loop and entering it again.
 */
import { va } from '@dumpscope/core';
import type { Module, Target } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, clock, count, irqlName, json, plural } from '../../engine/words.ts';
import { openPath } from '../../facts/open-path.ts';
import { threadTimes } from '../../facts/times.ts';
import {
  type ProfileShape,
  profileShape,
  type WatchdogProfile,
  watchdogProfiles,
} from '../../facts/watchdog-profile.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';
import { watchdogPicture } from './picture.ts';

/** Interrupted PCs further apart than this are not one loop. */
const MAX_SPREAD = 0x1000n;
/** Fewer samples than this say nothing. */
const MIN_SAMPLES = 16;

export function watchdogFindings(diagnosis: Diagnosis, judged: ReadonlySet<number | null>): readonly Finding[] {
  const findings: Finding[] = [];
  for (const profile of diagnosis.fact(watchdogProfiles)) {
    if (judged.has(profile.processor.number)) continue;
    const shape = profileShape(profile);
    if (shape === null || !isOneLoop(diagnosis.target, profile, shape)) continue;
    findings.push(judge(diagnosis, profile, shape));
  }
  return findings;
}

/** All samples under the same callers, all interrupted in one small stretch of one module. */
function isOneLoop(target: Target, profile: WatchdogProfile, shape: ProfileShape): boolean {
  const low = shape.pcs[0]?.pc;
  const high = shape.pcs.at(-1)?.pc;
  if (low === undefined || high === undefined || profile.samples.length < MIN_SAMPLES || shape.callers.length === 0)
    return false;
  const module = target.moduleAt(low);
  return (
    shape.sameCallers === profile.samples.length &&
    high - low <= MAX_SPREAD &&
    module !== undefined &&
    module === target.moduleAt(high)
  );
}

function judge(diagnosis: Diagnosis, profile: WatchdogProfile, shape: ProfileShape): Finding {
  const { target } = diagnosis;
  const { processor } = profile;
  const evidence = diagnosis.evidence('watchdog');
  const low = shape.pcs[0]?.pc ?? 0n;
  const high = shape.pcs.at(-1)?.pc ?? 0n;
  const module = target.moduleAt(low) as Module;
  const rva = (value: bigint): string => rvaText(target, value);
  const tick = target.time.tickIncrement === null ? null : target.time.tickIncrement / 1e7;
  const span = sampledSpan(profile, tick);

  evidence.memory(
    `the ${profile.form} watchdog's triage block says where each PRCB keeps its profile`,
    'true',
    profile.triageBlock,
    16,
  );
  evidence.memory(
    `the profile of processor ${processor.number} holds ${plural(profile.samples.length, 'sample')} of ${profile.samples.at(-1)?.addresses.length ?? 0} frames${profile.readable < profile.length ? ` (${profile.readable} of ${profile.length} QWORDs readable)` : ''}`,
    'true',
    profile.buffer,
    256,
    `dps ${profile.buffer.toString(16)}`,
  );
  for (const [label, field] of [
    ['running count', profile.count],
    ['limit', profile.period],
    ['threshold from which on samples are taken', profile.threshold],
  ] as const) {
    if (field.address !== null)
      evidence.memory(
        `watchdog ${label}: ${field.value === null ? 'unknown' : plural(field.value, 'tick')}`,
        field.value === null ? 'undetermined' : 'true',
        field.address,
        4,
      );
  }
  evidence.fact(span.text, span.seconds === null ? 'undetermined' : 'true', null, 'watchdog counts of the PRCB');
  evidence.fact(
    `all ${plural(profile.samples.length, 'sample')} have the same ${plural(shape.callers.length, 'caller')}`,
    'true',
    `dps ${profile.buffer.toString(16)}`,
    'watchdog profile',
  );
  evidence.fact(
    `the interrupted PC is in ${plural(shape.pcs.length, 'place')} within 0x${(high - low).toString(16)} bytes of ${module.name}: ${rva(low)} to ${rva(high)}`,
    'true',
    `dps ${profile.buffer.toString(16)}`,
    'watchdog profile',
  );
  const irql = processor.irql;
  if (irql !== null) {
    const text = `IRQL ${irqlName(irql.level)} (${irql.source})`;
    if (irql.address === null) evidence.fact(text, 'true', '!irql', irql.source);
    else evidence.memory(text, 'true', irql.address, 1);
  } else evidence.fact('the interrupted IRQL is not recorded', 'undetermined', '!irql', 'no source');

  const thread = processor.currentThread === null ? null : target.thread(processor.currentThread);
  const waited = thread === null ? null : threadTimes(diagnosis, thread);
  let sinceWait: number | null = null;
  if (thread !== null && waited !== null && waited.ticksSinceWait !== null && waited.tickSeconds !== null) {
    sinceWait = waited.ticksSinceWait * waited.tickSeconds;
    const at = thread.fieldAddress('Tcb.WaitTime') ?? thread.fieldAddress('WaitTime');
    const text = `the thread last began to wait ${count(waited.ticksSinceWait)} ticks ago${waited.kernelTicks === null ? '' : ` and has ${count(waited.kernelTicks)} ticks of kernel time`}: ${sinceWait.toFixed(1)} s without a wait`;
    if (at === null) evidence.fact(text, 'true', `!thread ${thread.address.toString(16)}`, '_KTHREAD.WaitTime');
    else evidence.memory(text, 'true', at, 4, `!thread ${thread.address.toString(16)}`);
  }

  const code = describeCode(diagnosis, profile, shape, evidence);
  const reentry = shape.callers[0];
  const wouldChange = ['samples with other callers, or interrupted PCs far apart', ...code.wouldChange];
  if (reentry !== undefined) {
    wouldChange.push(
      `equal return addresses do not exclude that the code was left and entered again from ${rva(reentry)}`,
    );
    evidence.fact(
      `equal return addresses do not exclude leaving the loop and entering it again from ${rva(reentry)}`,
      'undetermined',
      `u ${reentry.toString(16)}`,
      'watchdog profile',
    );
  }
  const process = thread?.process ?? thread?.owningProcess ?? null;
  const end = code.end > high ? code.end : high;
  const span_ = span.seconds === null ? '' : ` over the last ${span.seconds.toFixed(3)} s`;
  return {
    ...blankFinding(
      'dispatch-level-spin',
      'unbounded-loop',
      irql === null || irql.level >= 2 ? 'likely' : 'possible',
      `Processor ${processor.number} stays in ${rva(low)}..${rva(high)}: unbounded-loop`,
      `The DPC watchdog sampled processor ${processor.number} ${count(profile.samples.length)} times${span_}: every sample has the same ${plural(shape.callers.length, 'caller')}, and the interrupted PC is always one of ${plural(shape.pcs.length, 'place')} within 0x${(high - low).toString(16)} bytes of ${module.name}. ${code.text} Nothing that was captured is a lock.`,
    ),
    processor: processor.number,
    thread: json(processor.currentThread),
    process: json(process),
    image: process === null ? null : (target.process(process)?.image ?? null),
    loop: { start: json(low) ?? '', end: json(end) ?? '', function: null, exits: code.exits },
    since: {
      minSeconds: span.seconds,
      maxSeconds: sinceWait,
      reason: `${span.text}${sinceWait === null ? '' : `; the thread has not waited for ${clock(sinceWait)}`}`,
    },
    blame: blame(target, shape),
    cleared: target.processors
      .filter((p) => p.idle === true)
      .map((p) => ({ what: `processor ${p.number}`, reason: `idle: ${p.idleReason}` })),
    evidence: evidence.items,
    assumptions: ['the samples were taken of one execution of the loop'],
    wouldChange,
    downstream: [
      `what is bound to processor ${processor.number}: its ready threads, its DPC queue, IPIs that it does not take`,
    ],
    picture: watchdogPicture(diagnosis, profile, shape, code),
  };
}

/** One sample a tick from the threshold to the present count. */
function sampledSpan(profile: WatchdogProfile, tick: number | null): { seconds: number | null; text: string } {
  const { value: now } = profile.count;
  const { value: from } = profile.threshold;
  const limit = profile.period.value;
  if (now === null || from === null || tick === null || from > now)
    return {
      seconds: null,
      text: 'how long the samples span is not known: count, threshold or tick length could not be read',
    };
  const ticks = now - from;
  const seconds = ticks * tick;
  const dense = profile.samples.length >= ticks && profile.samples.length <= ticks + 2;
  const samples = plural(profile.samples.length, 'sample');
  return {
    seconds,
    text: `${samples}${dense ? ', one a tick' : ` in ${plural(ticks, 'tick')}`} (count ${now}${limit === null ? '' : limit === now ? ` = period ${limit}` : ` of period ${limit}`}, profile threshold ${from}): the last ${seconds.toFixed(3)} s`,
  };
}

interface CodeSeen {
  readonly text: string;
  readonly end: bigint;
  readonly exits: { address: string; reads: string | null; value: string | null; condition: string }[];
  readonly wouldChange: string[];
}

/** What the captured bytes at the interrupted PC show of the loop, and which bytes of which image are missing. */
function describeCode(
  diagnosis: Diagnosis,
  profile: WatchdogProfile,
  shape: ProfileShape,
  evidence: Evidence,
): CodeSeen {
  const { target } = diagnosis;
  const registers = profile.processor.interrupted;
  const low = shape.pcs[0]?.pc ?? 0n;
  const rva = (value: bigint): string => rvaText(target, value);
  const module = target.moduleAt(low);
  const stamp = module?.timeDateStamp == null ? 'timestamp unknown' : module.timeDateStamp.toString(16);
  const image = module === undefined ? 'the image' : `${module.imageName}, ${stamp}, ${module.size.toString(16)}`;
  const missingText = (from: bigint, to: bigint): string => `${rva(from)}..${to.toString(16)} is missing (${image})`;
  if (registers === null)
    return { text: 'The interrupted context is not in the dump.', end: low, exits: [], wouldChange: [] };
  const path = openPath(target, registers, low);
  if (path === null) {
    const text = `the code at ${rva(registers.pc)} is not in the dump: needs ${image}`;
    evidence.fact(text, 'undetermined', `u ${registers.pc.toString(16)}`, 'missing');
    return {
      text: `The loop itself cannot be read: ${text}.`,
      end: low,
      exits: [],
      wouldChange: [`the code of ${image}`],
    };
  }
  evidence.memory(
    `${path.length} code bytes are captured at ${rva(registers.pc)}; ${path.backEdge.text} at ${rva(path.backEdge.address)} is the back edge${path.backEdge.target === low ? ' to the lowest sampled PC' : ` to ${rva(path.backEdge.target)}`}, ${path.condition}`,
    'true',
    registers.pc,
    Math.min(path.length, 256),
    `u ${registers.pc.toString(16)}`,
  );
  const exits: CodeSeen['exits'] = [];
  if (path.cell !== null) {
    evidence.memory('that cell', path.cell.value === null ? 'undetermined' : 'true', path.cell.address, path.cell.size);
    exits.push({
      address: json(path.backEdge.address) ?? '',
      reads: json(path.cell.address),
      value: json(path.cell.value),
      condition: `goes on while ${path.conditionHolds}`,
    });
  }
  let gap = '';
  let wanted = '';
  if (path.backEdge.target < registers.pc && target.memory.gap(path.backEdge.target, 1) !== null) {
    const missing = missingRange(target, path.backEdge.target, registers.pc);
    wanted = `the code ${rva(missing.from)}..${(missing.last - (module?.base ?? 0n)).toString(16)} of ${image}`;
    gap = missingText(missing.from, missing.last - (module?.base ?? 0n));
    evidence.memory(gap, 'undetermined', missing.from, Number(missing.last - missing.from + 1n));
  }
  const cellText =
    path.cell === null
      ? ''
      : path.cell.value === null
        ? `, and that cell (${address(target, path.cell.address)}) is not in the dump`
        : '';
  return {
    text: `The captured code at ${rva(registers.pc)} holds the back edge ${path.backEdge.text}, ${path.condition}${cellText}. ${gap === '' ? '' : `The rest of the loop, ${gap}.`}`.trim(),
    end: path.backEdge.address,
    exits,
    wouldChange: [
      ...(path.cell?.value === null ? [`the ${path.cell.size} bytes at ${address(target, path.cell.address)}`] : []),
      ...(wanted === '' ? [] : [wanted]),
    ],
  };
}

function missingRange(target: Target, from: bigint, to: bigint): { from: bigint; last: bigint } {
  const probe = new Uint8Array(1);
  let last = from;
  for (let at = from; at < to && at - from < 0x1000n; at++) {
    if (target.memory.readInto(va(at), probe) === 1) break;
    last = at;
  }
  return { from, last };
}

function rvaText(target: Target, value: bigint): string {
  const module = target.moduleAt(value);
  return module === undefined ? address(target, value) : `${module.name}+${(value - module.base).toString(16)}`;
}

/** The module that runs the loop, and the first callers outside the kernel: carriers until the loop's own code is read. */
function blame(target: Target, shape: ProfileShape): Finding['blame'] {
  const out: Finding['blame'][number][] = [];
  const pc = shape.pcs[0]?.pc;
  const own = pc === undefined ? undefined : target.moduleAt(pc);
  if (own !== undefined && pc !== undefined)
    out.push({
      module: own.name,
      function: target.nameOf(pc).text,
      role: 'carrier',
      reason: 'every sample was interrupted in it',
      address: json(pc),
    });
  for (const caller of shape.callers) {
    const module = target.moduleAt(caller);
    if (
      module === undefined ||
      module === own ||
      module === target.kernel ||
      out.some((blamed) => blamed.module === module.name)
    )
      continue;
    out.push({
      module: module.name,
      function: target.nameOf(caller).text,
      role: 'caller',
      reason: 'on the stack of every sample; asked for what does not end',
      address: json(caller),
    });
    if (out.length >= 4) break;
  }
  return out;
}
