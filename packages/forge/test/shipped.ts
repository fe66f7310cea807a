import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ImageProvider, ScenarioProvider } from '../src/index.ts';

const folder = fileURLToPath(new URL('../', import.meta.url));

function read(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

export const images: ImageProvider = { read: (path) => read(`${folder}images/${path}`) };

export const scenarios: ScenarioProvider = {
  names: () =>
    readdirSync(`${folder}scenarios`)
      .filter((name) => name.endsWith('.json'))
      .map((name) => name.slice(0, -5)),
  read: (name) => {
    const bytes = read(`${folder}scenarios/${name}.json`);
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  },
};
