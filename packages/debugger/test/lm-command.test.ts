/** `lm` over forged dumps: which modules, in which order, with which columns. */
import { bytesSource, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { forge, resolveScenario } from '../../forge/src/index.ts';
import { images, scenarios } from '../../forge/test/shipped.ts';
import { createRegistry, createSession, executeLine } from '../src/commands/index.ts';
import { openTarget } from '../src/target/open.ts';
import { seedTarget } from './seed-target.ts';

const registry = createRegistry();

describe('lm', () => {
  const scenario = resolveScenario({ id: 'test', title: 'test', base: 'X-wow64', patch: {} }, scenarios);
  const { bytes } = forge(scenario, images);
  if (bytes === null) throw new Error('no bytes');
  const target = openTarget(openDump(bytesSource(bytes, 'lm')));
  const session = createSession(target);
  const run = (line: string): string =>
    [...executeLine(registry, session, line)].map((d) => `${d.text}${d.error ?? ''}`).join('');
  const names = (line: string): string[] =>
    run(line)
      .split('\n')
      .filter((l) => l !== '');

  it('u lists the modules of the process, k those of the kernel, both together all', () => {
    session.processor = 1;
    const kernel = names('lm1k');
    const user = names('lm1u');
    expect(kernel).toContain('nt');
    expect(names('lm1')).toEqual(kernel);
    expect(user).toContain('qtest');
    expect(user).not.toContain('nt');
    expect(names('lm1ku').sort()).toEqual([...kernel, ...user].sort());
    expect(run('lmu')).not.toContain('Unloaded');
  });

  it('takes filters together, sorts by name, splits by symbols', () => {
    const all = names('lm1');
    expect(names('lm1sm')).toEqual([...all].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1)));
    expect(names('lm1m n*')).toEqual(all.filter((name) => name.startsWith('n')));
    expect(names('lm 1 a nt')).toEqual(['nt']);
    expect(names('lm 1 a nt m hal')).toEqual([]);
    expect([...names('lm1l'), ...names('lm1e')].sort()).toEqual([...all].sort());
    expect(run('lmx')).toMatch(/x/);
    expect(run('lm x')).toMatch(/Syntax error/);
  });

  it('t, n and f choose columns', () => {
    const [, plain] = run('lm m nt').split('\n');
    const head = plain?.slice(0, 35 + 3 + 8) ?? '';
    const stamp = run('lmt m nt').split('\n')[1] ?? '';
    expect(stamp.startsWith(head)).toBe(true);
    expect(stamp.slice(head.length)).toMatch(/^ \w{3} \w{3} .* \([0-9A-F]{8}\)$/);
    const image =
      run('lmn m nt')
        .split('\n')[1]
        ?.slice(head.length + 1) ?? '';
    expect(image).toMatch(/^nt\w+\.exe$/);
    expect(run('lmtn m nt').split('\n')[1]).toBe(`${head} ${image.padEnd(12)}${stamp.slice(head.length)}`);
    expect(run('lm t n m nt')).toBe(run('lmtn m nt'));
    expect(run('lm v m nt')).toBe(run('lmvm nt'));
    expect(run('lmvm nt')).toMatch(/\n {4}Translations: {5}\w{4}\.\w{4}/);
  });

  it('puts a T before the status where there is no timestamp', () => {
    const line = (timeDateStamp: number | null): string => {
      const seed = seedTarget();
      const modules = seed.modules.map((m) => (m.name === 'hal' ? { ...m, timeDateStamp } : m));
      const own = createSession({ ...seed, modules });
      return [...executeLine(registry, own, 'lmv m hal')].map((d) => d.text).join('');
    };
    expect(line(0x41107b27)).toContain('   hal        (pdb symbols)');
    for (const none of [0, null]) {
      expect(line(none)).toContain('   hal      T (pdb symbols)');
      expect(line(none)).toContain('    Timestamp:        unavailable (00000000)\n');
    }
  });
});
