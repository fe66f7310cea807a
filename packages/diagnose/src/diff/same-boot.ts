/** Are two dumps of one boot? Kernel base and boot time decide; modules and layout support it. */
import { hex } from '@dumpscope/core';
import type { Module, Target } from '@dumpscope/debugger';
import type { BootCheck, DumpDiff, ModulesDiff } from './diff.ts';

/**
 * SystemTime - uptime drifts while the time service disciplines the clock: by at most 500 ppm, in practice far less. One
 * second for the two moments at which a dump writes them, and the rest over the time between the dumps.
 */
const TOLERANCE_SECONDS = 1;
const DRIFT = 1e-4;
/** Of the modules that both list, this many lie where they lay: drivers may be loaded again elsewhere. */
const MIN_COMMON = 0.5;
/** Checks named in one line; all of them are in the result. */
const MAX_REASONS = 3;

export function compareBoot(first: Target, second: Target): DumpDiff['boot'] {
  const checks: BootCheck[] = [
    text('architecture', first.arch, second.arch),
    text('build', first.build, second.build),
    text('kernel base', baseOf(first), baseOf(second)),
    bootTime(first, second),
    text('kernel time stamp', stampOf(first.kernel), stampOf(second.kernel)),
    sharedModules(first, second),
  ];
  const against = checks.filter((check) => check.agrees === false);
  if (against.length > 0) {
    const why = against
      .slice(0, MAX_REASONS)
      .map(({ what, first: a, second: b }) => `${what}: ${a}${b === null ? '' : ` and ${b}`}`);
    return { same: false, why: why.join('; '), checks };
  }
  const open = checks.filter(
    (check) => check.agrees === null && (check.what === 'kernel base' || check.what === 'boot time'),
  );
  if (open.length > 0)
    return {
      same: null,
      why: `${open.map((check) => check.what).join(' and ')} could not be compared; nothing that could be speaks against one boot`,
      checks,
    };
  return { same: true, why: 'same kernel base, same boot time, same modules', checks };
}

export function compareModules(first: Target, second: Target): ModulesDiff {
  const key = (module: Module): string => `${module.imageName.toLowerCase()} ${hex(module.base)}`;
  const [a, b] = [new Set(first.modules.map(key)), new Set(second.modules.map(key))];
  return {
    loaded: second.modules.filter((module) => !a.has(key(module))).map((module) => module.imageName),
    unloaded: first.modules.filter((module) => !b.has(key(module))).map((module) => module.imageName),
  };
}

function text(what: string, first: string | null, second: string | null): BootCheck {
  return { what, first, second, agrees: first === null || second === null ? null : first === second };
}

function baseOf(target: Target): string | null {
  const base = target.kernel?.base ?? target.kdbg?.kernBase ?? null;
  return base === null ? null : hex(base);
}

function stampOf(module: Module | null): string | null {
  return module?.timeDateStamp == null ? null : module.timeDateStamp.toString(16);
}

function bootTime(first: Target, second: Target): BootCheck {
  const [a, b] = [bootSeconds(first), bootSeconds(second)];
  const between = Math.abs((uptimeSeconds(second) ?? 0) - (uptimeSeconds(first) ?? 0));
  return {
    what: 'boot time',
    first: a === null ? null : isoTime(a),
    second: b === null ? null : isoTime(b),
    agrees: a === null || b === null ? null : Math.abs(a - b) <= TOLERANCE_SECONDS + between * DRIFT,
  };
}

function uptimeSeconds(target: Target): number | null {
  return target.time.uptime === null ? null : Number(target.time.uptime) / 1e7;
}

/** Seconds since 1601. */
function bootSeconds(target: Target): number | null {
  const { systemTime, uptime } = target.time;
  return systemTime === null || uptime === null ? null : Number(systemTime - uptime) / 1e7;
}

function isoTime(secondsSince1601: number): string {
  const ms = Math.round(secondsSince1601 * 1000) - 11_644_473_600_000;
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${secondsSince1601.toFixed(3)} s after 1601`;
}

/** Modules that both list by name, at the same base with the same time stamp; null where a side lists none. */
function sharedModules(first: Target, second: Target): BootCheck {
  const byName = new Map(second.modules.map((module) => [module.imageName.toLowerCase(), module]));
  let both = 0;
  let same = 0;
  for (const module of first.modules) {
    const other = byName.get(module.imageName.toLowerCase());
    if (other === undefined) continue;
    both++;
    if (other.base === module.base && other.timeDateStamp === module.timeDateStamp) same++;
  }
  const told = `${same} of ${both} of the same name are the same at the same base`;
  return { what: 'modules', first: told, second: null, agrees: both === 0 ? null : same >= both * MIN_COMMON };
}
