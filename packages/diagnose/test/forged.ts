/** Forged dumps for tests: scenarios and images as they lie in packages/forge. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, openDump } from '@dumpscope/core';
import { openTarget, type SymbolAnswers, type Target } from '@dumpscope/debugger';
import type { SymbolRequest } from '@dumpscope/symbols';
import { forge, loadScenario, type Scenario, type ScenarioProvider } from '../../forge/src/index.ts';

const forgeFolder = join(import.meta.dirname, '../../forge');

export const scenarios: ScenarioProvider = {
  names: () =>
    readdirSync(join(forgeFolder, 'scenarios'))
      .filter((name) => name.endsWith('.json'))
      .map((name) => name.slice(0, -5)),
  read: (name) => {
    const path = join(forgeFolder, 'scenarios', `${name}.json`);
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  },
};

export const images = {
  read: (path: string): Uint8Array | undefined => {
    const file = join(forgeFolder, 'images', path);
    return existsSync(file) ? readFileSync(file) : undefined;
  },
};

export function scenarioNamed(name: string): Scenario {
  return loadScenario(name, scenarios);
}

/** Forges a scenario and opens it; with `symbols`, its images and PDBs answer every request by file name. */
export function forgedTarget(scenario: Scenario, options: { readonly symbols: boolean }): Target {
  const result = forge(scenario, images);
  const files = new Map(result.symbols.map((file) => [file.name.toLowerCase(), file.bytes]));
  const answers: SymbolAnswers = {
    answer(request: SymbolRequest) {
      const bytes = files.get(request.name.toLowerCase());
      return bytes === undefined ? undefined : bytesSource(bytes, request.name);
    },
    tables: [],
  };
  const dump = openDump(bytesSource(result.bytes ?? new Uint8Array(), `${scenario.id}.dmp`));
  return openTarget(dump, options.symbols ? { answers } : {});
}
