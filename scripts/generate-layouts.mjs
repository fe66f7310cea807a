// Writes packages/symbols/src/layouts/builtin-data.gen.ts, the layout table that is always there, from ISF files.
//
//   node scripts/generate-layouts.mjs [ISF_DIR]      default: ../shared/symbols/isf
//
// The encoding is described in packages/symbols/src/layouts/builtin-format.ts, which reads it back.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateRawSync } from 'node:zlib';
import { fieldRoots, kdbgSymbolNames, symbolPattern, typePattern } from './layout-selection.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const isfDir = process.argv[2] ?? join(root, '../shared/symbols/isf');
const target = join(root, 'packages/symbols/src/layouts/builtin-data.gen.ts');

const { XzReadableStream } = createRequire(join(root, 'packages/node/package.json'))('xz-decompress');

async function readIsf(name) {
  const packed = readFileSync(join(isfDir, name));
  const stream = new XzReadableStream(new Blob([packed]).stream());
  return JSON.parse(await new Response(stream).text());
}

const isAnonymous = (name) => /^__(unnamed|anonymous)_[0-9a-f]+x?$/.test(name);

/** Types of `first`, and those that only `second` has. Anonymous types are renamed so that the two do not collide. */
function mergeIsf(first, second, lackingOnly = true) {
  const rename = (type) => {
    const out = { ...type };
    if (out.name !== undefined && isAnonymous(out.name)) out.name = `${out.name}x`;
    if (out.subtype) out.subtype = rename(out.subtype);
    if (out.type) out.type = rename(out.type);
    return out;
  };
  const users = { ...first.user_types };
  for (const [name, type] of Object.entries(second.user_types)) {
    if (lackingOnly && !isAnonymous(name) && users[name]) continue;
    const fields = {};
    for (const [field, value] of Object.entries(type.fields)) fields[field] = { ...value, type: rename(value.type) };
    users[isAnonymous(name) ? `${name}x` : name] = { ...type, fields };
  }
  const enums = { ...first.enums };
  for (const [name, type] of Object.entries(second.enums)) {
    const key = isAnonymous(name) ? `${name}x` : name;
    if (!enums[key]) enums[key] = type;
  }
  return { ...first, base_types: { ...second.base_types, ...first.base_types }, user_types: users, enums };
}

/** Drops every type that is, or embeds, one of those whose name matches. */
function dropTypes(isf, pattern) {
  const users = { ...isf.user_types };
  const lacks = (type) =>
    type.kind === 'struct' || type.kind === 'union' || type.kind === 'class'
      ? !users[type.name]
      : type.kind === 'array'
        ? lacks(type.subtype)
        : type.kind === 'bitfield'
          ? lacks(type.type)
          : false;
  for (const name of Object.keys(users)) if (pattern.test(name)) delete users[name];
  for (let changed = true; changed; ) {
    changed = false;
    for (const [name, type] of Object.entries(users)) {
      const fields = Object.entries(type.fields);
      const bad = fields.filter(([, field]) => lacks(field.type));
      if (bad.length === 0) continue;
      changed = true;
      // _EPROCESS of XP holds PageDirectoryPte over an 8-byte filler: that keeps every other member where it is.
      const covered = bad.every(([, { offset }]) =>
        fields.some(([, f]) => f.offset === offset && f.type.kind === 'base' && isf.base_types[f.type.name].size === 8),
      );
      if (covered)
        users[name] = { ...type, fields: Object.fromEntries(fields.filter((entry) => !bad.includes(entry))) };
      else delete users[name];
    }
  }
  return { ...isf, user_types: users };
}

// --- input -------------------------------------------------------------------------------------------------------

const jpcert = 'JPCERTCC/Windows-Symbol-Tables (ISF)';
const files = readdirSync(isfDir).filter((name) => name.endsWith('.json.xz'));
const builds = [];
for (const name of files) {
  const match = /^ntkrnlmp-x64-([\d.]+)-([0-9A-F]{32})-(\d+)\.json\.xz$/.exec(name);
  if (!match) continue;
  const [, version, guid, age] = match;
  const build = Number(version.split('.')[2]);
  const isf = await readIsf(name);
  const { GUID, age: realAge, database } = isf.windows?.pdb ?? isf.metadata.windows.pdb;
  if (GUID !== guid || realAge !== Number(age)) throw new Error(`${name}: the file says ${GUID} ${realAge}`);
  builds.push({
    id: `x64-${version}-${guid.slice(0, 8).toLowerCase()}`,
    arch: 'x64',
    version,
    build,
    guid,
    age: realAge,
    pdb: database,
    pae: null,
    source: jpcert,
    isf,
  });
}

