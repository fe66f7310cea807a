import type { FindingPicture, WaitNode } from './picture.ts';
import type { Finding, Report } from './report.ts';

/**
 * A report without names of processes, files and users and without memory bytes: what may leave the building. `images`:
 * names of all processes of the dump, for those that only a sentence names.
 */
export function redact(report: Report, images: readonly string[] = []): Report {
  const text = images.length === 0 ? '' : JSON.stringify(report.findings);
  const names = new Set<string>(images.filter((image) => text.includes(image)));
  for (const processor of report.processors) if (processor.image !== null) names.add(processor.image);
  for (const finding of report.findings) {
    if (finding.image !== null) names.add(finding.image);
    // The second line of a thread is the name of its process.
    for (const { from, to } of finding.picture?.waits ?? [])
      for (const node of [from, to]) if (node.kind === 'thread' && node.detail !== null) names.add(node.detail);
  }
  // Longest first, so that a name inside another does not leave a tail.
  const known = [...names].filter((name) => name.length > 1).sort((a, b) => b.length - a.length);
  const clean = (text: string): string => {
    let out = text;
    for (const name of known) out = out.replaceAll(name, '<process>');
    return out.replace(/(?:[A-Za-z]:|\\\?\?|\\SystemRoot|\\Device|\\Users)\\[^\s,;"')]*/g, '<path>');
  };
  return {
    ...report,
    dump: {
      ...report.dump,
      path: '<redacted>',
      problems: report.dump.problems.map((problem) => ({ ...problem, message: clean(problem.message) })),
    },
    processors: report.processors.map((processor) => ({ ...processor, image: null })),
    findings: report.findings.map((finding) => redactFinding(finding, clean)),
    limits: [
      ...report.limits.map((limit) => ({ ...limit, why: clean(limit.why), what: clean(limit.what) })),
      { what: 'names and memory bytes', why: 'left out on request (--redact)', wouldNeed: null },
    ],
  };
}

function redactFinding(finding: Finding, clean: (text: string) => string): Finding {
  return {
    ...finding,
    title: clean(finding.title),
    summary: clean(finding.summary),
    image: null,
    lock:
      finding.lock === null
        ? null
        : {
            ...finding.lock,
            word: null,
            place: finding.lock.place == null ? null : { ...finding.lock.place, text: clean(finding.lock.place.text) },
          },
    loop:
      finding.loop === null
        ? null
        : { ...finding.loop, exits: finding.loop.exits.map((exit) => ({ ...exit, value: null })) },
    cleared: finding.cleared.map((cleared) => ({ what: clean(cleared.what), reason: clean(cleared.reason) })),
    evidence: finding.evidence.map((item) => ({ ...item, claim: clean(item.claim), bytes: null })),
    downstream: finding.downstream.map(clean),
    assumptions: finding.assumptions.map(clean),
    wouldChange: finding.wouldChange.map(clean),
    picture: finding.picture === null ? null : redactPicture(finding.picture, clean),
  };
}

/** Addresses and bounds stay, as in claims; code, values and links, which are bytes of memory, go. */
function redactPicture(picture: FindingPicture, clean: (text: string) => string): FindingPicture {
  const { queue } = picture;
  return {
    ...picture,
    loop: [],
    queue:
      queue === null
        ? null
        : {
            ...queue,
            word: null,
            entries: queue.entries.map((entry) => ({ ...entry, next: null, lockField: null })),
            stacks: queue.stacks.map((stack) => ({ ...stack, owner: clean(stack.owner) })),
            marks: queue.marks.map((mark) => ({ ...mark, label: clean(mark.label) })),
          },
    waits: picture.waits.map((edge) => ({
      from: redactNode(edge.from, clean),
      to: redactNode(edge.to, clean),
      label: clean(edge.label),
    })),
  };
}

function redactNode(node: WaitNode, clean: (text: string) => string): WaitNode {
  return {
    ...node,
    label: clean(node.label),
    // The second line of a thread is the name of its process.
    detail: node.kind === 'thread' || node.detail === null ? null : clean(node.detail),
  };
}
