/** The JSON report, schemaVersion 1. docs/report-schema.json is the contract; fields may be added, never renamed. */

import type { FindingPicture } from './picture.ts';

export type Confidence = 'proven' | 'strong' | 'likely' | 'possible';

export type Outcome = 'true' | 'false' | 'undetermined';

export interface EvidenceItem {
  readonly id: string;
  readonly claim: string;
  readonly outcome: Outcome;
  /** The command that shows it in `dumpscope debug`. */
  readonly command: string | null;
  readonly address: string | null;
  readonly length: number | null;
  /** Hex bytes as they lie in memory. */
  readonly bytes: string | null;
  readonly source: string;
}

export interface LoopExit {
  readonly address: string;
  readonly reads: string | null;
  readonly value: string | null;
  readonly condition: string;
}

/** Where a defect is, independent of load addresses, threads and symbols. */
export interface Signature {
  readonly key: string;
  readonly parts: readonly {
    readonly image: string;
    readonly timeDateStamp: number | null;
    readonly size: number;
    /** RVAs of the blamed frame and of those that called it, innermost first. */
    readonly rvas: readonly string[];
  }[];
}

export interface Finding {
  readonly pattern: string;
  readonly verdict: string | null;
  readonly confidence: Confidence;
  readonly title: string;
  readonly summary: string;
  readonly processor: number | null;
  readonly thread: string | null;
  readonly process: string | null;
  readonly image: string | null;
  readonly lock: {
    readonly kind: string;
    readonly address: string;
    readonly word: string | null;
    readonly container: string | null;
    /** Where it lives: image, processor-block, stack, interrupt-object, device-extension, pool, freed-pool, unmapped. */
    readonly place?: { readonly kind: string; readonly text: string } | null;
  } | null;
  readonly loop: {
    readonly start: string;
    readonly end: string;
    readonly function: string | null;
    readonly exits: readonly LoopExit[];
  } | null;
  readonly since: {
    readonly minSeconds: number | null;
    readonly maxSeconds: number | null;
    readonly reason: string;
  } | null;
  readonly blame: readonly {
    readonly module: string;
    readonly function: string | null;
    readonly role: string;
    readonly reason: string;
    /** Place that is blamed. Set by the rule where there is one; the rest is filled in when the report is built. */
    readonly address?: string | null;
    readonly rva?: string | null;
    readonly image?: string | null;
    readonly timeDateStamp?: number | null;
    /** FileVersion; null where its resource is not in the dump. */
    readonly version?: string | null;
  }[];
  /** Key of the defect, the same on every machine with the same binaries. Absent until the report is built. */
  readonly signature?: Signature | null;
  readonly cleared: readonly { readonly what: string; readonly reason: string }[];
  readonly evidence: readonly EvidenceItem[];
  readonly assumptions: readonly string[];
  readonly wouldChange: readonly string[];
  readonly downstream: readonly string[];
  /** For drawings; null where there is nothing to draw. */
  readonly picture: FindingPicture | null;
}

export interface ReportFrame {
  /** Address that the frame executes or returns to. */
  readonly pc: string;
  readonly sp: string;
  readonly symbol: string;
  /** How far it can be believed, best first: context, trap-frame, unwind-data, frame-data, leaf, frame-pointer, scan. */
  readonly trust: string;
  /** Trap frame through which the walk goes on to the next, interrupted frame. */
  readonly trapFrame: string | null;
}

export interface ReportModule {
  readonly name: string;
  readonly image: string;
  readonly base: string;
  readonly size: number;
  readonly timeDateStamp: number | null;
  /** `NAME GUID AGE` of the PDB, where the dump or the matching image tells. */
  readonly pdb: string | null;
  /** Where names come from; null without any. */
  readonly symbols: string | null;
}

export interface ReportProcessor {
  readonly number: number;
  readonly prcb: string;
  readonly thread: string | null;
  readonly process: string | null;
  readonly image: string | null;
  readonly idleThread: boolean | null;
  readonly idle: boolean | null;
  readonly irql: number | null;
  readonly irqlSource: string | null;
  readonly contextTrust: string;
  readonly pc: string | null;
  readonly symbol: string | null;
  readonly interruptedFrom: string | null;
  readonly dpcActive: boolean | null;
  /** From the interrupted context outwards; empty where there is none. */
  readonly stack: readonly ReportFrame[];
  /** Why the stack ends; null without one. */
  readonly stackEnd: string | null;
}

export interface Report {
  readonly schemaVersion: 1;
  readonly tool: { readonly name: 'dumpscope'; readonly version: string; readonly rules: string };
  readonly dump: {
    readonly path: string;
    readonly kind: string;
    readonly arch: string;
    readonly build: string | null;
    readonly processors: number;
    readonly systemTime: string | null;
    readonly uptimeSeconds: number | null;
    readonly bugcheck: {
      readonly code: string;
      readonly name: string | null;
      readonly parameters: readonly string[];
      readonly meaning: readonly (string | null)[];
    } | null;
    readonly complete: boolean;
    readonly problems: readonly { readonly id: string; readonly message: string; readonly offset: number | null }[];
  };
  readonly processors: readonly ReportProcessor[];
  readonly modules: readonly ReportModule[];
  readonly findings: readonly Finding[];
  readonly limits: readonly { readonly what: string; readonly why: string; readonly wouldNeed: string | null }[];
}
