import type { SymbolRequest } from '../symbol-request.ts';

/**
 * The file name that a request may be looked up by: names come out of a dump, with a path or worse. Null for a name that
 * cannot be one.
 */
export function safeFileName(name: string): string | null {
  const base = name.slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1);
  // Windows forbids these in names; control characters, dots alone and streams (`a:b`) never name a symbol file.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (base === '' || base.length > 200 || /[\x00-\x1f<>:"|?*]/.test(base) || /^\.+$/.test(base)) return null;
  return base;
}

/** The key of a file in a symbol store: GUID and age, or timestamp and size of image. Null when it cannot be made. */
export function storeKey(request: SymbolRequest): string | null {
  if (request.kind === 'pdb') {
    const guid = request.guid.replace(/[-{}]/g, '').toUpperCase();
    // 8 digits: the signature of a PDB from before GUIDs.
    if (!/^([0-9A-F]{32}|[0-9A-F]{8})$/.test(guid)) return null;
    return `${guid}${(request.age >>> 0).toString(16).toUpperCase()}`;
  }
  const stamp = (request.timeDateStamp >>> 0).toString(16).toUpperCase().padStart(8, '0');
  return `${stamp}${(request.sizeOfImage >>> 0).toString(16)}`;
}

export type CandidateForm = 'plain' | 'compressed' | 'pointer';

/** A place to look, relative to the root of a store or folder, with forward slashes. */
export interface Candidate {
  readonly path: string;
  readonly form: CandidateForm;
  /** The key is in the path: a file there that does not match is damaged or misfiled. */
  readonly keyed: boolean;
}

/** `ntkrnlmp.pd_`, as stores keep a compressed file. */
export function compressedName(name: string): string {
  return `${name.slice(0, -1)}_`;
}

/**
 * Places in a store tree: `NAME/KEY/NAME`, the compressed form, `file.ptr`; in a tree of two tiers (a file `index2.txt`
 * in its root) below a folder of the name's first two letters.
 */
export function storeCandidates(request: SymbolRequest, twoTier: boolean): Candidate[] {
  const name = safeFileName(request.name);
  const key = storeKey(request);
  if (name === null || key === null) return [];
  const folder = `${twoTier ? `${name.slice(0, 2)}/` : ''}${name}/${key}`;
  return [
    { path: `${folder}/${name}`, form: 'plain', keyed: true },
    { path: `${folder}/${compressedName(name)}`, form: 'compressed', keyed: true },
    { path: `${folder}/file.ptr`, form: 'pointer', keyed: true },
  ];
}

/** Places in a plain folder: the file itself, `pdb/NAME`, `symbols/pdb/NAME`, and a store tree; each also compressed. */
export function directoryCandidates(request: SymbolRequest): Candidate[] {
  const name = safeFileName(request.name);
  if (name === null) return [];
  const dot = name.lastIndexOf('.');
  // Symbols of foo.sys lie in symbols/sys, those of the image foo.dll in symbols/dll.
  const own = dot > 0 ? name.slice(dot + 1).toLowerCase() : '';
  const module = request.module.slice(request.module.lastIndexOf('.') + 1).toLowerCase();
  const folders = [own, /^(exe|dll|sys|drv|ocx|efi)$/.test(module) ? module : ''].filter(
    (folder, index, all) => /^[a-z0-9]+$/.test(folder) && all.indexOf(folder) === index,
  );
  const plain = ['', ...folders.flatMap((folder) => [`symbols/${folder}/`, `${folder}/`])];
  return [
    ...plain.map((folder): Candidate => ({ path: folder + name, form: 'plain', keyed: false })),
    ...storeCandidates(request, false),
    ...plain.map((folder): Candidate => ({ path: folder + compressedName(name), form: 'compressed', keyed: false })),
  ];
}

/** What `file.ptr` says: `PATH:\\server\share\a.pdb`, `MSG: text`, or a path alone. */
export function parseFilePointer(text: string): { readonly path: string } | { readonly message: string } | null {
  const line =
    text
      .replace(/^\ufeff/, '')
      .split(/[\r\n\0]/)[0]
      ?.trim() ?? '';
  if (line === '') return null;
  if (/^MSG:/i.test(line)) return { message: line.slice(4).trim() };
  return { path: line.replace(/^PATH:/i, '').trim() };
}
