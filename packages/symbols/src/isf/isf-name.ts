/** What the name of an ISF file says about its PDB. */
export interface IsfName {
  /** `ntkrnlmp.pdb`, or null where the name does not say it. */
  readonly pdb: string | null;
  readonly guid: string;
  readonly age: number;
}

/**
 * Reads `ntkrnlmp.pdb/GUID-AGE.json.xz` (Volatility), `…-GUID-AGE.json.xz`, either with or without `.xz`. Null when there
 * is no GUID in it.
 */
export function parseIsfFileName(path: string): IsfName | null {
  const parts = path.split(/[\\/]/);
  const file = parts[parts.length - 1] ?? '';
  const match = /^(?:(.*)-)?([0-9A-Fa-f]{32})-([0-9]{1,9})\.json(?:\.xz)?$/.exec(file);
  if (!match) return null;
  const [, before, guid = '', age = ''] = match;
  const folder = parts[parts.length - 2] ?? '';
  const stem = /^([A-Za-z0-9_]+)/.exec(before ?? '')?.[1];
  const pdb = /\.pdb$/i.test(folder) ? folder : stem ? `${stem}.pdb` : null;
  return { pdb, guid: guid.toUpperCase(), age: Number(age) };
}
