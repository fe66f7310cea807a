import { type Command, defineCommand } from '../command.ts';
import { result } from '../format/lines.ts';
import { buildLab, timeLines, versionLines, zoneBias } from './version-target.ts';

export const versionCommand: Command = defineCommand({
  names: ['vertarget', 'version'],
  summary: 'show the version of the target system',
  usage: 'vertarget',
  fidelity:
    "WinDbg's block; `version` adds the tool's name. The zone is that of the target where its page is in the dump, else UTC.",
  run(session, _args, name) {
    const { target } = session;
    const { header } = target.dump;
    const row = {
      build: header.minorVersion,
      buildLab: buildLab(target),
      processors: header.numberProcessors,
      arch: target.arch,
      kernelBase: target.kernel?.base ?? null,
      systemTime: target.time.systemTime,
      uptime: target.time.uptime,
      zoneBiasMinutes: zoneBias(target),
    };
    const lines = versionLines(target);
    if (name === 'version') lines.push('', 'dumpscope', `dump: ${target.dump.name}, ${target.dump.kind}`);
    return result([row], lines);
  },
});

export const timeCommand: Command = defineCommand({
  names: ['.time'],
  summary: 'show the time of the dump and the uptime',
  usage: '.time',
  fidelity: 'As in WinDbg.',
  run(session) {
    const { systemTime, uptime } = session.target.time;
    return result([{ systemTime, uptime }], timeLines(session.target));
  },
});
