import { isRecord } from './checks.ts';
import type { Scenario } from './scenario.ts';
import { checkDerived, checkScenario, isDerived, ScenarioError } from './validate.ts';

const INDEX = /^(0|[1-9][0-9]*)$/;

/**
 * Applies a patch: objects merge member by member, `null` deletes, everything else replaces (RFC 7396). One addition: an
 * object over a list whose members are all indexes patches those entries, so that `{"processors": {"1": {…}}}` works;
 * the index one past the end appends.
 */
export function applyPatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const keys = Object.keys(patch);
  if (Array.isArray(target) && keys.length > 0 && keys.every((key) => INDEX.test(key))) {
    const out: unknown[] = [...target];
    const deleted = new Set<number>();
    for (const key of keys) {
      const index = Number(key);
      if (index > out.length) throw new Error(`index ${key} is beyond the end of a list of ${target.length}`);
      if (patch[key] === null) deleted.add(index);
      else out[index] = applyPatch(out[index], patch[key]);
    }
    return out.filter((_, index) => !deleted.has(index));
  }
  const out: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  for (const key of keys) {
    if (patch[key] === null) delete out[key];
    else out[key] = applyPatch(out[key], patch[key]);
  }
  return out;
}

/** Where scenarios come from: the front reads files, a page has them built in. */
export interface ScenarioProvider {
  names(): readonly string[];
  /** JSON text of one scenario, undefined when there is none of that name. */
  read(name: string): string | undefined;
}

function parse(name: string, json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch (error) {
    throw new ScenarioError(name, [`not JSON: ${error instanceof Error ? error.message : String(error)}`]);
  }
}

/** Follows `base` links (cycles are an error) and returns the whole, checked scenario. */
export function resolveScenario(json: unknown, provider: ScenarioProvider): Scenario {
  const chain: { id: string; title?: unknown; about?: unknown; expect?: unknown; patch: unknown }[] = [];
  const seen = new Set<string>();
  let current = json;
  while (isDerived(current)) {
    const derived = checkDerived(current);
    chain.push({ ...derived });
    if (seen.has(derived.base)) throw new ScenarioError(derived.id, [`base: "${derived.base}" leads back to itself`]);
    seen.add(derived.base);
    const source = provider.read(derived.base);
    if (source === undefined) throw new ScenarioError(derived.id, [`base: there is no scenario "${derived.base}"`]);
    current = parse(derived.base, source);
  }
  for (const link of chain.reverse()) {
    try {
      current = applyPatch(current, link.patch);
    } catch (error) {
      throw new ScenarioError(link.id, [`patch: ${error instanceof Error ? error.message : String(error)}`]);
    }
    current = applyPatch(current, { id: link.id });
    for (const member of ['title', 'about', 'expect'] as const) {
      if (link[member] !== undefined && isRecord(current)) current = { ...current, [member]: link[member] };
    }
  }
  return checkScenario(current);
}

export function loadScenario(name: string, provider: ScenarioProvider): Scenario {
  const source = provider.read(name);
  if (source === undefined) throw new ScenarioError(name, ['there is no scenario of that name']);
  return resolveScenario(parse(name, source), provider);
}

export interface ScenarioSummary {
  readonly name: string;
  readonly title: string;
  readonly arch: string;
  readonly dump: string;
}

/** One line a scenario, for `forge --list`; scenarios with faults are listed with their first fault. */
export function listScenarios(provider: ScenarioProvider): ScenarioSummary[] {
  return [...provider.names()].sort().map((name) => {
    try {
      const s = loadScenario(name, provider);
      return { name, title: s.title ?? '', arch: s.arch, dump: s.dump };
    } catch (error) {
      const line = error instanceof ScenarioError ? (error.errors[0] ?? error.message) : String(error);
      return { name, title: `(faulty: ${line})`, arch: '', dump: '' };
    }
  });
}
