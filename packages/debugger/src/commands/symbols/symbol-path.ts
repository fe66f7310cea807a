import { storePath } from '@dumpscope/symbols';
import { type Command, CommandError, defineCommand } from '../command.ts';
import { result } from '../format/lines.ts';

export const symbolPathCommand: Command = defineCommand({
  names: ['.sympath'],
  summary: 'show the symbol path of this session',
  usage: '.sympath',
  fidelity: 'Shows the path; it is set with -y when the session is opened.',
  run(session) {
    const path = session.symbolPath;
    return result(
      [{ path }],
      [
        `Symbol search path is: ${path === '' ? '*** Invalid ***' : path}`,
        `Expanded Symbol search path is: ${path === '' ? '*** Invalid ***' : path}`,
      ],
    );
  },
});

export const imagePathCommand: Command = defineCommand({
  names: ['.exepath'],
  summary: 'show the image path of this session',
  usage: '.exepath',
  fidelity:
    'Shows the path; it is set with -i when the session is opened. Images are looked for along the symbol path too.',
  run(session) {
    const path = session.imagePath;
    return result(
      [{ path }],
      [path === '' ? 'No executable image search path' : `Executable image search path is: ${path}`],
    );
  },
});

export const reloadCommand: Command = defineCommand({
  names: ['.reload'],
  summary: 'say which symbols are loaded and which files are missing',
  usage: '.reload [/f] [/i] [MODULE]',
  fidelity:
    'Files are looked for when they are needed, so plain .reload loads nothing. /i takes a PDB of another build that was found by name, for one module or all; every name of it bears {mismatch}, and its frame records, lines and types are not used. It says what is at hand and what would help, which WinDbg does not.',
  run(session, args) {
    const { target } = session;
    const words = args.split(/\s+/).filter((word) => word !== '');
    const name = words
      .find((word) => !word.startsWith('/'))
      ?.replace(/=.*$/, '')
      .replace(/\.\w+$/, '')
      .toLowerCase();
    const module = name === undefined ? undefined : target.modules.find((m) => m.name.toLowerCase() === name);
    if (name !== undefined && module === undefined) throw new CommandError(`there is no module ${name}`);
    if (words.some((word) => /^\/\w*i/i.test(word))) session.mismatched.add(module?.name ?? '*');
    const named = target.modules.filter((m) => m.symbolOrigin !== null && m.symbolOrigin !== 'export');
    const rows = target.requests.map((request) => ({ ...request, storePath: storePath(request) }));
    const lines = [
      `Layouts: ${target.layouts.table.origin} (${target.layouts.trust}): ${target.layouts.how}`,
      `${named.length} of ${target.modules.length} modules have symbols: ${named.map((m) => m.name).join(' ') || 'none'}`,
    ];
    for (const m of target.modules)
      if ((m.mismatch ?? null) !== null) lines.push(`*** Symbols of ${m.name} do not match: ${m.mismatch}`);
    if (rows.length > 0) {
      lines.push(`${rows.length} files would help:`);
      lines.push(...rows.map((r) => `    ${r.module.padEnd(12)} ${r.storePath}`));
    }
    return result(rows, lines);
  },
});
