import type { Confidence, Finding } from './report.ts';

/** A finding with everything empty but what every finding has; patterns spread it and fill in. */
export function blankFinding(
  pattern: string,
  verdict: string | null,
  confidence: Confidence,
  title: string,
  summary: string,
): Finding {
  return {
    pattern,
    verdict,
    confidence,
    title,
    summary,
    processor: null,
    thread: null,
    process: null,
    image: null,
    lock: null,
    loop: null,
    since: null,
    blame: [],
    cleared: [],
    evidence: [],
    assumptions: [],
    wouldChange: [],
    downstream: [],
    picture: null,
  };
}