const only = async (part) => readIsf(files.find((name) => name.includes(part)) ?? `(no file for ${part})`);
const xp = await only('ntkrnlpa-x86-5.1.2600.5512');
const headers = 'vergilius-rs headers (ISF)';
const xpPdb = xp.metadata.windows.pdb;
const xpBase = { arch: 'x86', version: '5.1.2600.5512', build: 2600, source: 'ntkrnlpa.pdb of XP SP3 (ISF)' };
builds.push({
  id: 'x86-5.1.2600.5512-30b5fb31',
  ...xpBase,
  guid: xpPdb.GUID,
  age: xpPdb.age,
  pdb: xpPdb.database,
  pae: true,
  isf: xp,
});
// Only the PTE and PFN types depend on PAE: the non-PAE variants leave them out rather than give wrong ones.
// _HARDWARE_PTE_X86, which _EPROCESS holds, is the fixed 4-byte form on both.
const pteTypes = /^_(MMPTE|MMPFN|HARDWARE_PTE$)/;
builds.push({
  id: 'x86-5.1.2600.5512-nopae',
  ...xpBase,
  guid: null,
  age: null,
  pdb: 'ntoskrnl.pdb',
  pae: false,
  isf: { ...dropTypes(xp, pteTypes), symbols: {} },
});
const seven = mergeIsf(await only('6.1.7601-from-ntdll'), await only('6.1.7601.17514-from-headers'));
const sevenBase = { arch: 'x86', version: '6.1.7601', build: 7601, guid: null, age: null };
const sevenSource = `ntdll.pdb of Windows 7 SP1 (ISF); what it lacks: ${headers}`;
builds.push({
  id: 'x86-6.1.7601-nopae',
  ...sevenBase,
  pdb: 'ntoskrnl.pdb',
  pae: false,
  source: sevenSource,
  isf: seven,
});
// The page-table entry of the hardware is the same 8 bytes on every PAE kernel; the software forms are not known.
const pick = (isf, names) => ({ ...isf, user_types: Object.fromEntries(names.map((n) => [n, isf.user_types[n]])) });
builds.push({
  id: 'x86-6.1.7601-pae',
  ...sevenBase,
  pdb: 'ntkrnlpa.pdb',
  pae: true,
  source: `${sevenSource}; without PTE and PFN types, _HARDWARE_PTE and _MMPTE_HIGHLOW from XP SP3 PAE`,
  isf: mergeIsf(dropTypes(seven, pteTypes), pick(xp, ['_HARDWARE_PTE', '_MMPTE_HIGHLOW'])),
});
builds.push({
  id: 'x86-10.0.19041.928',
  arch: 'x86',
  version: '10.0.19041.928',
  build: 19041,
  guid: null,
  age: null,
  pdb: 'ntkrpamp.pdb',
  pae: true,
  source: headers,
  isf: await only('x86-10.0.19041.928-from-headers'),
});

/** Builds of one family share a blob, in which equal definitions are stored once. Order of families = order of strings. */
const familyOf = (b) =>
  b.arch === 'x86'
    ? b.build === 2600
      ? 'x86-xp'
      : b.build === 7601
        ? 'x86-7'
        : 'x86-10'
    : b.build < 9000
      ? 'x64-7'
      : b.build < 10000
        ? 'x64-8.1'
        : b.build < 16000
          ? 'x64-10a'
          : b.build < 19000
            ? 'x64-10b'
            : b.build < 20000
              ? 'x64-10c'
              : 'x64-11';
const familyOrder = ['x64-10c', 'x64-11', 'x64-10b', 'x64-10a', 'x64-8.1', 'x64-7', 'x86-10', 'x86-7', 'x86-xp'];
builds.sort((a, b) => familyOrder.indexOf(familyOf(a)) - familyOrder.indexOf(familyOf(b)) || (a.id < b.id ? -1 : 1));

// --- selection ---------------------------------------------------------------------------------------------------

function selectTypes(isf) {
  const wanted = new Set();
  const enums = new Set();
  const queue = [];
  const want = (name) => {
    if (wanted.has(name) || !isf.user_types[name]) return;
    wanted.add(name);
    queue.push(name);
  };
  const visit = (type, throughPointer) => {
    switch (type.kind) {
      case 'pointer':
        return visit(type.subtype, true);
      case 'array':
        return visit(type.subtype, throughPointer);
      case 'bitfield':
        return visit(type.type, throughPointer);
      case 'enum':
        enums.add(type.name);
        return;
      case 'struct':
      case 'union':
      case 'class':
        // An anonymous target has no name by which anything else could mean it.
        if (!throughPointer || isAnonymous(type.name)) want(type.name);
    }
  };
  for (const name of Object.keys(isf.user_types)) if (typePattern.test(name)) want(name);
  for (const [owner, field] of fieldRoots) {
    const type = isf.user_types[owner]?.fields[field]?.type;
    if (type) visit(type.kind === 'pointer' ? type.subtype : type, false);
  }
  for (const name of Object.keys(isf.enums)) if (typePattern.test(name)) enums.add(name);
  while (queue.length > 0) {
    for (const field of Object.values(isf.user_types[queue.pop()].fields)) visit(field.type, false);
  }
  return { wanted, enums };
}

