/** `dt` over a forged full dump: names, prefixes, compact lines, physical addresses. */
import { bytesSource, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { forge, resolveScenario } from '../../forge/src/index.ts';
import { images, scenarios } from '../../forge/test/shipped.ts';
import { createRegistry, createSession, executeLine } from '../src/commands/index.ts';
import { openTarget } from '../src/target/open.ts';

const registry = createRegistry();

function opened(patch: Record<string, unknown> = {}) {
  const scenario = resolveScenario({ id: 'test', title: 'test', base: 'X-wow64', patch }, scenarios);
  const { bytes } = forge(scenario, images);
  if (bytes === null) throw new Error('no bytes');
  const target = openTarget(openDump(bytesSource(bytes, 'dt')));
  const session = createSession(target);
  const run = (line: string): string =>
    [...executeLine(registry, session, line)].map((d) => `${d.text}${d.error ?? ''}`).join('');
  return { target, run };
}

describe('dt', () => {
  const { target, run } = opened();
  const prcb = target.processors[0]?.prcb ?? 0n;
  const hex = (value: bigint): string => value.toString(16);
  const field = (text: string, name: string): string =>
    new RegExp(`${name} *: (.*?)(?:  \\+0x|\\n|$)`).exec(text)?.[1]?.trim() ?? 'none';

  it('-y lists all names that begin so, then the first of them', () => {
    const lines = run('dt -y nt!_LIST_EN').split('\n');
    expect(lines[0]).toBe('nt!_LIST_ENTRY');
    const many = run('dt -y nt!_KTHR').split('\n');
    const named = many.filter((line) => /^ {10}nt!/.test(line)).map((line) => line.trim());
    expect(named.length).toBeGreaterThan(1);
    expect(named).toEqual([...named].sort());
    expect(named.every((name) => name.startsWith('nt!_KTHR'))).toBe(true);
    // The detail is that of the first name.
    expect(many[named.length]).toBe(named[0]);
    expect(many[named.length + 1]).toMatch(/^ {3}\+0x000 /);
    expect(run('dt -y nt!_NOSUCH')).toBe('Symbol nt!_NOSUCH not found.');
  });

  it('wildcards list enumerations too, -s sizes, -d the types themselves', () => {
    expect(run('dt nt!_LIST_*')).toContain('          nt!_LIST_ENTRY\n');
    expect(run('dt nt!_KWAIT_*')).toContain('          nt!_KWAIT_STATUS_REGISTER\n');
    expect(run('dt nt!_POOL_T*')).toContain('          nt!_POOL_TYPE\n');
    const sized = run('dt -s 10 -v nt!_LIST*').split('\n');
    expect(sized.slice(0, 2)).toEqual([
      'Enumerating symbols matching nt!_LIST*, Size = 0x10',
      'Address            Size Symbol',
    ]);
    expect(sized).toContain(`${' '.repeat(20)}010 nt!_LIST_ENTRY`);
    expect(run('dt -s 11 nt!_LIST_ENTRY')).toBe('');
    expect(run('dt -d nt!_LIST_E*')).toMatch(
      /^nt!_LIST_ENTRY\nstruct _LIST_ENTRY, 2 elements, 0x10 bytes\n {3}\+0x000 Flink {12}: Ptr64 to struct _LIST_ENTRY, 2 /,
    );
    expect(run('dt nosuch!*')).toBe('Symbol nosuch!* not found.');
  });

  it('-y before a field and wildcards in it show every field that matches, also on the way', () => {
    const all = run(`dt nt!_KPRCB -y Current ${hex(prcb)}`);
    expect(all).toContain('CurrentThread');
    expect(run('dt nt!_KTHREAD *Irql*')).toMatch(/WaitIrql/);
    expect(run('dt nt!_KTHREAD Head.Lock*')).toMatch(
      /^nt!_KTHREAD\n {3}\+0x000 Header {11}: .*\n {6}\+0x000 Lock {13}: Int4B/,
    );
    // Exact steps stay exact.
    expect(run('dt nt!_KTHREAD Head.Lock')).toBe('Cannot find specified field members.');
    // Every pointer on the way is followed, up to a bound.
    expect(run('dt nt!_KTHREAD W........nothing*')).toBe('Cannot find specified field members.');
  });

  it('-c puts the fields into one line', () => {
    const at = hex(prcb);
    const long = run(`dt nt!_KPRCB MinorVersion MajorVersion ${at}`);
    const short = run(`dt -c nt!_KPRCB MinorVersion MajorVersion ${at}`);
    expect(short.split('\n')).toHaveLength(3);
    expect(short.split('\n')[1]).toMatch(/^ {3}\+0x\w+ MinorVersion : \S+ {2}\+0x\w+ MajorVersion : \S+$/);
    for (const name of ['MinorVersion', 'MajorVersion']) expect(field(short, name)).toBe(field(long, name));
    // A path that leads nowhere leaves no trace in the line.
    expect(run(`dt -c nt!_KTHREAD Header.Lock* A*.NoSuch* ${hex(target.processors[0]?.currentThread ?? 0n)}`)).toMatch(
      /^nt!_KTHREAD\n {3}\+0x000 Header :.* {2}\+0x000 Lock : \S+.*\n$/,
    );
  });

  it('-p reads the structure from physical memory', () => {
    const virtual = run(`dt nt!_KPRCB MinorVersion CurrentThread ${hex(prcb)}`);
    const pte = /\bpfn ([0-9a-f]+)/.exec(run(`!pte ${hex(prcb)}`).replace(/[\s\S]*(pfn [0-9a-f]+)/, '$1'))?.[1];
    const physical = (BigInt(`0x${pte}`) << 12n) | (prcb & 0xfffn);
    expect(run(`dt -p nt!_KPRCB MinorVersion CurrentThread ${hex(physical)}`)).toBe(virtual);
    // What a pointer leads to stays virtual.
    const thread = hex(target.processors[0]?.currentThread ?? 0n);
    const header = field(run(`dt nt!_KTHREAD Header.Type ${thread}`), 'Type');
    expect(field(run(`dt -p nt!_KPRCB CurrentThread->Header.Type ${hex(physical)}`), 'Type')).toBe(header);
    expect(run('dt -p nt!_KPRCB')).toBe('Symbol address not specified for -p');
    expect(run(`dt -p nt!_KPRCB ${hex(prcb)}`)).toMatch(/is no physical address$/);
    expect(run('dt -p nt!_LIST_ENTRY fffffffff000')).toMatch(/\?\?\?\?/);
  });

  it('-p says so where a dump has no physical memory', () => {
    const triage = opened({ dump: 'triage' });
    expect(triage.run('dt -p nt!_LIST_ENTRY 1000')).toBe('The dump holds no physical memory');
  });
});
