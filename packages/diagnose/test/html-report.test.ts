/** The HTML report of forged dumps: well-formed, self-contained, accessible, and closed to what a dump puts into it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, openDump } from '@dumpscope/core';
import { openTarget } from '@dumpscope/debugger';
import { describe, expect, it } from 'vitest';
import { diagnose, type FindingPicture, type Report, redact, renderHtml } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

interface Tag {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly parents: readonly string[];
}

const voids = new Set(['meta', 'br', 'hr', 'col']);

/** Tags of a page that closes what it opens; throws where it does not. Text between tags may hold no bare `<` or `>`. */
function tagsOf(page: string): Tag[] {
  const tags: Tag[] = [];
  const open: string[] = [];
  const body = page.replace(/^<!DOCTYPE html>\n/, '').replace(/<style>[^<]*<\/style>/, '<style></style>');
  const token = /<(\/?)([A-Za-z][\w-]*)((?:\s+[\w:-]+(?:="[^"<>]*")?)*)\s*(\/?)>/y;
  for (let at = 0; at < body.length; ) {
    if (body[at] !== '<') {
      const next = body.indexOf('<', at);
      const text = body.slice(at, next < 0 ? undefined : next);
      if (text.includes('>')) throw new Error(`bare > in ${JSON.stringify(text.slice(0, 80))}`);
      at = next < 0 ? body.length : next;
      continue;
    }
    token.lastIndex = at;
    const match = token.exec(body);
    if (match === null) throw new Error(`no tag: ${body.slice(at, at + 80)}`);
    const [all, closing, name = '', attributes = '', self] = match;
    if (closing === '/') {
      if (open.pop() !== name) throw new Error(`</${name}> closes what is not open`);
    } else {
      tags.push({
        name,
        attributes: new Map([...attributes.matchAll(/([\w:-]+)(?:="([^"]*)")?/g)].map((m) => [m[1] ?? '', m[2] ?? ''])),
        parents: [...open],
      });
      if (self !== '/' && !voids.has(name)) open.push(name);
    }
    at += all.length;
  }
  if (open.length > 0) throw new Error(`left open: ${open.join(' ')}`);
  return tags;
}

function checkPage(page: string): Tag[] {
  const tags = tagsOf(page);
  const ids = tags.flatMap((tag) => tag.attributes.get('id') ?? []);
  expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
  // Self-contained: no script, nothing that is fetched, links only inside the page.
  expect(
    tags.filter(({ name }) => /^(script|img|link|iframe|object|embed|use|image|foreignObject)$/i.test(name)),
  ).toEqual([]);
  for (const { attributes } of tags) {
    for (const [name, value] of attributes) {
      expect(name).not.toMatch(/^on|^src$|^xlink/i);
      if (name === 'href') expect(value).toMatch(/^#/);
      if (name === 'href' || name === 'aria-labelledby')
        for (const id of value.split(' ')) expect(ids).toContain(id.replace('#', ''));
      for (const reference of value.matchAll(/url\(([^)]*)\)/g)) expect(ids).toContain((reference[1] ?? '').slice(1));
    }
  }
  expect(/<style>([^<]*)<\/style>/.exec(page)?.[1]).not.toMatch(/url\(|@import|http/);
  // One h1, no level left out; every table with a caption and headers; every drawing with title and description.
  const levels = tags.flatMap(({ name }) => (/^h[1-6]$/.test(name) ? [Number(name[1])] : []));
  expect(levels.filter((level) => level === 1)).toHaveLength(1);
  levels.forEach((level, i) => {
    expect(level - (levels[i - 1] ?? 0)).toBeLessThanOrEqual(1);
  });
  const count = (name: string): number => tags.filter((tag) => tag.name === name).length;
  expect([count('caption'), count('thead')]).toEqual([count('table'), count('table')]);
  expect(tags.filter(({ name, attributes }) => name === 'th' && !attributes.has('scope'))).toEqual([]);
  const drawings = tags.filter(({ name }) => name === 'svg');
  for (const { attributes } of drawings) expect(attributes.get('aria-labelledby')?.split(' ')).toHaveLength(2);
  expect(tags.filter(({ name, parents }) => name === 'desc' && parents.at(-1) === 'svg')).toHaveLength(drawings.length);
  expect(page).not.toMatch(/undefined|NaN|\[object/);
  return tags;
}

function reportOf(name: string, symbols = true): Report {
  return diagnose(forgedTarget(scenarioNamed(name), { symbols }), 'test');
}

function pictureOf(report: Report): FindingPicture {
  const picture = report.findings.find((finding) => finding.picture !== null)?.picture;
  if (picture == null) throw new Error('no finding has a picture');
  return picture;
}

const seed = reportOf('S01a');

describe('pictures', () => {
  it('the seed: loop with values in place, queue over the stack, a cycle of two', () => {
    const picture = pictureOf(seed);
    expect(picture.loop.map(({ address, isPc, isExit, note }) => [address, isPc, isExit, note])).toEqual([
      ['0x806e4a2c', false, false, '[a07be204] holds 831dabf5, bit 0 set'],
      ['0x806e4a33', false, true, 'leaves when ([a07be204] & 1) == 0: not taken with the captured values'],
      ['0x806e4a35', false, false, null],
      ['0x806e4a37', true, false, null],
    ]);
    expect(picture.queue).toMatchObject({
      lock: '0x831dabf4',
      word: '0xa07be200',
      entries: [
        { address: '0xa07beb94', next: '0xa07be200', lockField: '0x831dabf6', role: 'holder', stack: 0 },
        { address: '0xa07be200', next: '0x0', lockField: '0x831dabf5', role: 'waiter', stack: 0 },
      ],
      stacks: [{ kind: 'thread', limit: '0xa07bb000', base: '0xa07bf000', sp: '0xa07be1f4' }],
    });
    expect(picture.waits.map(({ from, to }) => [from.id, to.id])).toEqual([
      ['0', '0x831dabf4'],
      ['0x831dabf4', '0'],
    ]);
  });

  it('a predecessor on another stack brings that stack, and the wait leads to its processor', () => {
    const picture = pictureOf(reportOf('S01-other-stack'));
    expect(picture.queue?.stacks).toHaveLength(2);
    expect(picture.queue?.entries.map(({ role, stack }) => [role, stack])).toEqual([
      ['holder', 1],
      ['waiter', 0],
    ]);
    expect(picture.waits.at(-1)?.to).toMatchObject({ kind: 'processor', id: '1' });
  });

  it('a plain lock has marks instead of entries; two processors wait for each other', () => {
    const report = reportOf('S04');
    const waits = report.findings.flatMap((finding) => finding.picture?.waits ?? []);
    expect(waits.map(({ from, to }) => `${from.kind} ${from.id} -> ${to.kind} ${to.id}`)).toEqual([
      'processor 0 -> lock 0xffffe000a1683c70',
      'lock 0xffffe000a1683c70 -> processor 1',
      'processor 1 -> lock 0xffffe000a1658650',
      'lock 0xffffe000a1658650 -> processor 0',
    ]);
    expect(pictureOf(report).queue).toMatchObject({ entries: [], marks: [{ role: 'waits' }, { role: 'holds' }] });
    expect(renderHtml(report)).toContain('Cycle: processor 0 → spin lock');
  });

  it('a free lock is held by nobody', () => {
    const waits = reportOf('S14').findings.flatMap((finding) => finding.picture?.waits ?? []);
    expect(waits.filter(({ from }) => from.kind === 'lock')).toEqual([]);
  });
});

describe('page', () => {
  const names = ['S01a', 'S01-other-stack', 'S01-free', 'S01-absent', 'S02a', 'S02b', 'S03', 'S04', 'S07', 'S08', 'S133-cumulative', 'x64-idle', 'x64-tool', 'arm64-plain-lock']; // biome-ignore format: a list
  for (const name of names) {
    for (const symbols of [true, false]) {
      it(`${name} ${symbols ? 'with' : 'without'} symbols`, () => {
        const report = reportOf(name, symbols);
        const page = renderHtml(report);
        checkPage(page);
        checkPage(renderHtml(redact(report)));
        expect(renderHtml(report)).toBe(page);
        for (const finding of report.findings)
          for (const item of finding.evidence) expect(page).toContain(`id="${item.id}"`);
      });
    }
  }

  it('without processors, modules and findings', () => {
    const page = renderHtml({ ...seed, findings: [], processors: [], modules: [], limits: [] });
    checkPage(page);
    expect(page).toContain('No finding: nothing in this dump matches a rule');
  });

  it('says the verdict before everything else', () => {
    const page = renderHtml(seed);
    const order = ['<h1', 'Why', 'Who', 'Cleared', 'What would change this', 'id="processors"', 'id="loop-1"', 'id="queue-1"', 'id="graph"', 'id="evidence"', 'id="stacks"', 'id="modules"', 'id="limits"']; // biome-ignore format: a list
    const places = order.map((text) => page.indexOf(text, page.indexOf('<main')));
    expect(places.every((place) => place > 0)).toBe(true);
    expect([...places].sort((a, b) => a - b)).toEqual(places);
  });
});

/** Every string of the report that is no number, id or word of a closed list, changed. */
function mapStrings<T>(value: T, change: (text: string, key: string) => string, key = ''): T {
  if (typeof value === 'string') return change(value, key) as T;
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, change, key)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, mapStrings(v, change, k)])) as T;
}

describe('a hostile dump', () => {
  const attack = `"><script>alert(1)</script><img src=x onerror="alert(2)">'\u202e]]>--></style><!--\${x}\``;
  const closed = new Set(['arch', 'kind', 'confidence', 'outcome', 'role', 'trust', 'contextTrust', 'pattern', 'id']);

  it('puts nothing but text into the page, in any field', () => {
    const hostile = mapStrings(seed, (text, key) =>
      closed.has(key) || /^0x[0-9a-f]+$/.test(text) ? text : `${text}${attack}`,
    );
    const page = renderHtml(hostile, { title: attack });
    const tags = checkPage(page);
    expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(page).not.toContain('\u202e');
    const names = (of: readonly Tag[]): string[] => [...new Set(of.map(({ name }) => name))].sort();
    expect(names(tags)).toEqual(names(checkPage(renderHtml(seed))));
  });

  it('names of modules and processes that a dump holds', () => {
    const scenario = scenarioNamed('S01a');
    const driver = scenario.modules?.['MyDriver'];
    const app = scenario.processes?.['MyApp'];
    if (driver === undefined || app === undefined) throw new Error('S01a has no MyDriver or MyApp');
    const target = forgedTarget(
      {
        ...scenario,
        modules: { ...scenario.modules, MyDriver: { ...driver, name: '<img src=x onerror=alert(1)>.sys' } },
        processes: { ...scenario.processes, MyApp: { ...app, image: '<svg onload=1>' } },
      },
      { symbols: true },
    );
    const page = renderHtml(diagnose(target, 'test'));
    checkPage(page);
    expect(page).toContain('&lt;img src=x onerror=alert(1)&gt;');
    expect(page).toContain('&lt;svg onload=1&gt;');
  });

  it('a thousand processors and a queue of hundreds stay a page', () => {
    const [processor] = seed.processors;
    const [finding] = seed.findings;
    const queue = finding?.picture?.queue;
    if (processor === undefined || finding?.picture == null || queue == null)
      throw new Error('the seed has no picture');
    const entry = queue.entries[0];
    if (entry === undefined) throw new Error('the seed has no queue');
    const many = Array.from({ length: 400 }, (_, i) => ({
      ...entry,
      role: 'waiting' as const,
      address: `0xa07b${(0xb000 + i * 8).toString(16)}`,
    }));
    const waits = Array.from({ length: 5000 }, (_, i) => ({
      from: { kind: 'thread', id: String(i), label: `thread ${i}`, detail: null },
      to: { kind: 'processor', id: '0', label: 'processor 0', detail: null },
      label: 'ready, bound to it',
    }));
    const page = renderHtml({
      ...seed,
      processors: Array.from({ length: 1200 }, (_, number) => ({ ...processor, number })),
      findings: [
        {
          ...finding,
          picture: { ...finding.picture, queue: { ...queue, entries: [...many, ...queue.entries] }, waits },
        },
      ],
    });
    checkPage(page);
    expect(page).toContain('5000 threads');
    expect(page.length).toBeLessThan(3_000_000);
  });
});

describe('--redact', () => {
  it('leaves names and memory bytes out of the pictures', () => {
    const page = renderHtml(redact(seed));
    expect(page).not.toContain('MyApp');
    for (const bytes of ['f7400401', 'test dword ptr', '831dabf6'.concat(' OWNER')]) expect(page).not.toContain(bytes);
    // What is drawn without them: where the entries lie.
    expect(page).toContain('a07beb94');
  });
});

const folder = join(process.env['DUMPSCOPE_SHARED'] ?? join(import.meta.dirname, '../../../../shared'), 'dumps/kernel');
if (!existsSync(folder)) console.warn(`SKIPPED: ${folder} is absent, pages of real dumps are not checked`);

describe.skipIf(!existsSync(folder))('real dumps', () => {
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    it(name, () => {
      const report = diagnose(
        openTarget(openDump(bytesSource(new Uint8Array(readFileSync(join(folder, name))), name))),
        'test',
      );
      checkPage(renderHtml(report));
      if (name.includes('0x133')) {
        const { profile, loop } = pictureOf(report);
        expect(profile?.places.map(({ times }) => times).reduce((a, b) => a + b, 0)).toBe(641);
        expect(loop.at(-1)).toMatchObject({ isExit: true, target: '0xfffff80056c316c9' });
      }
    });
  }
});
