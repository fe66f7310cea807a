/** Two statements of the dump that cannot both hold of one instant. */
export interface Contradiction {
  /** What kind of statement: a list's links, who runs, who belongs to whom, time. */
  readonly kind: 'list' | 'running' | 'membership' | 'time';
  readonly claim: string;
  /**
   * Nothing that a kernel does in passing looks like this. False for what a processor that was stopped in the middle of
   * an update leaves behind too.
   */
  readonly certain: boolean;
  /** It rests on where the layouts put a field: an assumption where they are those of a neighbouring build. */
  readonly byLayout: boolean;
  /** The bytes that say it, and the command that shows them. */
  readonly places: readonly {
    readonly claim: string;
    readonly address: bigint;
    readonly length: number;
    readonly command: string;
  }[];
  /** Findings that rest on it: about the whole state, or about these objects (KTHREAD, EPROCESS, processor numbers). */
  readonly about:
    | 'everything'
    | {
        readonly threads?: readonly bigint[];
        readonly processes?: readonly bigint[];
        readonly processors?: readonly number[];
      };
}
