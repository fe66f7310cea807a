import type { Module, Target } from '@dumpscope/debugger';
import { type Diagnosis, defineReview, type Review } from '../../engine/diagnosis.ts';
import { list, plural } from '../../engine/words.ts';
import { findingStacks } from '../../facts/finding-stacks.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

const MAX_TOLD = 8;
/** Frames of one module that are shown as examples. */
const MAX_PLACES = 3;

interface Nameless {
  readonly module: Module;
  readonly places: Set<string>;
  scanned: boolean;
}

/**
 * Modules on the stacks of the findings whose functions have no names: `driver+0x1a2b`, or the nearest export. Which PDB
 * would name them, and what the findings would gain. Nothing is said where there is no finding to gain.
 */
export const noComponentSymbols: Review = defineReview({
  id: 'no-component-symbols',
  title: 'No Component Symbols',
  run(diagnosis: Diagnosis, findings: readonly Finding[]): readonly Finding[] {
    const { target } = diagnosis;
    const found = new Map<Module, Nameless>();
    const note = (pc: bigint, scanned: boolean): void => {
      const module = target.moduleAt(pc);
      if (module === undefined || !target.modules.includes(module) || hasNames(module)) return;
      const known = found.get(module) ?? { module, places: new Set(), scanned: false };
      found.set(module, known);
      known.places.add(target.nameOf(pc).text);
      known.scanned ||= scanned;
    };
    const stacks = findingStacks(diagnosis, findings);
    for (const { trace } of stacks)
      for (const frame of trace.frames) note(frame.pc, frame.trust === 'scan' || frame.trust === 'frame-pointer');
    if (found.size === 0) return [];
    const blamed = new Set(findings.flatMap(({ blame }) => blame.map(({ module }) => module)));
    // Whoever is blamed first: that is where a name is worth most.
    const nameless = [...found.values()].sort(
      (a, b) => Number(blamed.has(b.module.name)) - Number(blamed.has(a.module.name)),
    );
    const evidence = diagnosis.evidence('symbols');
    for (const { module, places } of nameless.slice(0, MAX_TOLD))
      evidence.fact(
        `${module.name}: ${module.symbolOrigin === 'export' ? 'names of exports only' : 'no names'} (${[...places].slice(0, MAX_PLACES).join(', ')}${places.size > MAX_PLACES ? ', …' : ''}); wanted: ${wanted(module)}`,
        'true',
        `lm v m ${module.name}`,
        module.pdb === null ? 'loaded module list' : 'RSDS record of the image',
      );
    const names = list(nameless.slice(0, MAX_TOLD).map(({ module }) => module.name));
    const more = nameless.length > MAX_TOLD ? ` and ${nameless.length - MAX_TOLD} more` : '';
    const gain = [
      nameless.some(({ module }) => blamed.has(module.name)) ? 'functions in blame' : null,
      'names on the stacks',
      nameless.some(({ scanned }) => scanned)
        ? 'frames by unwind or frame data where they were found by scanning now'
        : null,
    ].filter((part) => part !== null);
    return [
      {
        ...blankFinding(
          'no-component-symbols',
          null,
          'proven',
          `${plural(nameless.length, 'module')} on the stacks of the findings ${nameless.length === 1 ? 'has' : 'have'} no symbols`,
          `${names}${more}: their functions are told as module and offset. Verdicts rest on bytes and stand; symbols would add ${list(gain)}.`,
        ),
        evidence: evidence.items,
      },
    ];
  },
});

/** Names of functions, ours (built in) included; exports name a few, and the nearest one is seldom the function. */
function hasNames({ symbolOrigin }: Module): boolean {
  return symbolOrigin !== null && symbolOrigin !== 'export';
}

function wanted(module: Pick<Target['modules'][number], 'pdb' | 'imageName' | 'timeDateStamp' | 'size'>): string {
  if (module.pdb !== null) return `${module.pdb.name} ${module.pdb.guid} age ${module.pdb.age}`;
  const stamp = module.timeDateStamp === null ? 'timestamp not known' : module.timeDateStamp.toString(16);
  return `${module.imageName} ${stamp} size ${module.size.toString(16)}, whose debug directory names its PDB`;
}
