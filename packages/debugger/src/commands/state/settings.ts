import { type Command, CommandError, defineCommand } from '../command.ts';
import { result } from '../format/lines.ts';

const RADIXES: readonly string[] = ['8', '10', '16'];

export const radixCommand: Command = defineCommand({
  names: ['n'],
  summary: 'show or set the default radix of numbers',
  usage: 'n [8|10|16]',
  fidelity: 'As in WinDbg.',
  run(session, args) {
    if (args !== '') {
      // The argument itself is always decimal.
      if (!RADIXES.includes(args)) throw new CommandError('Syntax error', { at: 0 });
      session.radix = Number(args);
    }
    return result([{ radix: session.radix }], [`base is ${session.radix}`]);
  },
});

const ASM_OPTIONS: readonly string[] = ['ignore_output_width', 'no_code_bytes', 'source_line', 'verbose'];

export const asmCommand: Command = defineCommand({
  names: ['.asm', '.asm-'],
  summary: 'show or set disassembly options',
  usage: '.asm [no_code_bytes|source_line|ignore_output_width|verbose] | .asm- option',
  fidelity:
    'As in WinDbg. ignore_output_width changes nothing because lines are never cut, verbose nothing because it is of Itanium.',
  run(session, args) {
    const off = args.startsWith('-');
    const words = args
      .replace(/^-/, '')
      .split(/\s+/)
      .filter((w) => w !== '');
    for (const word of words) {
      const option = ASM_OPTIONS.find((o) => o === word.toLowerCase());
      if (option === undefined) throw new CommandError('Syntax error', { at: args.indexOf(word) });
      if (off) session.asmOptions.delete(option);
      else session.asmOptions.add(option);
    }
    const set = ASM_OPTIONS.filter((o) => session.asmOptions.has(o));
    return result([{ options: set }], [`Assembly options: ${set.length === 0 ? '<default>' : set.join(' ')}`]);
  },
});

export const linesCommand: Command = defineCommand({
  names: ['.lines'],
  summary: 'show or hide source lines',
  usage: '.lines [-e|-d|-t]',
  fidelity: 'As in WinDbg; they are shown from the start, as in its window.',
  run(session, args) {
    if (args === '-e') session.lines = true;
    else if (args === '-d') session.lines = false;
    else if (args === '' || args === '-t') session.lines = !session.lines;
    else throw new CommandError('Syntax error', { at: 0 });
    return result([{ lines: session.lines }], [`Line number information will ${session.lines ? '' : 'not '}be loaded`]);
  },
});

const EVALUATORS = {
  masm: 'MASM - Microsoft Assembler expressions',
  'c++': 'C++ - C++ source expressions',
} as const;

export const evaluatorCommand: Command = defineCommand({
  names: ['.expr'],
  summary: 'show or set the evaluator of expressions',
  usage: '.expr [/s masm|c++] [/q]',
  fidelity: 'As in WinDbg.',
  run(session, args) {
    if (args.toLowerCase() === '/q') {
      const rows = Object.values(EVALUATORS).map((evaluator) => ({ evaluator }));
      return result(rows, ['Available expression evaluators:', ...rows.map((row) => `    ${row.evaluator}`)]);
    }
    const wanted = /^\/s\s+(\S+)$/i.exec(args)?.[1]?.toLowerCase();
    if (wanted === 'masm' || wanted === 'c++') session.evaluator = wanted;
    else if (args !== '') throw new CommandError('Syntax error', { at: 0 });
    return result(
      [{ evaluator: session.evaluator }],
      [`Current expression evaluator: ${EVALUATORS[session.evaluator]}`],
    );
  },
});

export const echoCommand: Command = defineCommand({
  names: ['.echo'],
  summary: 'print text',
  usage: '.echo text',
  fidelity: 'As in WinDbg.',
  run: (_session, args) => result([{ text: args }], [args.replace(/^"(.*)"$/, '$1')]),
});

export const quitCommand: Command = defineCommand({
  names: ['q', 'qq', 'qd'],
  summary: 'end the session',
  usage: 'q',
  fidelity: 'As in WinDbg.',
  run(session) {
    session.quit = true;
    return result([], ['quit:']);
  },
});
