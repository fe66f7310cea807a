/** Which binary a blamed party is: version, timestamp, and where in it. */
import { hex } from '@dumpscope/core';
import type { Module, Target } from '@dumpscope/debugger';
import { tryParsePe } from '@dumpscope/symbols';
import type { Finding, Signature } from './report.ts';
import { runFrom, signatureOf } from './signature.ts';

type Blame = Finding['blame'][number];

/** Parties who did not write the defect: their place says nothing about it. */
const BYSTANDER = /victim|carrier|caller/;

/** Fills in what a rule need not know: the module's identity, the RVA, and the key of the defect. */
export function completeFinding(target: Target, finding: Finding): Finding {
  const blame = finding.blame.map((item) => completeBlame(target, item));
  return { ...finding, blame, signature: finding.signature ?? signatureByBlame(target, finding) };
}

function completeBlame(target: Target, blame: Blame): Blame {
  const address = blame.address == null ? null : BigInt(blame.address);
  const module =
    (address === null ? undefined : target.moduleAt(address)) ??
    target.modules.find((candidate) => candidate.name === blame.module);
  return {
    ...blame,
    address: blame.address ?? null,
    rva: address === null || module === undefined ? null : hex(address - module.base),
    image: module?.imageName ?? null,
    timeDateStamp: module?.timeDateStamp ?? null,
    version: module === undefined ? null : versionOf(target, module),
  };
}

const versions = new WeakMap<Module, string | null>();

/** FileVersion of the version resource; null where its pages are not in the dump. */
function versionOf(target: Target, module: Module): string | null {
  let version = versions.get(module);
  if (version === undefined) {
    const pe = tryParsePe((rva, length) =>
      rva < 0 || rva + length > module.size ? null : (target.memory.bytes(module.base + BigInt(rva), length) ?? null),
    );
    version = pe?.version?.fileVersion ?? null;
    versions.set(module, version);
  }
  return version;
}

/** The frames from the blamed one outwards, on the stack of the processor that the finding is about. */
function signatureByBlame(target: Target, finding: Finding): Signature | null {
  const first = finding.blame.find((blame) => blame.address != null && !BYSTANDER.test(blame.role));
  if (first?.address == null) return null;
  const pc = BigInt(first.address);
  const start = target.processors.find((processor) => processor.number === finding.processor)?.interrupted ?? null;
  const frames = start === null ? [] : target.walkStack(start).frames;
  const index = frames.findIndex((frame) => frame.pc === pc);
  return signatureOf(target, finding.pattern, [index < 0 ? [pc] : runFrom(target, frames, index)]);
}