// --- encoding ----------------------------------------------------------------------------------------------------

const alphabet = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1');

/** Numbers as LEB128 bytes, or as text: five bits a character, the sixth says that another one follows. */
class Bytes {
  data = [];
  constructor(asText = false) {
    this.asText = asText;
  }
  u(n) {
    if (!Number.isSafeInteger(n) || n < 0) throw new Error(`not an unsigned integer: ${n}`);
    const radix = this.asText ? 32 : 128;
    for (;;) {
      const digit = (n % radix) + (n >= radix ? radix : 0);
      this.data.push(this.asText ? alphabet[digit] : digit);
      if (n < radix) return;
      n = Math.floor(n / radix);
    }
  }
  s(n) {
    this.u(n < 0 ? -n * 2 - 1 : n * 2);
  }
  append(other) {
    for (const b of other.data) this.data.push(b);
  }
}

let strings = new Map();
const stringId = (text) => {
  let id = strings.get(text);
  if (id === undefined) strings.set(text, (id = strings.size));
  return id;
};

const baseForm = (name, base) =>
  name === 'wchar'
    ? 1
    : ({ int: 0, char: 1, bool: 2, float: 3, void: 4 }[base.kind] ??
      (() => {
        throw new Error(`base kind ${base.kind}`);
      })());

