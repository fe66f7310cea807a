import { ForgeError } from '../memory/address-space.ts';
import { isRecord } from '../scenario/checks.ts';

/** Where image files come from: `read('xp-seed/hal.dll')`. */
export interface ImageProvider {
  read(path: string): Uint8Array | undefined;
}

export interface ImageEntry {
  readonly sha256: string;
  readonly pdb: string | null;
  /** Every name of the image by RVA, undecorated. */
  readonly symbols: ReadonlyMap<string, number>;
}

export interface ImageSet {
  readonly name: string;
  entry(file: string): ImageEntry;
  bytes(file: string): Uint8Array;
}

function decodeAscii(bytes: Uint8Array): string {
  let out = '';
  for (let i = 0; i < bytes.length; i += 0x2000) out += String.fromCharCode(...bytes.subarray(i, i + 0x2000));
  return out;
}

/** Opens an image set by its manifest (`<set>/manifest.json`, written by scripts/build-images.mjs). */
export function openImageSet(name: string, provider: ImageProvider): ImageSet {
  const bytes = provider.read(`${name}/manifest.json`);
  if (bytes === undefined) throw new ForgeError(`there is no image set "${name}"`);
  const json = JSON.parse(decodeAscii(bytes)) as unknown;
  const files = isRecord(json) ? json['files'] : undefined;
  if (!isRecord(files)) throw new ForgeError(`image set ${name}: manifest without files`);
  const entries = new Map<string, ImageEntry>();
  for (const [file, raw] of Object.entries(files)) {
    if (!isRecord(raw) || !isRecord(raw['symbols'])) continue;
    const symbols = new Map<string, number>();
    for (const [symbol, rva] of Object.entries(raw['symbols'])) symbols.set(symbol, Number.parseInt(String(rva), 16));
    entries.set(file, {
      sha256: String(raw['sha256']),
      pdb: typeof raw['pdb'] === 'string' ? raw['pdb'] : null,
      symbols,
    });
  }
  return {
    name,
    entry(file) {
      const entry = entries.get(file);
      if (entry === undefined) throw new ForgeError(`image set ${name} has no image "${file}"`);
      return entry;
    },
    bytes(file) {
      const found = provider.read(`${name}/${file}`);
      if (found === undefined) throw new ForgeError(`image set ${name}: file ${file} is missing`);
      return new Uint8Array(found); // a copy: providers may hand out views of larger buffers
    },
  };
}
