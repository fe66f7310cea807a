import type { Command } from '../command.ts';

/** All commands by name. Refuses duplicates, so that two files cannot claim one name. */
export class CommandRegistry {
  readonly #byName: Map<string, Command> = new Map();
  readonly #patterns: { readonly pattern: RegExp; readonly command: Command }[] = [];
  readonly #commands: Command[] = [];

  constructor(commands: readonly Command[]) {
    for (const command of commands) this.register(command);
  }

  register(command: Command): void {
    for (const name of command.names) {
      if (this.#byName.has(name)) throw new Error(`two commands are named ${name}`);
      this.#byName.set(name, command);
    }
    if (command.pattern !== undefined) this.#patterns.push({ pattern: command.pattern, command });
    this.#commands.push(command);
  }

  get commands(): readonly Command[] {
    return this.#commands;
  }

  /** The command of an exact spelling; names are case-sensitive where case tells commands apart (`dd`, `dD`). */
  find(name: string): Command | undefined {
    return (
      this.#byName.get(name) ??
      this.#patterns.find((p) => p.pattern.test(name))?.command ??
      this.#byName.get(name.toLowerCase())
    );
  }
}

export interface ParsedCommand {
  readonly command: Command;
  readonly name: string;
  readonly args: string;
  /** Offset of the arguments in the text. */
  readonly argsAt: number;
}

/** Splits `dyd eax+4 l1`, `r@eax`, `kv10`, `reax`, `!kdexts.thread -1` into command and arguments. */
export function parseCommand(registry: CommandRegistry, text: string): ParsedCommand | undefined {
  const made = (name: string, length: number): ParsedCommand | undefined => {
    const command = registry.find(name);
    if (command === undefined) return undefined;
    const rest = text.slice(length);
    const args = rest.trimStart();
    return { command, name, args: args.trimEnd(), argsAt: length + rest.length - args.length };
  };
  if (text.startsWith('??')) return made('??', 2);
  const punctuation = /^(?:\?|~)/.exec(text);
  if (punctuation) return made(punctuation[0], 1);
  const extension = /^!(?:[A-Za-z0-9_]+\.)*([A-Za-z_][A-Za-z0-9_]*)/.exec(text);
  if (extension) return made(`!${(extension[1] as string).toLowerCase()}`, extension[0].length);
  const word = /^\.?[A-Za-z_]+/.exec(text)?.[0];
  if (word === undefined) return undefined;
  // The whole word first, then its longest beginning: `reax` is r eax.
  for (let length = word.length; length > (word.startsWith('.') ? 1 : 0); length--) {
    const found = made(word.slice(0, length), length);
    if (found !== undefined) return found;
  }
  return undefined;
}
