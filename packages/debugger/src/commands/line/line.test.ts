import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seedTarget } from '../../../test/seed-target.ts';
import { allCommands, createRegistry } from '../all-commands.ts';
import { defineCommand } from '../command.ts';
import { createSession } from '../session/session.ts';
import { executeLine } from './execute.ts';
import { CommandRegistry, parseCommand } from './registry.ts';
import { splitLine } from './split.ts';

const registry = createRegistry();

describe('splitting a line', () => {
  it.each([
    ['k; r', ['k', 'r']],
    ['.echo "a;b"; k', ['.echo "a;b"', 'k']],
    ['.foreach (x {a;b}) {c;d}; k', ['.foreach (x {a;b}) {c;d}', 'k']],
    ['k; * all; of this', ['k', '* all; of this']],
    ['* a\nk', ['* a', 'k']],
    ['$$ note; k', ['$$ note', 'k']],
    [' ;; ', []],
    ['.echo "open; k', ['.echo "open; k']],
    ['? 2*3', ['? 2*3']],
  ])('%s', (line, expected) => expect(splitLine(line).map((s) => s.text)).toEqual(expected));

  it('keeps offsets', () => expect(splitLine('  k ;  r eax').map((s) => s.start)).toEqual([2, 7]));
});

describe('names and arguments', () => {
  it.each([
    ['dyd eax+4 l1', 'dyd', 'eax+4 l1'],
    ['r@eax', 'r', '@eax'],
    ['reax', 'r', 'eax'],
    ['kv10', 'kv', '10'],
    ['kvnL 5', 'kvnL', '5'],
    ['dD x', 'dD', 'x'],
    ['?eax', '?', 'eax'],
    ['??(int)1', '??', '(int)1'],
    ['!kdexts.thread -1', '!thread', '-1'],
    ['!THREAD', '!thread', ''],
    ['.trap a07be180', '.trap', 'a07be180'],
    ['lmvm hal', 'lmvm', 'hal'],
    ['u.', 'u', '.'],
    ['~', '~', ''],
  ])('%s', (text, name, args) => {
    const parsed = parseCommand(registry, text);
    expect([parsed?.name, parsed?.args]).toEqual([name, args]);
  });

  it('refuses two commands of one name', () => {
    const one = defineCommand({
      names: ['!x'],
      summary: '',
      usage: '',
      fidelity: '',
      run: () => ({ rows: [], text: '' }),
    });
    expect(() => new CommandRegistry([one, one])).toThrow('two commands are named !x');
  });
});

describe('running lines', () => {
  const run = (line: string, session = createSession(seedTarget()), repeat = false) => [
    ...executeLine(registry, session, line, repeat),
  ];

  it('goes on behind an error and stops at q', () => {
    expect(run('? nope; ? 1; q; ? 2').map((d) => d.error ?? d.text.trim())).toEqual([
      "Couldn't resolve error at 'nope'",
      'Evaluate expression: 1 = 00000001',
      'quit:',
    ]);
  });

  it('puts the caret under the mistake, prompt included', () => {
    const [done] = run('dd eax l4 garbage');
    expect(done?.error).toBe("                 ^ Extra character error in 'dd eax l4 garbage'");
    expect('0: kd> dd eax l4 garbage'.slice(17)).toBe('garbage');
    expect(run('? 1 2')[0]).toMatchObject({
      text: 'Evaluate expression: 1 = 00000001\n',
      error: "           ^ Extra character error in '? 1 2'",
    });
  });

  it('continues displays on an empty line', () => {
    const session = createSession(seedTarget());
    run('dd a07be200 l2', session);
    expect(run('dd a07be200 l2', session, true)[0]?.text).toMatch(/^a07be208 {2}00000002/);
    run('u 806e4a2c l2', session);
    expect(run('u 806e4a2c l2', session, true)[0]?.text).toContain('806e4a35 f390            pause');
  });

  it('runs one command on another processor without leaving the current one', () => {
    const session = createSession(seedTarget());
    run('.trap a07be180', session);
    expect(run('~1 k', session)[0]?.text).toContain('KiIdleLoop');
    expect(run('1r eip', session)[0]?.text).toBe('eip=805412e4\n');
    expect(session.processor).toBe(0);
    expect(run('r eip', session)[0]?.text).toBe('eip=806e4a37\n');
    run('~1s', session);
    expect(run('r eip', session)[0]?.text).toBe('eip=805412e4\n');
    expect(run('~7s', session)[0]?.error).toBe('7 is not a valid processor number');
  });

  it('sets pseudo-registers and reads the automatic ones', () => {
    const session = createSession(seedTarget());
    run('r $t0 = eax + 4; dd a07be204 l1', session);
    expect(run('? @$t0', session)[0]?.text).toContain('= 00000004');
    expect(run('? @$p', session)[0]?.text).toContain('= 831dabf5');
    expect(run('? @$thread', session)[0]?.text).toContain('= 830c07c0');
    expect(run('r eax = 5', session)[0]?.error).toMatch(/cannot be changed/);
  });

  it('never fails by a defect of ours, whatever is typed', () => {
    const names = allCommands.flatMap((c) => c.names).filter((n) => !n.startsWith('q'));
    const part = fc.constantFrom(
      'a07be180',
      'eax',
      '@$thread',
      'nt!_IRP',
      '-r2',
      'L4',
      'L?fffffff',
      '-1',
      '0',
      'ffffffff',
      '"x',
      '{',
      '(',
      '*',
      '..',
      'hal!K*',
      '/c',
      '-b',
      'poi(',
      '@@c++(',
      '= 5',
      "'a'",
      '1`2',
    );
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.array(part, { maxLength: 4 }), (name, parts) => {
        for (const done of run(`${name} ${parts.join(' ')}`))
          expect(done.internal, `${done.command}: ${done.error}`).toBe(false);
      }),
      { numRuns: 1500, seed: 5 },
    );
  });
});
