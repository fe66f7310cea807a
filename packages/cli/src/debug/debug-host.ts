import {
  type AnalyzeVerdict,
  createRegistry,
  createSession,
  type ExecutedCommand,
  executeLine,
  type Session,
  splitLine,
} from '@dumpscope/debugger';
import type { Io } from '../io.ts';
import type { OpenSession } from '../open-session.ts';
import { analyzeVerdict } from './verdict.ts';

/** Further runs of one command because it made new symbols known. */
const MAX_RERUNS = 4;

/**
 * Runs lines against a session whose symbols arrive on demand: when a command has asked for files that turn up, the
 * machine is opened anew with them and the command runs again from the state it began in.
 */
export class DebugHost {
  readonly #opened: OpenSession;
  readonly #registry = createRegistry();
  readonly #io: Io;
  #session: Session;
  #verdict: AnalyzeVerdict | null = null;
  /** `!analyze` is synchronous, its code is loaded before the command that needs it. */
  #diagnose: typeof import('@dumpscope/diagnose') | null = null;

  constructor(opened: OpenSession, io: Io) {
    this.#opened = opened;
    this.#io = io;
    this.#session = this.#newSession();
  }

  get session(): Session {
    return this.#session;
  }

  /** Results of a line, a command each. */
  async *run(line: string, repeat = false): AsyncGenerator<ExecutedCommand> {
    for (const segment of splitLine(line)) {
      if (this.#session.quit) return;
      yield await this.#command(segment.text, repeat);
    }
  }

  async #command(text: string, repeat: boolean): Promise<ExecutedCommand> {
    if (/!(?:\w+\.)*analyze/i.test(text)) this.#diagnose ??= await import('@dumpscope/diagnose');
    for (let rerun = 0; ; rerun++) {
      const before = snapshot(this.#session);
      const done = this.#once(text, repeat);
      if (rerun >= MAX_RERUNS || !(await this.#opened.refresh(this.#session.mismatched))) return done;
      before.mismatched = this.#session.mismatched;
      this.#verdict = null;
      this.#session = this.#newSession();
      restore(this.#session, before);
    }
  }

  #once(text: string, repeat: boolean): ExecutedCommand {
    // A segment is one command: the loop of executeLine runs once.
    for (const done of executeLine(this.#registry, this.#session, text, repeat)) return done;
    return { command: text, prompt: '', rows: [], text: '', error: null, internal: false };
  }

  #newSession(): Session {
    return createSession(this.#opened.target, {
      symbolPath: this.#opened.symbolPath,
      imagePath: this.#opened.imagePath,
      analyze: () => {
        const diagnose = this.#diagnose;
        if (diagnose === null) throw new Error('the diagnosis is not loaded');
        this.#verdict ??= analyzeVerdict(this.#opened.target, diagnose, this.#io);
        return this.#verdict;
      },
    });
  }
}

type State = Omit<Session, 'target' | 'analyze' | 'symbolPath' | 'imagePath'>;

function snapshot(session: Session): State {
  const { target: _target, analyze: _analyze, symbolPath: _path, imagePath: _images, ...state } = session;
  return {
    ...state,
    asmOptions: new Set(session.asmOptions),
    pseudo: new Map(session.pseudo),
    mismatched: new Set(session.mismatched),
    continuations: new Map(session.continuations),
  };
}

function restore(session: Session, state: State): void {
  Object.assign(session, state);
}
