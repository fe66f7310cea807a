import { storePath } from '@dumpscope/symbols';
import { type Command, defineCommand } from '../command.ts';
import { result } from '../format/lines.ts';

export const symbolPathCommand: Command = defineCommand({
  names: ['.sympath', '.exepath'],
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

export const reloadCommand: Command = defineCommand({
  names: ['.reload'],
  summary: 'say which symbols are loaded and which files are missing',
  usage: '.reload',
  fidelity:
    'Loads nothing: files are looked for when the session is opened. It says what is at hand and what would help, which WinDbg does not.',
  run(session) {
    const { target } = session;
    const named = target.modules.filter((m) => m.symbolOrigin !== null && m.symbolOrigin !== 'export');
    const rows = target.requests.map((request) => ({ ...request, storePath: storePath(request) }));
    const lines = [
      `Layouts: ${target.layouts.table.origin} (${target.layouts.trust}): ${target.layouts.how}`,
      `${named.length} of ${target.modules.length} modules have symbols: ${named.map((m) => m.name).join(' ') || 'none'}`,
    ];
    if (rows.length > 0) {
      lines.push(`${rows.length} files would help:`);
      lines.push(...rows.map((r) => `    ${r.module.padEnd(12)} ${r.storePath}`));
    }
    return result(rows, lines);
  },
});