/** Tier 0: the selection, which nearly every run reads. Tier 1: all other types, read when one of them is asked for. */
function encodeFamily(members, tier) {
  const types = new Map(); // key -> {uses, node}
  const defs = new Map(); // content -> index
  const enumDefs = new Map();
  const defNodes = [];
  const enumNodes = [];
  const maps = [];

  for (const member of members) {
    const { isf } = member;
    let { wanted, enums } = selectTypes(isf);
    if (tier === 1) {
      wanted = new Set(Object.keys(isf.user_types).filter((name) => !wanted.has(name)));
      enums = new Set(Object.keys(isf.enums).filter((name) => !enums.has(name)));
    }
    const memo = new Map();
    const busy = new Set();
    const intern = (key, node) => {
      const known = types.get(key);
      if (known) known.uses++;
      else types.set(key, { uses: 1, node });
      return key;
    };
    const typeKey = (type) => {
      switch (type.kind) {
        case 'base': {
          const base = isf.base_types[type.name];
          if (!base) throw new Error(`${member.id}: no base type ${type.name}`);
          return intern(`b ${type.name} ${base.size}`, [
            0,
            type.name,
            base.size * 16 + baseForm(type.name, base) * 2 + (base.signed ? 1 : 0),
          ]);
        }
        case 'pointer': {
          const to = typeKey(type.subtype);
          return intern(`* ${to}`, [1, to]);
        }
        case 'array': {
          const of = typeKey(type.subtype);
          return intern(`[${type.count}] ${of}`, [2, type.count, of]);
        }
        case 'bitfield': {
          const of = typeKey(type.type);
          return intern(`:${type.bit_position},${type.bit_length} ${of}`, [5, type.bit_position, type.bit_length, of]);
        }
        case 'enum':
          return intern(`e ${type.name}`, [4, type.name]);
        case 'function':
          return intern('f', [6]);
        case 'struct':
        case 'union':
        case 'class':
          if (isAnonymous(type.name)) {
            const index = define(type.name);
            return intern(`# ${index}`, [7, index]);
          }
          return intern(`s ${type.name}`, [3, type.name]);
        default:
          throw new Error(`${member.id}: type kind ${type.kind}`);
      }
    };
    const define = (name) => {
      const done = memo.get(name);
      if (done !== undefined) return done;
      const type = isf.user_types[name];
      // An anonymous type inside itself cannot be: only a named one closes such a circle.
      if (!type || busy.has(name)) throw new Error(`${member.id}: ${name} is ${type ? 'recursive' : 'missing'}`);
      busy.add(name);
      const fields = Object.entries(type.fields)
        .map(([field, value]) => ({
          field,
          offset: value.offset,
          bit: value.type.bit_position ?? -1,
          type: value.type,
        }))
        .sort((a, b) => a.offset - b.offset || a.bit - b.bit || (a.field < b.field ? -1 : 1))
        .map(({ field, offset, type: t }) => [field, offset, typeKey(t)]);
      const content = JSON.stringify([type.kind, type.size, fields]);
      let index = defs.get(content);
      if (index === undefined) {
        defs.set(content, (index = defs.size));
        defNodes.push({ kind: type.kind, size: type.size, fields });
      }
      memo.set(name, index);
      return index;
    };
    const map = [];
    for (const name of [...wanted].sort()) {
      if (!isAnonymous(name)) map.push([name, define(name)]);
    }
    const enumMap = [];
    for (const name of [...enums].sort()) {
      const type = isf.enums[name];
      if (!type) continue;
      const values = Object.entries(type.constants).sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1));
      const content = JSON.stringify([type.size, values]);
      let index = enumDefs.get(content);
      if (index === undefined) {
        enumDefs.set(content, (index = enumDefs.size));
        enumNodes.push({ size: type.size, values });
      }
      enumMap.push([name, index]);
    }
    maps.push({ member, map, enumMap });
  }

  const ordered = [...types].sort((a, b) => b[1].uses - a[1].uses || (a[0] < b[0] ? -1 : 1));
  const typeIndex = new Map(ordered.map(([key], index) => [key, index]));
  const heads = new Bytes(tier === 0);
  const names = new Bytes(tier === 0);
  const offsets = new Bytes(tier === 0);
  const fieldTypes = new Bytes(tier === 0);
  for (const def of defNodes) {
    const starts = [names, offsets, fieldTypes].map((part) => part.data.length);
    let lastName = 0;
    let lastOffset = 0;
    for (const [field, offset, key] of def.fields) {
      const id = stringId(field);
      names.s(id - lastName);
      lastName = id;
      offsets.u(offset - lastOffset);
      lastOffset = offset;
      fieldTypes.u(typeIndex.get(key));
    }
    heads.u(def.size * 4 + ['struct', 'union', 'class'].indexOf(def.kind));
    heads.u(def.fields.length);
    [names, offsets, fieldTypes].forEach((part, index) => {
      heads.u(part.data.length - starts[index]);
    });
  }
  const typeBytes = new Bytes(tier === 0);
  for (const [, { node }] of ordered) {
    typeBytes.u(node[0]);
    switch (node[0]) {
      case 0:
        typeBytes.u(stringId(node[1]));
        typeBytes.u(node[2]);
        break;
      case 1:
        typeBytes.u(typeIndex.get(node[1]));
        break;
      case 2:
        typeBytes.u(node[1]);
        typeBytes.u(typeIndex.get(node[2]));
        break;
      case 3:
      case 4:
        typeBytes.u(stringId(node[1]));
        break;
      case 5:
        typeBytes.u(node[1]);
        typeBytes.u(node[2]);
        typeBytes.u(typeIndex.get(node[3]));
        break;
      case 7:
        typeBytes.u(node[1]);
    }
  }
  const enumBytes = new Bytes(tier === 0);
  for (const node of enumNodes) {
    enumBytes.u(node.size);
    enumBytes.u(node.values.length);
    let lastId = 0;
    let last = 0;
    for (const [name, value] of node.values) {
      const id = stringId(name);
      enumBytes.s(id - lastId);
      lastId = id;
      enumBytes.s(value - last);
      last = value;
    }
  }
  const mapBytes = new Bytes(tier === 0);
  for (const { map, enumMap } of maps) {
    for (const entries of [map, enumMap]) {
      mapBytes.u(entries.length);
      let lastId = 0;
      let lastDef = 0;
      for (const [name, index] of entries) {
        const id = stringId(name);
        mapBytes.s(id - lastId);
        lastId = id;
        mapBytes.s(index - lastDef);
        lastDef = index;
      }
    }
  }
  const out = new Bytes(tier === 0);
  for (const count of [defNodes.length, names.data.length, offsets.data.length, fieldTypes.data.length]) out.u(count);
  for (const count of [ordered.length, typeBytes.data.length, enumNodes.length, enumBytes.data.length]) out.u(count);
  for (const part of [names, offsets, fieldTypes, typeBytes, enumBytes, heads, mapBytes]) out.append(part);
  return { bytes: Buffer.from(out.data), types: maps.map(({ map, enumMap }) => map.length + enumMap.length) };
}

/** The name as WinDbg shows it, and the stored one where that is not the same. */
const symbolNames = new Set();
for (const { isf } of builds) {
  for (const name of Object.keys(isf.symbols)) if (symbolPattern.test(name)) symbolNames.add(name);
}
const symbolList = [...symbolNames].sort();

