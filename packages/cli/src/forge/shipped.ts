import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ImageProvider, ScenarioProvider } from '@dumpscope/forge';

/** Folder that holds `scenarios/` and `images/`: beside the bundle, or packages/forge when run from source. */
function dataFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const candidates = [join(here, 'forge'), join(here, '..', 'forge'), join(here, '..', '..', '..', 'forge')];
  const found = candidates.find(
    (folder) => existsSync(join(folder, 'scenarios')) && existsSync(join(folder, 'images')),
  );
  if (found === undefined)
    throw new Error('the scenarios and images that belong to dumpscope are missing from its installation');
  return found;
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** Shipped scenarios by name; with `folder`, files beside the user's own scenario come first (`base` links). */
export function scenarioFiles(folder: string | null): ScenarioProvider {
  const shipped = join(dataFolder(), 'scenarios');
  const read = (name: string): string | undefined => {
    if (!/^[\w.-]+$/.test(name)) return undefined;
    const beside = folder === null ? undefined : readIfThere(join(folder, `${name}.json`));
    const bytes = beside ?? readIfThere(join(shipped, `${name}.json`));
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  };
  return {
    names: () =>
      readdirSync(shipped)
        .filter((name) => name.endsWith('.json'))
        .map((name) => name.slice(0, -5)),
    read,
  };
}

/** Image sets: shipped ones, or folders beside the user's scenario. Nothing outside the two folders is read. */
export function imageFiles(folder: string | null): ImageProvider {
  const roots = [...(folder === null ? [] : [resolve(folder)]), resolve(dataFolder(), 'images')];
  return {
    read(path) {
      for (const root of roots) {
        const file = resolve(root, path);
        if (!file.startsWith(root + sep)) continue;
        const bytes = readIfThere(file);
        if (bytes !== undefined) return bytes;
      }
      return undefined;
    },
  };
}
