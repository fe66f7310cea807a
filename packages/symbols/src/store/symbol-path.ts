/** Microsoft's public symbol server: what `srv*` alone means, as in WinDbg. */
export const MICROSOFT_SYMBOL_SERVER = 'https://msdl.microsoft.com/download/symbols';

/** One element of a symbol path, in the order of the path. */
export type SymbolPathElement =
  /** A folder: files in it, in `symbols/pdb` and the like, or a store tree; what lies deeper is found by an index. */
  | { readonly kind: 'directory'; readonly path: string }
  /** A symbol store: `caches` are looked into first, nearest first; what `location` gives is kept in the first of them. */
  | {
      readonly kind: 'store';
      readonly location: string;
      readonly isUrl: boolean;
      readonly caches: readonly string[];
    };

export interface SymbolPath {
  readonly elements: readonly SymbolPathElement[];
  /** What could not be understood, one line each. */
  readonly problems: readonly string[];
}

export interface SymbolPathDefaults {
  /** The folder that an empty cache name (`srv*`, `cache*`) means. */
  readonly cache: string;
  readonly server?: string;
}

export const isUrl = (text: string): boolean => /^https?:\/\//i.test(text);

/**
 * Parses `_NT_SYMBOL_PATH` syntax: folders, `srv*`, `srv*DIR`, `srv*URL`, `srv*CACHE*…*URL`, `symsrv*symsrv.dll*…`,
 * `cache*DIR` (everything to its right is kept there), separated by semicolons; a URL alone is taken as `srv*URL`.
 */
export function parseSymbolPath(text: string, defaults: SymbolPathDefaults): SymbolPath {
  const elements: SymbolPathElement[] = [];
  const problems: string[] = [];
  const server = defaults.server ?? MICROSOFT_SYMBOL_SERVER;
  // Caches named by `cache*` so far, the latest nearest.
  let cached: readonly string[] = [];
  const store = (location: string, caches: readonly string[]): void => {
    const url = isUrl(location);
    const all = [...cached, ...caches];
    // A URL without any cache is kept in the default one, as WinDbg does.
    const kept = url && all.length === 0 ? [defaults.cache] : all;
    const seen = kept.filter((cache, index) => cache !== location && kept.indexOf(cache) === index);
    elements.push({ kind: 'store', location: url ? location.replace(/\/+$/, '') : location, isUrl: url, caches: seen });
  };
  for (const raw of text.split(';')) {
    const element = raw
      .trim()
      .replace(/^"(.*)"$/, '$1')
      .trim();
    if (element === '') continue;
    const parts = element.split('*').map((part) => part.trim());
    const word = (parts[0] ?? '').toLowerCase();
    if (parts.length === 1) {
      if (word === 'srv' || word === 'symsrv' || word === 'cache') {
        problems.push(`symbol path: "${element}" without an asterisk is taken as a folder`);
      }
      if (isUrl(element)) store(element, []);
      else elements.push({ kind: 'directory', path: element });
      continue;
    }
    if (word === 'cache') {
      const dir = parts[1] || defaults.cache;
      if (parts.length > 2) problems.push(`symbol path: "${element}" names more than one cache, the first is used`);
      if (isUrl(dir)) {
        problems.push(`symbol path: "${element}": a cache is a folder, not a URL`);
        continue;
      }
      cached = [dir, ...cached.filter((cache) => cache !== dir)];
      // Files that are in the cache already are found although nothing that stands to its right has them.
      elements.push({ kind: 'store', location: dir, isUrl: false, caches: [] });
      continue;
    }
    let rest: string[];
    if (word === 'srv') rest = parts.slice(1);
    else if (word === 'symsrv') {
      rest = parts.slice(2);
      if ((parts[1] ?? '').toLowerCase() !== 'symsrv.dll') {
        problems.push(`symbol path: "${element}": ${parts[1]} is taken as symsrv.dll`);
      }
    } else {
      problems.push(`symbol path: "${element}" begins with none of srv*, symsrv*, cache*`);
      continue;
    }
    const stores = rest.map((part) => part || defaults.cache);
    // `srv*` alone; and `srv*CACHE*` with an empty last store, which people write for the public server.
    if (rest.length === 1 && rest[0] === '') stores.push(server);
    else if (rest.length > 1 && rest[rest.length - 1] === '') stores[stores.length - 1] = server;
    const location = stores.pop();
    if (location === undefined) {
      problems.push(`symbol path: "${element}" names no store`);
      continue;
    }
    const urls = stores.filter(isUrl);
    // A chain of servers: each is asked, and what it gives is kept in the folders before it.
    const folders = stores.filter((part) => !isUrl(part));
    for (const url of urls)
      store(
        url,
        stores.slice(0, stores.indexOf(url)).filter((part) => !isUrl(part)),
      );
    store(location, folders);
  }
  return { elements, problems };
}