/** RVAs by name, with the distance to the next public name of the whole file: what a name covers at most. */
function encodeSymbols(isf) {
  const all = [...new Set(Object.values(isf.symbols).map((s) => s.address))].sort((a, b) => a - b);
  const next = new Map(all.map((address, index) => [address, all[index + 1] ?? address]));
  const ids = new Bytes();
  const rvas = new Bytes();
  const sizes = new Bytes();
  let count = 0;
  let lastId = 0;
  let lastRva = 0;
  symbolList.forEach((name, id) => {
    const symbol = isf.symbols[name];
    if (!symbol) return;
    ids.u(id - lastId);
    lastId = id;
    rvas.s(symbol.address - lastRva);
    lastRva = symbol.address;
    sizes.u(next.get(symbol.address) - symbol.address);
    count++;
  });
  const out = new Bytes();
  out.u(count);
  out.append(ids);
  out.append(rvas);
  out.append(sizes);
  return Buffer.from(out.data);
}

const text = (data) => `'${data.toString('base64').replace(/=+$/, '')}'`;
const familyData = {};
const stringPools = [];
let coreStrings = '';
const sizes = [];
for (const tier of [0, 1]) {
  strings = new Map();
  for (const family of familyOrder) {
    const members = builds.filter((b) => familyOf(b) === family);
    const { bytes, types } = encodeFamily(members, tier);
    members.forEach((member, index) => {
      member.family = family;
      member.index = index;
    });
    const key = `${family}/${tier}`;
    const packed = deflateRawSync(bytes, { level: 9 });
    familyData[key] = tier === 0 ? `'${bytes.toString('latin1')}'` : text(packed);
    sizes.push([key, bytes.length, packed.length, `${types} types`]);
  }
  const pool = Buffer.from([...strings.keys()].join('\n'), 'latin1');
  const packed = deflateRawSync(pool, { level: 9 });
  sizes.push([`strings/${tier}`, pool.length, packed.length, `${strings.size}`]);
  if (tier === 0) coreStrings = [...strings.keys()].join('\\n');
  else stringPools.push(packed);
}
const symbolPool = Buffer.from(symbolList.join('\n'), 'latin1');
const symbolPoolData = deflateRawSync(symbolPool, { level: 9 });
sizes.push(['symbol names', symbolPool.length, symbolPoolData.length, `${symbolList.length}`]);
const symbolData = {};
for (const member of builds) {
  if (Object.keys(member.isf.symbols).length === 0) continue;
  const bytes = encodeSymbols(member.isf);
  symbolData[member.id] = deflateRawSync(bytes, { level: 9 });
  sizes.push([`symbols ${member.id}`, bytes.length, symbolData[member.id].length, '']);
}

const infos = builds.map((b) => ({
  id: b.id,
  arch: b.arch,
  version: b.version,
  build: b.build,
  guid: b.guid,
  age: b.age,
  pdb: b.pdb,
  pae: b.pae,
  pointerSize: b.arch === 'x86' ? 4 : 8,
  source: b.source,
  family: b.family,
  index: b.index,
  rvas:
    Object.keys(b.isf.symbols).length === 0
      ? ''
      : kdbgSymbolNames.map((n) => b.isf.symbols[n]?.address.toString(36) ?? '').join(),
}));

const record = (object) =>
  `{\n${Object.entries(object)
    .map(([key, data]) => `  '${key}': ${typeof data === 'string' ? data : text(data)},`)
    .join('\n')}\n}`;
writeFileSync(
  target,
  `// Generated by scripts/generate-layouts.mjs. Sources: see NOTICE. Format: builtin-format.ts.
import type { BuiltinRecord } from './builtin-format.ts';

export const builtinRecords: readonly BuiltinRecord[] = ${JSON.stringify(infos, null, 1)};

export const fingerprintNames: readonly string[] = ${JSON.stringify(kdbgSymbolNames)};

// Tier 0 is not compressed: inflating is what opening would spend most of its time on.
export const coreStrings: string = '${coreStrings}';

export const otherStrings: string = ${text(stringPools[0])};

export const symbolNamePool: string = ${text(symbolPoolData)};

export const familyData: Readonly<Record<string, string>> = ${record(familyData)};

export const symbolData: Readonly<Record<string, string>> = ${record(symbolData)};
`,
);
let total = 0;
for (const [name, raw, packed, note] of sizes) {
  total += packed;
  console.log(`${name}: ${raw} -> ${packed} ${note}`);
}
console.log(`compressed in all: ${total}`);
